from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import special, stats

from reparam.distributions import HalfStudentT

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, df, scale):
    t = (x / scale) ** 2
    return mpmath.betainc(mpmath.mpf(1) / 2, df / 2, 0, t / (df + t), regularized=True)


def row(df: float, scale: float, **more) -> Case:
    mean = scale * 2 * math.sqrt(df / math.pi) * special.gamma((df + 1) / 2) / special.gamma(df / 2) / (df - 1)
    entropy = float(stats.t(df, scale=scale).entropy()) - math.log(2)
    moments = {"mean": mean, "variance": scale**2 * df / (df - 2) - mean**2, "entropy": entropy}
    return Case(HalfStudentT, {"df": df, "scale": scale}, cdf, moments=moments, **more)


EXTREMES = ({"df": 0.2}, {"df": 1e7}, {"scale": 1e-20}, {"df": 1.0})
CASES = [row(3.5, 2.0, extremes=EXTREMES), row(40.0, 0.3), Case(HalfStudentT, {"df": 0.8, "scale": 1.0}, cdf)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_moments_that_do_not_exist() -> None:
    df = torch.tensor([0.5, 1.0, 1.5, 2.0, 3.0], requires_grad=True)
    d = HalfStudentT(df)
    assert torch.isinf(d.mean).tolist() == [True, True, False, False, False]
    assert torch.isnan(d.variance).tolist() == [True, True, False, False, False]
    assert torch.isinf(d.variance).tolist() == [False, False, True, True, False]
    (slope,) = torch.autograd.grad(d.mean[-1] + d.variance[-1], df)
    assert torch.isfinite(slope).all()


def test_half_normal_at_many_degrees_of_freedom() -> None:
    x = torch.tensor([0.0, 0.5, 3.0])
    half_normal = torch.distributions.HalfNormal(2.0)
    torch.testing.assert_close(HalfStudentT(torch.tensor(1e8), 2.0).log_prob(x), half_normal.log_prob(x))


def test_float32_density_far_out() -> None:
    d = HalfStudentT(torch.tensor(0.05))
    exact = float(stats.t.logpdf(1e30, 0.05)) + math.log(2)
    assert d.log_prob(torch.tensor(1e30)).item() == pytest.approx(exact, rel=1e-6)
