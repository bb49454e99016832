r"""Fit the tables of the Gamma pathwise derivative, in ball arithmetic, and write them for C++ and for Python.

    python tools/gamma_tables.py        # five seconds

The derivative :math:`h(a, x) = d\log x / da` at fixed probability is, with :math:`\ell = \log x`,

.. math:: h = \sum_{k \ge 0} \frac{x^k}{a (a + 1) \cdots (a + k)} (\psi(a + k + 1) - \ell)

Where x is small the kernels sum this backwards and need no table. Elsewhere two changes of variable make it smooth:
below a = 4, :math:`h x a (a + 1) (a + 2)` in :math:`(a, \ell)`, which has lost the poles at 0, -1 and -2; above,
:math:`h (a + x)` in :math:`(1/a, \log(x/a))`, which is Temme's uniform expansion at 1/a = 0, where it is
:math:`\mu \coth(\mu / 2)`. The boxes reach beyond quantiles of 1e-12 on both sides.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable

from chebyshev import Box, Point, interpolate
from cpp_charts import Rows, chart_header, fits
from flint import arb, ctx
from python_charts import DTYPES, HEAD, chart_entry

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "csrc" / "tables" / "gamma.hpp"
PYTHON_TABLE = ROOT / "src" / "reparam" / "kernels" / "gamma_table.py"
# What truncation may cost, relative to the least value in the box.
BUDGETS = {"double": 4e-15, "float": 1.5e-7}
_GUARD = 120  # bits beyond those that the sum loses


@dataclasses.dataclass(frozen=True)
class Chart:
    """A box on which `scaled(a, x, h)` is smooth in coordinates that `place` turns into (a, log x)."""

    name: str
    serves: tuple[float, float]  # concentrations, from and to
    box: Box
    place: Callable[[arb, arb], tuple[arb, arb]]
    scaled: Callable[[arb, arb, arb], arb]


def _small(name: str, a: tuple[float, float], log_x: tuple[float, float]) -> Chart:
    box = Box((a, log_x), (24, 28))
    return Chart(name, a, box, lambda s, t: (s, t), lambda a, x, h: h * x * a * (a + 1) * (a + 2))


def _large(
    name: str, a: tuple[float, float], inverse: tuple[float, float], mu: tuple[float, float], nodes: tuple[int, int]
) -> Chart:
    box = Box((inverse, mu), nodes)
    return Chart(name, a, box, lambda s, t: (1 / s, t - s.log()), lambda a, x, h: h * (a + x))


LOG_X = (-0.53125, 1.625, 3.8125)
SMALL = (
    _small("a01_low", (0.0, 1.0), LOG_X[:2]),
    _small("a01_high", (0.0, 1.0), LOG_X[1:]),
    _small("a14_low", (1.0, 4.0), LOG_X[:2]),
    _small("a14_high", (1.0, 4.0), LOG_X[1:]),
)
LARGE = (
    _large("a4_16", (4.0, 16.0), (1 / 16, 1 / 4), (-2.0, 2.4375), (16, 34)),
    _large("a16_100", (16.0, 100.0), (1 / 128, 1 / 16), (-2.125, 1.4375), (13, 30)),
    _large("a100_up", (100.0, math.inf), (0.0, 1 / 100), (-0.90625, 0.65625), (10, 22)),
)
CHARTS = {chart.name: chart for chart in (*SMALL, *LARGE)}


def dlogx_dconcentration(a: Callable[[], tuple[arb, arb]]) -> tuple[arb, arb, arb]:
    """(a, x, h) at a point given by a function that computes (a, log x) to the precision in force."""
    ctx.prec = 64
    shape, log_x = a()
    mu = log_x - shape.log()
    # The terms are positive up to about k = x - a; the sum is smaller than its largest by this factor.
    lost = float(shape * (mu.exp() - 1 - mu)) / 0.69 if mu > 0 else 0.0
    ctx.prec = _GUARD + int(lost)
    shape, log_x = a()
    x = log_x.exp()
    return shape, x, _series(shape, x, log_x)


def _series(a: arb, x: arb, log_x: arb) -> arb:
    digamma, term, k = (a + 1).digamma(), 1 / a, 0
    total = term * (digamma - log_x)
    peak, small = float(x) - float(a), arb(2) ** -_GUARD
    while True:
        k += 1
        step = 1 / (a + k)
        term *= x * step
        digamma += step
        change = term * (digamma - log_x)
        total += change
        if k > peak and k % 16 == 0 and abs(change) < small * abs(total):
            return total


def _values(chart: Chart) -> Point:
    def value(s: arb, t: arb) -> arb:
        a, x, h = dlogx_dconcentration(lambda: chart.place(s, t))
        return chart.scaled(a, x, h)

    return value


@functools.cache
def tables(name: str) -> dict[str, Rows]:
    """Rows of monomial coefficients for each C++ type, powers of t along a row."""
    coefficients, least = interpolate(_values(CHARTS[name]), CHARTS[name].box)
    return fits(coefficients, {kind: budget * least for kind, budget in BUDGETS.items()})


def cpp_chart(name: str) -> str:
    """One chart as a struct template, specialised for double and float."""
    return chart_header(name, CHARTS[name].box, tables(name))


def header() -> str:
    """The C++ file."""
    charts = "\n".join(cpp_chart(name) for name in CHARTS)
    return (
        "// Made by tools/gamma_tables.py; do not edit. Each chart is p(s, t) = sum_i s^i sum_j c_ij t^j, row by row.\n"
        f"#pragma once\n\nnamespace reparam::gamma_tables {{\n\n{charts}\n}}  // namespace reparam::gamma_tables\n"
    )


def python_chart(name: str) -> str:
    """One chart as an entry of the Python table."""
    chart = CHARTS[name]
    return chart_entry(name, chart.serves, chart.box, tables(name), DTYPES)


def python_table() -> str:
    """The Python file."""
    small, large = ("".join(python_chart(chart.name) for chart in charts) for charts in (SMALL, LARGE))
    comments = "# In (a, log x).\n", "# In (1/a, log(x/a)).\n"
    head = HEAD.format(maker="gamma_tables.py", header="gamma.hpp")
    return f"{head}{comments[0]}SMALL = (\n{small})\n{comments[1]}LARGE = (\n{large})\n"


if __name__ == "__main__":
    HEADER.write_text(header())
    PYTHON_TABLE.write_text(python_table())
