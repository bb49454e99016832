"""Claim: `expect` costs at most 1.15 times what one writes by hand for leave-one-out that differentiates twice.

Eight Bernoulli sites of one event, four draws, forward and backward. The second peer is the surrogate that most code
contains, whose second derivative is wrong; against that, at most 1.6 times. Both peers use `torch.distributions`, whose
objects all three build anew, as a model does. Where Storchastic is installed, its score function with the batch-average
baseline is a third, not validated, because its tensors fail torch's own check. Beforehand, everyone's gradient is
compared with the exact one, in standard errors.

    python benchmarks/expect_overhead.py
    python -m pip install storchastic==0.3.7       # for the third peer
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

import reparam as rp
from paired import compare, machine
from reparam import testing

Peer = Callable[[Tensor, bool | None], None]

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


def storchastic() -> Peer:
    """The same by another library."""
    import storch  # pyright: ignore[reportMissingImports]
    from storch.method import ScoreFunction  # pyright: ignore[reportMissingImports]

    # Its import turns torch's validation off for the whole process, and so for the other peers; it needs that itself.
    Distribution.set_default_validate_args(True)
    method = ScoreFunction("x", n_samples=DRAWS, baseline_factory="batch_average")

    def peer(logits: Tensor, validate: bool | None) -> None:
        storch.add_cost(cost(method(law(logits, False))), "cost")
        storch.backward()

    return peer


def worst_z(peer: Peer, estimates: int = 2000) -> float:
    """The largest error of the mean gradient, in standard errors."""
    logits, gradients = torch.zeros(SITES, requires_grad=True), []
    for _ in range(estimates):
        logits.grad = None
        peer(logits, None)
        assert logits.grad is not None
        gradients.append(logits.grad)
    return testing.z_test(torch.stack(gradients), (1 - 2 * TARGET) / 4).z.abs().max().item()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(machine())
    peers: list[tuple[str, Peer, float, int]] = [
        ("twice-differentiable", twice, 1.15, 10),
        ("first-order", once, 1.6, 10),
    ]
    if importlib.util.find_spec("storch"):
        peers.append(("Storchastic", storchastic(), 1.0, 2))
    for name, peer in [("reparam", ours), *((what, peer) for what, peer, _, _ in peers)]:
        print(f"{name}: the mean of 2000 gradients is at most {worst_z(peer):.2f} standard errors off")
    logits = torch.zeros(SITES, requires_grad=True)
    for validate, name in ((None, "validated"), (False, "not validated")):
        for what, peer, limit, calls in peers:
            if what == "Storchastic" and validate is None:
                continue
            ratio = compare(
                lambda validate=validate: ours(logits, validate),
                lambda validate=validate, peer=peer: peer(logits, validate),
                calls=calls,
                pairs=401,
            )
            print(ratio.report(f"LeaveOneOut(4), {name}, against {what}", limit))


if __name__ == "__main__":
    main()
