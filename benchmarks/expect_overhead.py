"""Claim: `expect` costs at most 1.15 times what one writes by hand for leave-one-out that differentiates twice.

Eight Bernoulli sites of one event, four draws, forward and backward. The second peer is the surrogate that most code
contains, whose second derivative is wrong; against that, at most 1.6 times. Both peers use `torch.distributions`, whose
objects all three build anew, as a model does.

    python benchmarks/expect_overhead.py
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

import reparam as rp
from paired import compare, machine

SITES, DRAWS = 8, 4
TARGET = torch.linspace(0.1, 0.9, SITES)
LEAVE_ONE_OUT = rp.LeaveOneOut(DRAWS)


def cost(x: Tensor) -> Tensor:
    return (x - TARGET).square().sum(-1)


def law(logits: Tensor, validate: bool | None) -> Distribution:
    return Independent(Bernoulli(logits=logits, validate_args=validate), 1, validate_args=validate)


def ours(logits: Tensor, validate: bool | None) -> None:
    rp.expect(cost, law(logits, validate), LEAVE_ONE_OUT).backward()


def twice(logits: Tensor, validate: bool | None) -> None:
    dist = law(logits, validate)
    x = dist.sample((DRAWS,))
    log_prob = dist.log_prob(x)
    box = torch.expm1(log_prob - log_prob.detach())
    weights = 1 / DRAWS + (box - box.mean(0, keepdim=True)) / (DRAWS - 1)
    (weights * cost(x)).sum(0).backward()


def once(logits: Tensor, validate: bool | None) -> None:
    dist = law(logits, validate)
    x = dist.sample((DRAWS,))
    costs = cost(x)
    (((costs - costs.mean(0)).detach() * dist.log_prob(x)).sum(0) / (DRAWS - 1) + costs.mean(0)).backward()


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    logits = torch.zeros(SITES, requires_grad=True)
    for validate, name in ((None, "validated"), (False, "not validated")):
        for peer, what, limit in ((twice, "twice-differentiable", 1.15), (once, "first-order", 1.6)):
            ratio = compare(
                lambda validate=validate: ours(logits, validate),
                lambda validate=validate, peer=peer: peer(logits, validate),
                calls=60,
                pairs=81,
            )
            print(ratio.report(f"LeaveOneOut(4), {name}, against {what}", limit))


if __name__ == "__main__":
    main()
