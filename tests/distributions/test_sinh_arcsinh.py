from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch

from reparam.distributions import SinhArcsinh

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, loc, scale, skewness, tailweight):
    unit = 2 * scale / mpmath.sinh(tailweight * mpmath.asinh(2))
    return mpmath.ncdf(mpmath.sinh(mpmath.asinh((x - loc) / unit) / tailweight - skewness))


def moment(power: int, loc: float, scale: float, skewness: float, tailweight: float) -> float:
    unit = 2 * scale / mpmath.sinh(tailweight * mpmath.asinh(2))

    def integrand(z):
        return (loc + unit * mpmath.sinh((mpmath.asinh(z) + skewness) * tailweight)) ** power * mpmath.npdf(z)

    return float(mpmath.quad(integrand, [-40, -5, 0, 5, 40]))  # pyright: ignore[reportArgumentType]


def row(loc: float, scale: float, skewness: float, tailweight: float, **more) -> Case:
    names = {"loc": loc, "scale": scale, "skewness": skewness, "tailweight": tailweight}
    mean = moment(1, **names)
    return Case(SinhArcsinh, names, cdf, moments={"mean": mean, "variance": moment(2, **names) - mean**2}, **more)


EXTREMES = ({"tailweight": 0.01}, {"tailweight": 12.0}, {"loc": 1e6, "scale": 1e-3}, {"skewness": 5.0})
CASES = [row(0.3, 2.0, -0.4, 1.4, extremes=EXTREMES), row(-1.0, 0.5, 0.8, 0.6)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_is_normal_at_its_defaults() -> None:
    x = torch.linspace(-5, 5, 11)
    normal = torch.distributions.Normal(1.0, 2.0)
    torch.testing.assert_close(SinhArcsinh(1.0, 2.0).log_prob(x), normal.log_prob(x))
