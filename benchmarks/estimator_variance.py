"""No claim, a table: the variance of one gradient by each estimator of coins, for a neural cost.

Twenty Bernoulli sites, a random network of fifty hidden units as the cost; the variance is summed over the sites'
logits. Control variates are trained beforehand on the same cost, for 300 steps of 64 gradients.

    python benchmarks/estimator_variance.py
"""

from __future__ import annotations

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent

import reparam as rp
from paired import machine
from reparam.estimators import Estimator
from reparam.estimators.training import Controlled

SITES, REPEATS, STEPS = 20, 4000, 300
ESTIMATORS: list[Estimator] = [
    rp.ScoreFunction(2),
    rp.LeaveOneOut(2),
    rp.ARM(2),
    rp.DisARM(2),
    rp.RODEO(2),
    rp.REBAR(),
    rp.RELAX(),
    rp.LeaveOneOut(4),
    rp.DisARM(4),
    rp.ARMS(4),
    rp.RODEO(4),
    rp.MeasureValued(),
]


class Problem:
    """A cost of coins, and gradients of its expectation."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(SITES, 50), nn.Tanh(), nn.Linear(50, 1)).requires_grad_(False)
        for parameter in self.network.parameters():
            parameter *= 2
        self.logits = 0.7 * torch.randn(SITES)

    def gradients(self, estimator: Estimator, count: int) -> Tensor:
        """The gradients of independent estimates; the backward pass also reaches a control variate."""
        logits = self.logits.expand(count, SITES).clone().requires_grad_()
        value = rp.expect(
            lambda b: 5 * self.network(b).squeeze(-1), Independent(Bernoulli(logits=logits), 1), estimator
        )
        value.sum().backward()
        assert logits.grad is not None
        return logits.grad

    def train(self, estimator: Controlled) -> None:
        """Let the control variate learn."""
        optimiser = torch.optim.Adam(list(estimator.parameters()), lr=0.02)
        for _ in range(STEPS):
            optimiser.zero_grad()
            self.gradients(estimator, 64)
            optimiser.step()
        estimator.control.eval()


def main() -> None:
    torch.set_num_threads(1)
    problem = Problem()
    dist = Independent(Bernoulli(logits=problem.logits), 1)
    table = Table("estimator", "evaluations", "variance", title=machine())
    for estimator in ESTIMATORS:
        if isinstance(estimator, Controlled):
            problem.train(estimator)
        name = f"{type(estimator).__name__}({getattr(estimator, 'samples', '')})"
        variance = problem.gradients(estimator, REPEATS).var(0).sum().item()
        table.add_row(name, str(estimator.evaluations(dist)), f"{variance:.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
