from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import stats

from reparam.distributions import JohnsonSU

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, skewness, tailweight, loc, scale):
    return mpmath.ncdf(skewness + tailweight * mpmath.asinh((x - loc) / scale))


def row(skewness: float, tailweight: float, loc: float, scale: float, **more) -> Case:
    law = stats.johnsonsu(skewness, tailweight, loc, scale)
    moments = {"mean": float(law.mean()), "variance": float(law.var())}
    names = {"skewness": skewness, "tailweight": tailweight, "loc": loc, "scale": scale}
    return Case(JohnsonSU, names, cdf, moments=moments, **more)


EXTREMES = ({"tailweight": 0.1}, {"tailweight": 1e5}, {"loc": 1e6, "scale": 1e-3}, {"skewness": 8.0})
CASES = [row(-0.7, 1.5, 0.3, 2.0, extremes=EXTREMES), row(1.0, 4.0, -1.0, 0.5)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_log_prob_does_not_overflow_in_the_far_tail() -> None:
    d = JohnsonSU(torch.tensor(0.0), torch.tensor(0.1))
    expected = JohnsonSU(torch.tensor(0.0, dtype=torch.float64), 0.1).log_prob(torch.tensor(1e25).double())
    assert d.log_prob(torch.tensor(1e25)).item() == pytest.approx(expected.item(), rel=1e-6)
