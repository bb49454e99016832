"""Claim: the derivatives of Beta and Student-t in their shapes are right to 1e-12, over shapes from 1e-3 to 1e6.

At the points of `tests/special/*_reference.json`, which hold 30-digit integrals (`tools/beta_reference.py`); and for
the Beta at random ones, shapes log-uniform over the box and tails down to 1e-12, against power series in ball
arithmetic (`tools/beta_series.py`). For float32 the claim is 2e-7: the rounding of the result, and a little more.

    python benchmarks/shape_accuracy.py        # writes benchmarks/results/shape_accuracy.json; two minutes
"""

from __future__ import annotations

import importlib
import json
import math
import pathlib
import sys

import torch
from torch import Tensor

import reparam as rp
from paired import machine
from reparam.special import (
    beta_dlogit_dconcentration0,
    beta_dlogit_dconcentration1,
    betainc,
    betaincc,
    student_t_dx_ddf,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCES = ROOT / "tests" / "special"
RESULTS = ROOT / "benchmarks" / "results" / "shape_accuracy.json"
LIMITS = {torch.float64: 1e-12, torch.float32: 2e-7}
SEED, POINTS = 47, 600
SHAPES, TAIL = (1e-3, 1e6), 1e-12


def columns(name: str) -> list[Tensor]:
    rows = json.loads((REFERENCES / f"{name}_reference.json").read_text())
    return list(torch.tensor(rows, dtype=torch.float64).unbind(-1))


def log_uniform(low: float, high: float) -> Tensor:
    return low * torch.exp(math.log(high / low) * torch.rand(POINTS, dtype=torch.float64))


def logit_at(mass: Tensor, a: Tensor, b: Tensor, upper: Tensor) -> Tensor:
    """The logit beyond which Beta(a, b) has a given mass, roughly."""
    low, high = torch.full_like(a, -700), torch.full_like(a, 700)
    for _ in range(50):
        middle = (low + high) / 2
        x = torch.sigmoid(middle)
        right = torch.where(upper, betaincc(a, b, x) < mass, betainc(a, b, x) > mass)
        low, high = torch.where(right, low, middle), torch.where(right, middle, high)
    return low


def random_points() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(SEED)
    a, b = log_uniform(*SHAPES), log_uniform(*SHAPES)
    return a, b, logit_at(log_uniform(TAIL, 0.5), a, b, torch.rand(POINTS) < 0.5)


def report(name: str, value: Tensor, truth: Tensor, places: tuple[Tensor, ...]) -> dict[str, object]:
    error = ((value.double() - truth) / truth).abs()
    k, limit = int(error.argmax()), LIMITS[value.dtype]
    worst, place = error[k].item(), [float(f"{p[k].item():.6g}") for p in places]
    verdict = "holds" if worst <= limit else "does not hold"
    print(
        f"{name}, {str(value.dtype)[6:]}, {truth.numel()} points: worst {worst:.1e} at {place}, "
        f"median {error.median().item():.1e}; at most {limit:.0e}: {verdict}"
    )
    return {"worst": worst, "at": place, "median": error.median().item(), "points": truth.numel()}


def random_rows() -> dict[str, object]:
    sys.path.insert(0, str(ROOT / "tools"))
    truth = importlib.import_module("beta_series").dlogit_dconcentration1
    rows: dict[str, object] = {}
    for dtype in LIMITS:
        a, b, u = (t.to(dtype) for t in random_points())
        places = zip(a.tolist(), b.tolist(), u.tolist(), strict=True)
        wanted = torch.tensor([truth(*place) for place in places], dtype=torch.float64)
        name = "Beta derivative in its first concentration, at random"
        rows[f"beta random {str(dtype)[6:]}"] = report(name, beta_dlogit_dconcentration1(a, b, u), wanted, (a, b, u))
    return rows


def main() -> None:
    print(machine(), "|", rp.info().kernels)
    a, b, logit, _, _, slope, *_ = columns("beta")
    first, second = beta_dlogit_dconcentration1(a, b, logit), beta_dlogit_dconcentration0(b, a, -logit)
    df, t, _, slope_t, *_ = columns("student_t")
    results: dict[str, object] = {
        "machine": machine(),
        "kernels": rp.info().kernels,
        "beta first": report("Beta derivative in its first concentration", first, slope, (a, b, logit)),
        "beta second": report("Beta derivative in its second concentration", second, -slope, (b, a, -logit)),
        "student_t": report(
            "Student-t derivative in its degrees of freedom", student_t_dx_ddf(df, t), slope_t, (df, t)
        ),
        **random_rows(),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
