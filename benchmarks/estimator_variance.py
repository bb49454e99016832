"""No claim, a table: the variance of one gradient by each estimator of coins, for a neural cost.

Twenty Bernoulli sites, a random network of fifty hidden units as the cost, near zero on average, and the same with 100
added; the variance is summed over the sites' logits. Control variates are trained beforehand on the same cost, for 300
steps of 64 gradients.

    python benchmarks/estimator_variance.py
"""

from __future__ import annotations

from collections.abc import Callable

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
OFFSETS = (0.0, 100.0)
ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "RELAX()": rp.RELAX,
    "ScoreFunction(2)": lambda: rp.ScoreFunction(2),
    "LeaveOneOut(2)": lambda: rp.LeaveOneOut(2),
    "ARM(2)": lambda: rp.ARM(2),
    "DisARM(2)": lambda: rp.DisARM(2),
    "RELAX(2)": lambda: rp.RELAX(2),
    "RODEO(2)": lambda: rp.RODEO(2),
    "REBAR()": rp.REBAR,
    "RELAX(temperature=0.5)": lambda: rp.RELAX(temperature=0.5),
    "LeaveOneOut(4)": lambda: rp.LeaveOneOut(4),
    "DisARM(4)": lambda: rp.DisARM(4),
    "ARMS(4)": lambda: rp.ARMS(4),
    "RODEO(4)": lambda: rp.RODEO(4),
    "MeasureValued()": rp.MeasureValued,
}


class Problem:
    """A cost of coins, and gradients of its expectation."""

    def __init__(self, offset: float) -> None:
        torch.manual_seed(0)
        self.offset = offset
        self.network = nn.Sequential(nn.Linear(SITES, 50), nn.Tanh(), nn.Linear(50, 1)).requires_grad_(False)
        for parameter in self.network.parameters():
            parameter *= 2
        self.logits = 0.7 * torch.randn(SITES)

    def gradients(self, estimator: Estimator, count: int) -> Tensor:
        """The gradients of independent estimates; the backward pass also reaches a control variate."""
        logits = self.logits.expand(count, SITES).clone().requires_grad_()
        dist = Independent(Bernoulli(logits=logits), 1)
        value = rp.expect(lambda b: 5 * self.network(b).squeeze(-1) + self.offset, dist, estimator)
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

    def variance(self, estimator: Estimator) -> float:
        """That of one gradient, the control variate trained."""
        if isinstance(estimator, Controlled):
            self.train(estimator)
        return self.gradients(estimator, REPEATS).var(0).sum().item()


def main() -> None:
    torch.set_num_threads(1)
    columns = ["variance", *(f"with {offset:g} added" for offset in OFFSETS[1:])]
    table = Table("estimator", "evaluations", *columns, title=machine())
    for name, make in ESTIMATORS.items():
        found = [Problem(offset).variance(make()) for offset in OFFSETS]
        evaluations = make().evaluations(Independent(Bernoulli(logits=torch.zeros(SITES)), 1))
        table.add_row(name, str(evaluations), *(f"{one:.3g}" for one in found))
    Console().print(table)


if __name__ == "__main__":
    main()
