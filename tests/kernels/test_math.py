"""The elementary functions that every kernel stands on, and the table they are made from."""

from __future__ import annotations

import importlib.util
import pathlib
from types import ModuleType

import mpmath
import pytest
import torch
from torch import Tensor

from instruction_sets import INSTRUCTION_SETS, instruction_set, needs_kernels
from reparam.kernels import normal_table
from reparam.kernels.elementwise import run

ROOT = pathlib.Path(__file__).parent.parent.parent


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("elementary", ROOT / "tools" / "elementary.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_its_generator_makes():
    made = generator()
    assert made.table() == made.TABLE.read_text()
    namespace: dict[str, object] = {}
    exec(made.python_table(), namespace)
    for name in ("CENTRE", "TAIL", "CENTRE_MIDDLE", "TAIL_MIDDLE"):
        assert namespace[name] == getattr(normal_table, name)


def points(name: str, dtype: torch.dtype) -> Tensor:
    """Over the function's whole range, and thick where digits are lost."""
    u = torch.linspace(-1, 1, 151, dtype=torch.float64)
    reach = 700 if dtype == torch.float64 else 87
    if name == "log":
        x = torch.cat([torch.exp(u * reach), 1 + u / 10])
    elif name == "log1p":
        x = torch.cat([u / 2, torch.exp(30 * u), -torch.exp(10 * u - 10.1)])
    elif name in ("sin", "cos"):
        x = torch.cat([3.3 * u, 100 * u])
    else:
        x = torch.cat([u * reach, u, u * 1e-3])
    return x.to(dtype)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", ["log", "log1p", "exp", "expm1", "sin", "cos"])
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_elementary_functions_round_about_once(name: str, function: str, dtype: torch.dtype):
    x = points(function, dtype)
    with instruction_set(name):
        y = run(function, [x])
    with mpmath.workdps(40):
        exact = [getattr(mpmath, function)(mpmath.mpf(v)) for v in x.tolist()]
        errors = [abs(mpmath.mpf(a) - b) / (abs(b) or 1) for a, b in zip(y.tolist(), exact, strict=True)]
    assert float(max(errors)) < 1.6 * torch.finfo(dtype).eps


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", ["log", "log1p", "exp", "expm1"])
def test_ends_of_the_range(function: str, dtype: torch.dtype):
    inf, tiny = torch.inf, torch.finfo(dtype).smallest_normal / 8
    x = torch.tensor([0.0, -0.0, inf, -inf, torch.nan, -1.0, -2.0, tiny, -tiny, 1e4, -1e4], dtype=dtype)
    torch.testing.assert_close(run(function, [x]), getattr(torch, function)(x), equal_nan=True)
