from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import stats

from reparam.distributions import GeneralizedNormal

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, loc, scale, power):
    y = (x - loc) / scale
    inner = mpmath.gammainc(1 / power, 0, abs(y) ** power, regularized=True)
    return (1 + mpmath.sign(y) * inner) / 2


def row(loc: float, scale: float, power: float, **more) -> Case:
    law = stats.gennorm(power, loc, scale)
    moments = {"mean": loc, "variance": float(law.var()), "entropy": float(law.entropy())}
    return Case(GeneralizedNormal, {"loc": loc, "scale": scale, "power": power}, cdf, moments=moments, **more)


EXTREMES = ({"power": 0.2}, {"power": 1e3}, {"loc": 1e6, "scale": 1e-3}, {"scale": 1e20})
CASES = [row(0.3, 2.0, 1.4, extremes=EXTREMES), row(-1.0, 0.5, 0.6), row(0.5, 2.0, 8.0)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_normal_at_power_two() -> None:
    x = torch.linspace(-5, 5, 11, dtype=torch.float64)
    scale = torch.tensor(2.0, dtype=torch.float64)
    d, normal = GeneralizedNormal(1.0, scale, 2.0), torch.distributions.Normal(1.0, scale / 2**0.5)
    torch.testing.assert_close(d.log_prob(x), normal.log_prob(x))
    torch.testing.assert_close(d.cdf(x), normal.cdf(x))


def test_centre_and_ends() -> None:
    loc = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    d = GeneralizedNormal(loc, 2.0, 1.4)
    middle = d.cdf(torch.tensor(0.0, dtype=torch.float64))
    assert middle.item() == 0.5
    assert -torch.autograd.grad(middle, loc)[0].item() == pytest.approx(d.log_prob(loc.detach()).exp().item())
    assert d.icdf(torch.tensor([0.0, 0.5, 1.0]).double()).tolist() == [-torch.inf, 0.0, torch.inf]


@pytest.mark.parametrize("power", [0.6, 1.0, 2.0])
def test_the_gradient_at_the_cusp_is_zero(power: float) -> None:
    loc = torch.tensor(0.5, requires_grad=True)
    log_prob = GeneralizedNormal(loc, 2.0, power).log_prob(torch.tensor(0.5))
    assert log_prob.item() == pytest.approx(-math.lgamma(1 + 1 / power) - math.log(4))
    assert torch.autograd.grad(log_prob, loc)[0].item() == 0


@pytest.mark.parametrize("power", [1e3, 1e6])
def test_uniform_as_the_power_grows(power: float) -> None:
    d = GeneralizedNormal(torch.tensor(0.0), 1.0, power)
    x = torch.tensor([-0.9, -0.5, 0.0, 0.25])
    torch.testing.assert_close(d.cdf(x), (1 + x / math.gamma(1 + 1 / power)) / 2)
    assert d.rsample((1000,)).abs().max() < 1.02
