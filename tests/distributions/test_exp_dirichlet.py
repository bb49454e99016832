from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

import reparam as rp
from reparam.distributions import ExpDirichlet, LogitBeta
from reparam.errors import InvalidArgument

from .conformance import CHECKS, Case, pairs, seeded

EXTREMES = (
    {"concentration": [1e-5, 1e-3, 1e-3]},
    {"concentration": [1e-3, 1.0, 1e6]},
    {"concentration": [1e8, 1e8, 1e8]},
)
CASES = [Case(ExpDirichlet, {"concentration": [0.7, 2.0, 5.0]}, extremes=EXTREMES)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_two_components_are_a_logit_beta() -> None:
    d = ExpDirichlet(torch.tensor([0.7, 2.0], dtype=torch.float64))
    y = d.sample((20,))
    ratio = y[:, 0] - y[:, 1]
    torch.testing.assert_close(d.log_prob(y), LogitBeta(d.concentration[0], d.concentration[1]).log_prob(ratio))


def test_density_is_the_dirichlets_times_every_component() -> None:
    d = ExpDirichlet(torch.tensor([0.7, 2.0, 5.0], dtype=torch.float64))
    y = d.sample((20,))
    torch.testing.assert_close(d.log_prob(y), Dirichlet(d.concentration).log_prob(y.exp()) + y.sum(-1))


@pytest.mark.parametrize("a", [[1e-3, 2e-3, 5e-3], [0.7, 2.0, 5.0]])
def test_gradients_of_moments_are_exact(a: list[float]) -> None:
    """d E[y_k] / da_j and d E[y_0 y_1] / da_j by trigammas; z-scores at a false-alarm rate below 1e-6 together."""
    n = 10_000
    concentration = torch.tensor(a, dtype=torch.float64).expand(n, 3).contiguous().requires_grad_()
    y = rp.rsample(ExpDirichlet(concentration), noise=seeded(5))
    exact = ExpDirichlet(concentration[:1].detach().clone().requires_grad_())
    second = torch.polygamma(1, exact.concentration.sum())
    mean = exact.mean
    targets = [(y[:, 0], mean[0, 0]), (y[:, 0] * y[:, 1], mean[0, 0] * mean[0, 1] - second)]
    for sampled, expected in targets:
        (slopes,) = torch.autograd.grad(sampled.sum(), concentration, retain_graph=True)
        (slope,) = torch.autograd.grad(expected, exact.concentration, retain_graph=True)
        z = (slopes.mean(0) - slope[0]) / (slopes.std(0) / n**0.5)
        assert z.abs().max() < 5.5


def test_a_thousand_tiny_concentrations_in_float32() -> None:
    """torch's Dirichlet leaves 92% of these components at the smallest float."""
    y = ExpDirichlet(torch.full((1000,), 1e-3)).rsample()
    assert torch.isfinite(y).all()
    assert y.unique().numel() > 950


def test_entropy_and_kl_are_those_of_the_dirichlet_up_to_the_change_of_measure() -> None:
    p, q = (torch.tensor(a, dtype=torch.float64) for a in ([0.7, 2.0, 5.0], [1.0, 1.0, 3.0]))
    assert kl_divergence(ExpDirichlet(p), ExpDirichlet(q)) == kl_divergence(Dirichlet(p), Dirichlet(q))
    moved = Dirichlet(p).entropy() - ExpDirichlet(p).mean.sum()
    torch.testing.assert_close(ExpDirichlet(p).entropy(), moved)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_vector_is_asked_for(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)vector.*received: .*instead: "):
        ExpDirichlet(torch.ones(shape))
