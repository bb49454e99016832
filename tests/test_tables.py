"""The kernels' tables are what their generators write, from ball arithmetic."""

from __future__ import annotations

import importlib
import pathlib
import sys
from types import ModuleType

import pytest

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in ("chebyshev", "gamma_tables", "legendre_tables"):
        sys.modules.pop(name, None)


def test_one_chart_of_the_gamma_derivative_is_current(generator):
    gamma = generator("gamma_tables")
    chart = gamma.chart_header("a100_up")
    assert chart.count("COEFFICIENTS") == 2
    assert chart in gamma.HEADER.read_text(), "run python tools/gamma_tables.py"
    assert gamma.python_chart("a100_up") in gamma.PYTHON_TABLE.read_text(), "run python tools/gamma_tables.py"


def test_the_quadrature_rules_are_current(generator):
    legendre = generator("legendre_tables")
    assert legendre.HEADER.read_text() == legendre.header(), "run python tools/legendre_tables.py"


@pytest.mark.long
def test_every_chart_is_current(generator):
    gamma = generator("gamma_tables")
    assert gamma.HEADER.read_text() == gamma.header(), "run python tools/gamma_tables.py"
    assert gamma.PYTHON_TABLE.read_text() == gamma.python_table(), "run python tools/gamma_tables.py"
