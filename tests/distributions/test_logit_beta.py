from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import special
from torch.distributions import Beta, kl_divergence

from reparam.distributions import LogitBeta

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(y, concentration1, concentration0):
    return mpmath.betainc(concentration1, concentration0, 0, 1 / (1 + mpmath.exp(-y)), regularized=True)


def row(a: float, b: float, **more) -> Case:
    moments = {
        "mean": float(special.digamma(a) - special.digamma(b)),
        "variance": float(special.polygamma(1, a) + special.polygamma(1, b)),
    }
    return Case(LogitBeta, {"concentration1": a, "concentration0": b}, cdf, moments=moments, **more)


SMALL = {"concentration1": 1e-5, "concentration0": 1e-5}
EXTREMES = (SMALL, {"concentration1": 1e-3, "concentration0": 1e6}, {"concentration1": 1e8})
CASES = [row(0.7, 2.0, extremes=EXTREMES), row(30.0, 5.0)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_small_concentrations_do_not_pile_up() -> None:
    """torch's Beta(1e-3, 1e-3) is exactly 1/2 in a quarter of its float32 samples."""
    y = LogitBeta(torch.full((10_000,), 1e-3), 1e-3).rsample()
    assert y.unique().numel() > 9_900
    # P(|y| < 1) is 5e-4, and each of y > 0 and y < 0 has probability 1/2.
    assert (y.abs() < 1).float().mean() < 5e-3
    assert abs((y > 0).float().mean().item() - 0.5) < 0.03


def test_entropy_is_minus_the_mean_log_density() -> None:
    d = LogitBeta(torch.tensor(0.7, dtype=torch.float64), 2.0)
    y = torch.linspace(-60, 25, 40_001, dtype=torch.float64)
    log_prob = d.log_prob(y)
    assert d.entropy().item() == pytest.approx(-torch.trapezoid(log_prob.exp() * log_prob, y).item(), rel=1e-9)


def test_kl_is_that_of_the_betas() -> None:
    p, q = torch.tensor([2.0, 3.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert kl_divergence(LogitBeta(*p), LogitBeta(*q)) == kl_divergence(Beta(*p), Beta(*q))
    rounded = kl_divergence(LogitBeta(*(1e6 * p).float()), LogitBeta(*(1.1e6 * p).float()))
    torch.testing.assert_close(rounded.double(), kl_divergence(Beta(*1e6 * p), Beta(*1.1e6 * p)), rtol=1e-6, atol=0)
