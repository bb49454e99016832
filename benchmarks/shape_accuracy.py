"""Claim: the derivatives of Beta and Student-t in their shapes are right to 1e-10, over shapes from 1e-3 to 1e6.

At the points of `tests/special/*_reference.json`, which hold 30-digit integrals (`tools/beta_reference.py`).

    python benchmarks/shape_accuracy.py
"""

from __future__ import annotations

import json
import pathlib

import torch
from torch import Tensor

import reparam as rp
from paired import machine
from reparam.special import beta_dlogit_dconcentration0, beta_dlogit_dconcentration1, student_t_dx_ddf

REFERENCES = pathlib.Path(__file__).resolve().parent.parent / "tests" / "special"
LIMIT = 1e-10


def columns(name: str) -> list[Tensor]:
    rows = json.loads((REFERENCES / f"{name}_reference.json").read_text())
    return list(torch.tensor(rows, dtype=torch.float64).unbind(-1))


def report(name: str, value: Tensor, truth: Tensor) -> None:
    worst = ((value - truth) / truth).abs().max().item()
    verdict = "holds" if worst <= LIMIT else "does not hold"
    print(f"{name}, float64, {truth.numel()} points: worst {worst:.1e}; at most {LIMIT:.0e}: {verdict}")


def main() -> None:
    print(machine(), "|", rp.info().kernels)
    a, b, logit, _, _, slope, *_ = columns("beta")
    report("Beta derivative in its first concentration", beta_dlogit_dconcentration1(a, b, logit), slope)
    report("Beta derivative in its second concentration", beta_dlogit_dconcentration0(b, a, -logit), -slope)
    df, t, _, slope, *_ = columns("student_t")
    report("Student-t derivative in its degrees of freedom", student_t_dx_ddf(df, t), slope)


if __name__ == "__main__":
    main()
