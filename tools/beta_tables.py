r"""Fit the tables of the Beta pathwise derivative at large first concentrations, in ball arithmetic, for the kernels.

    python tools/beta_tables.py        # two seconds

The derivative :math:`h = d \operatorname{logit} x / da` at fixed probability is the one solution of

.. math:: \frac{dh}{d \operatorname{logit} x} = \psi(a) - \psi(a + b) - \log x + \bigl((a + b) x - a\bigr) h

that does not grow like the inverse density. With :math:`p = a / (a + b)` and :math:`\ell = \log(x / p)` it is a series
:math:`a h = \sum_k g_k(p, \ell) a^{-k}`, in which every :math:`g_k` is a polynomial of degree k in p:

.. math:: (e^\ell - 1)\, g_0 = \ell, \qquad (e^\ell - 1)\, g_k = (1 - p e^\ell)\, \partial_\ell g_{k-1} + c_k,

:math:`\psi(a + b) - \psi(a) = -\log p + \sum_k c_k(p) a^{-k}`. Nothing is asked of b: it may be large, when h is
that of a Gamma variate, or tend to 0. In the charts :math:`h (a + (a + b) x)` is fitted, which lies between 2 and 3,
in :math:`(1/a, p, \ell)`; the boxes in :math:`\ell` reach beyond quantiles of 1e-12 whatever b is.
"""

from __future__ import annotations

import functools
import itertools
import math
import pathlib

from chebyshev import Box, interpolate
from cpp_charts import Rows, chart_header, fits
from flint import arb, arb_poly, ctx, fmpq, fmpq_poly
from python_charts import HEAD, chart_entry

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "csrc" / "tables" / "beta.hpp"
PYTHON_TABLE = ROOT / "src" / "reparam" / "kernels" / "beta_table.py"
# What truncation may cost, absolutely, of a value above 2; float results are computed in double.
BUDGETS = {"double": 4e-14, "float": 1e-8}
ORDERS = 18  # the first left out is below 1e-19 at a = 20
DEGREE = 64  # of each g_k in ell, which converges for |ell| < 2 pi
_BITS = 160


def _box(inverse: tuple[float, float], ell: tuple[float, float], nodes: tuple[int, int, int]) -> Box:
    return Box((inverse, (0.0, 1.0), ell), nodes)


CHARTS = {
    "a20_48": _box((1 / 48, 1 / 20), (-2.1875, 1.28125), (9, 11, 28)),
    "a48_200": _box((1 / 200, 1 / 48), (-1.25, 0.875), (8, 9, 22)),
    "a200_up": _box((0.0, 1 / 200), (-0.5625, 0.46875), (7, 8, 18)),
}
SERVES = {"a20_48": (20.0, 48.0), "a48_200": (48.0, 200.0), "a200_up": (200.0, math.inf)}


@functools.cache
def orders() -> list[list[fmpq_poly]]:
    """`orders()[k][j]` is the coefficient of `p^j` in `g_k`, as a power series in ell."""
    length = DEGREE + ORDERS + 2  # each order loses two terms: one to the derivative, one to the division
    exponential = fmpq_poly([fmpq(1) / _factorial(n) for n in range(length)])
    inverse = _reciprocal([fmpq(1) / _factorial(n + 1) for n in range(length)])
    found = [[inverse]]
    for k in range(1, ORDERS + 1):
        length -= 1
        slopes = [g.derivative() for g in found[-1]] + [fmpq_poly()]
        sums = [slopes[0], *(_cut(s - exponential * before, length) for before, s in itertools.pairwise(slopes))]
        c = fmpq(1, 2) if k == 1 else fmpq.bernoulli(k) / k
        sums[0] += c
        sums[k] -= c
        found.append([_cut(_over_ell(s) * inverse, length - 1) for s in sums])
    return found


def _factorial(n: int) -> fmpq:
    return fmpq(1) if n == 0 else n * _factorial(n - 1)


def _reciprocal(series: list[fmpq]) -> fmpq_poly:
    result = [1 / series[0]]
    for n in range(1, len(series)):
        result.append(-sum((series[m] * result[n - m] for m in range(1, n + 1)), fmpq(0)) / series[0])
    return fmpq_poly(result)


def _cut(series: fmpq_poly, length: int) -> fmpq_poly:
    return fmpq_poly(series.coeffs()[:length])


def _over_ell(series: fmpq_poly) -> fmpq_poly:
    first, *rest = series.coeffs() or [fmpq(0)]
    if first != 0:
        raise ArithmeticError("the series is singular at the centre: its orders do not solve the equation")
    return fmpq_poly(rest)


@functools.cache
def _balls() -> list[list[arb_poly]]:
    ctx.prec = _BITS
    return [[arb_poly(g) for g in polynomials] for polynomials in orders()]


@functools.cache
def _in_p(ell: arb) -> list[arb_poly]:
    """Each g_k at one ell, as a polynomial in p."""
    return [arb_poly([g(ell) for g in polynomials]) for polynomials in _balls()]


def scaled(inverse: arb, p: arb, ell: arb) -> arb:
    """The number fitted, `h (a + (a + b) x)`."""
    ctx.prec = _BITS
    return arb_poly([g(p) for g in _in_p(ell)])(inverse) * (1 + ell.exp())


@functools.cache
def tables(name: str) -> dict[str, Rows]:
    """Rows of monomial coefficients for each C++ type, powers of ell along a row."""
    coefficients, _ = interpolate(scaled, CHARTS[name])
    return fits(coefficients, BUDGETS)


def header() -> str:
    """The C++ file: each chart a struct template, specialised for double and float results."""
    charts = "\n".join(chart_header(name, box, tables(name), wide=True) for name, box in CHARTS.items())
    return (
        "// Made by tools/beta_tables.py; do not edit. Each chart is\n"
        "// p(r, s, t) = sum_i r^i sum_j s^j sum_k c_ijk t^k, row by row.\n"
        f"#pragma once\n\nnamespace reparam::beta_tables {{\n\n{charts}\n}}  // namespace reparam::beta_tables\n"
    )


def python_table() -> str:
    """The Python file: coefficients of both dtypes in double."""
    kinds = {"float32": "double", "float64": "double"}
    charts = "".join(chart_entry(name, SERVES[name], box, tables(name), kinds) for name, box in CHARTS.items())
    head = HEAD.format(maker="beta_tables.py", header="beta.hpp")
    return f"{head}# In (1/a, a/(a + b), log(x (a + b) / a)).\nCHARTS = (\n{charts})\n"


if __name__ == "__main__":
    HEADER.write_text(header())
    PYTHON_TABLE.write_text(python_table())
