"""The kernels' tables are what their generators write, from ball arithmetic."""

from __future__ import annotations

import importlib
import math
import pathlib
import sys
from types import ModuleType

import pytest
import torch
from flint import arb

from reparam.kernels.legendre_table import RULES
from reparam.special._quadrature import gauss_legendre

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in (
        "beta_series",
        "beta_tables",
        "chebyshev",
        "cpp_charts",
        "gamma_tables",
        "legendre_tables",
        "python_charts",
    ):
        sys.modules.pop(name, None)


def test_one_chart_of_the_gamma_derivative_is_current(generator):
    gamma = generator("gamma_tables")
    chart = gamma.cpp_chart("a100_up")
    assert chart.count("COEFFICIENTS") == 2
    assert chart in gamma.HEADER.read_text(), "run python tools/gamma_tables.py"
    assert gamma.python_chart("a100_up") in gamma.PYTHON_TABLE.read_text(), "run python tools/gamma_tables.py"


def test_the_charts_of_the_beta_derivative_are_current(generator):
    beta = generator("beta_tables")
    assert beta.HEADER.read_text() == beta.header(), "run python tools/beta_tables.py"
    assert beta.PYTHON_TABLE.read_text() == beta.python_table(), "run python tools/beta_tables.py"


@pytest.mark.parametrize(
    ("a", "b", "u"), [(20.0, 1e-3, 7.0), (31.0, 9.0, 1.0), (48.0, 1e6, -10.5), (300.0, 300.0, 0.2)]
)
def test_the_orders_of_the_beta_derivative_sum_to_it(generator, a, b, u):
    beta, series = generator("beta_tables"), generator("beta_series")
    x = 1 / (1 + math.exp(-u))
    inverse, share, ell = (arb(v) for v in (1 / a, a / (a + b), math.log(x * (a + b) / a)))
    fitted = float(beta.scaled(inverse, share, ell)) / (a + (a + b) * x)
    assert fitted == pytest.approx(series.dlogit_dconcentration1(a, b, u), rel=3e-15)


def test_the_quadrature_rules_are_current(generator):
    legendre = generator("legendre_tables")
    assert legendre.HEADER.read_text() == legendre.header(), "run python tools/legendre_tables.py"
    assert legendre.PYTHON_TABLE.read_text() == legendre.python_table(), "run python tools/legendre_tables.py"


def test_the_reference_s_own_quadrature_rules_are_those_of_the_kernels():
    for n, (nodes, weights) in RULES.items():
        points, masses = (t.flip(0) for t in gauss_legendre(n))
        torch.testing.assert_close((1 + points) / 2, torch.tensor(nodes, dtype=torch.float64), rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(masses / 2, torch.tensor(weights, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.long
def test_every_chart_is_current(generator):
    gamma = generator("gamma_tables")
    assert gamma.HEADER.read_text() == gamma.header(), "run python tools/gamma_tables.py"
    assert gamma.PYTHON_TABLE.read_text() == gamma.python_table(), "run python tools/gamma_tables.py"
