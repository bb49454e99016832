"""Claim: the slopes of the pathwise derivatives, of which second derivatives are made, are right to 1e-11.

At the points of `tests/special/second_derivatives.json`, from 90-digit arithmetic (`tools/second_derivatives.py`).

    python benchmarks/second_derivatives.py
"""

from __future__ import annotations

import json
import pathlib

import torch

import reparam as rp
from paired import machine
from reparam import special

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 1e-11
FUNCTIONS = {
    "gamma": special.gamma_dx_dconcentration,
    "beta": special.beta_dx_dconcentration1,
    "student_t": special.student_t_dx_ddf,
    "von_mises": special.von_mises_dx_dconcentration,
}


def main() -> None:
    print(machine(), "|", rp.info().kernels)
    rows = json.loads((ROOT / "tests" / "special" / "second_derivatives.json").read_text())
    for name, function in FUNCTIONS.items():
        own = [row for row in rows if row[0] == name]
        points = zip(*(row[1] for row in own), strict=True)
        arguments = [torch.tensor(column, dtype=torch.float64, requires_grad=True) for column in points]
        slopes = torch.autograd.grad(function(*arguments).sum(), (arguments[0], arguments[-1]))
        truths = torch.tensor([row[2:] for row in own], dtype=torch.float64).unbind(-1)
        errors = [((s - t) / t).abs().max().item() for s, t in zip(slopes, truths, strict=True)]
        verdict = "holds" if max(errors) <= LIMIT else "does not hold"
        print(
            f"{name}, float64, {len(own)} points: worst {errors[0]:.1e} in the parameter, {errors[1]:.1e} in the "
            f"variate; at most {LIMIT:.0e}: {verdict}"
        )


if __name__ == "__main__":
    main()
