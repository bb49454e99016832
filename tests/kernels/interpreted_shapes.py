"""Run by `test_triton.py` with TRITON_INTERPRET=1: the twins of the Beta, Student-t and von Mises derivatives on a CPU.

At the 30-digit references of the C++ kernels, and at the ends of the floats against the CPU's own answers.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import mpmath as mp
import numpy as np
import torch
from torch import Tensor

from reparam import special
from reparam.kernels import twins

F32, F64 = torch.float32, torch.float64
INF, NAN = float("inf"), float("nan")
SPECIAL = pathlib.Path(__file__).parent.parent / "special"
FUNCTIONS = {
    "student_t_dt_dnu": special.student_t_dx_ddf,
    "von_mises_dx_dkappa": special.von_mises_dx_dconcentration,
    "beta_dlogit_da": special.beta_dlogit_dconcentration1,
    "beta_dlogit_db": special.beta_dlogit_dconcentration0,
    "beta_dx_da": special.beta_dx_dconcentration1,
    "beta_dx_db": special.beta_dx_dconcentration0,
}


def table(name: str) -> list[Tensor]:
    rows = json.loads((SPECIAL / f"{name}_reference.json").read_text())
    return list(torch.tensor(rows, dtype=F64).unbind(-1))


def by_twin(name: str, inputs: Sequence[Tensor]) -> Tensor:
    out = torch.empty_like(inputs[0])
    module = twins.load(twins.DERIVATIVES[name])
    assert module is not None
    module.fill(name, out, *inputs)
    return out


def check(name: str, inputs: Sequence[Tensor], exact: Tensor, ends: Sequence[Sequence[float]], dtype: torch.dtype):
    """In float32 the exact value is at inputs that a float32 holds, so there the CPU's answer is the reference."""
    last = torch.tensor(ends, dtype=F64).unbind(-1)
    inputs = [torch.cat(pair).to(dtype) for pair in zip(inputs, last, strict=True)]
    value, cpu = by_twin(name, inputs), FUNCTIONS[name](*inputs)
    n = len(exact) if dtype == F64 else 0
    torch.testing.assert_close(value[:n].double(), exact[:n], rtol=1e-12, atol=0)
    torch.testing.assert_close(value, cpu, rtol=4e-7 if dtype == F32 else 1e-11, atol=1e-290, equal_nan=True)


def student_t() -> None:
    nu, t, _, slope, *_ = table("student_t")
    ends = [(3, 0), (3, INF), (3, -INF), (3, NAN), (0, 1), (-1, 1), (INF, 1), (NAN, 1), (2, 1e200), (1e300, 2)]
    check("student_t_dt_dnu", (nu, -t), -slope, ends, F64)


def von_mises() -> None:
    kappa, share = torch.cartesian_prod(torch.tensor([1e-3, 1, 5, 300, 1e5]), torch.tensor([-2.5, 0.5, 1.2])).unbind(-1)
    kappa, x = kappa.double(), share.double() / (kappa.double() + 1).sqrt()
    exact = torch.tensor([von_mises_slope(*at) for at in zip(kappa.tolist(), x.tolist(), strict=True)], dtype=F64)
    ends = [(0, 1), (0, 0), (2, torch.pi), (2, -torch.pi), (1, 4), (-1, 1), (INF, 1), (NAN, 1), (1, NAN)]
    for dtype in (F32, F64):
        check("von_mises_dx_dkappa", (kappa, x), exact, ends, dtype)


def von_mises_slope(kappa: float, x: float) -> float:
    with mp.workdps(30):
        mean = mp.besseli(1, kappa) / mp.besseli(0, kappa)
        top = mp.cos(x)
        scores: Any = mp.quad(lambda t: (mp.cos(t) - mean) * mp.exp(kappa * (mp.cos(t) - top)), mp.linspace(0, x, 6))
        return float(-scores)


def beta() -> None:
    a, b, u, _, _, h, *_ = table("beta")
    x = torch.sigmoid(u)
    inner = (x > 1e-290) & (u < 30)  # 1 - x has the digits of u
    ends = [(2, 3, 0), (2, 3, 1), (2, 3, -1), (0, 1, 0.5), (1, -1, 0.5), (INF, 1, 0.5), (1, 1, NAN)]
    ends += [(1e-200, 2, 0.3), (1e200, 1e200, 0.5), (30, 1e-5, 0.9), (1e-3, 1e-3, 1e-300)]
    check("beta_dlogit_da", (a, b, u), h, [*ends, (2, 3, INF), (2, 3, -INF)], F64)
    check("beta_dlogit_db", (b, a, -u), -h, [*ends, (2, 3, INF), (2, 3, -INF)], F32)
    slope = special.beta_dx_dconcentration1(a, b, x)[inner]
    check("beta_dx_da", (a[inner], b[inner], x[inner]), slope, ends, F32)
    check("beta_dx_db", (b[inner], a[inner], 1 - x[inner]), slope[:0], ends, F64)


if __name__ == "__main__":
    np.seterr(all="ignore")  # the formulas of regions that an element is not in
    student_t()
    von_mises()
    beta()
    print("agree")
