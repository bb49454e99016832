from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import special, stats
from torch.distributions import Gamma, kl_divergence

from reparam.distributions import ExpGamma

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(y, concentration, rate):
    return mpmath.gammainc(concentration, 0, rate * mpmath.exp(y), regularized=True)


def row(a: float, rate: float, **more) -> Case:
    moments = {
        "mean": float(special.digamma(a) - special.xlogy(1, rate)),
        "variance": float(special.polygamma(1, a)),
        "entropy": float(stats.loggamma(a).entropy()),
    }
    return Case(ExpGamma, {"concentration": a, "rate": rate}, cdf, moments=moments, **more)


EXTREMES = ({"concentration": 1e-6}, {"concentration": 1e-3, "rate": 1e30}, {"concentration": 1e8})
CASES = [row(0.7, 2.0, extremes=EXTREMES), row(1e-3, 1.0), row(300.0, 0.5)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("a", [1e-6, 1e-3, 1.0, 1e6])
def test_float32_density_agrees_with_mpmath(a: float) -> None:
    d = ExpGamma(torch.tensor(a), 3.0)
    for y in d.sample((5,)):
        exact_a, exact_y = mpmath.mpf(d.concentration.item()), mpmath.mpf(y.item())
        with mpmath.workdps(40):
            exact = exact_a * (exact_y + mpmath.log(3)) - 3 * mpmath.exp(exact_y) - mpmath.loggamma(exact_a)
        assert d.log_prob(y).item() == pytest.approx(float(exact), rel=1e-6, abs=1e-6)


def test_kl_is_that_of_the_gammas() -> None:
    p, q = torch.tensor([2.0, 3.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert kl_divergence(ExpGamma(*p), ExpGamma(*q)) == kl_divergence(Gamma(*p), Gamma(*q))


def test_kl_of_large_float32_concentrations() -> None:
    # Two Gammas of one mean: log of the ratio of the deviations, at second order; torch's own is off by 1 in float32.
    p, q = ExpGamma(torch.tensor(1e6), 1e6), ExpGamma(torch.tensor(1.21e6), 1.21e6)
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * (0.21 - math.log(1.21)), rel=1e-5)


def test_icdf_at_the_ends() -> None:
    assert ExpGamma(2.0).icdf(torch.tensor([0.0, 1.0])).tolist() == [-torch.inf, torch.inf]
