"""Claim: the Gamma derivative is right to 1e-12 in float64 and 4e-6 (p99.9: 1e-6) in float32, out to both 1e-12 tails.

Concentrations from 1e-4 to 1e6, quantiles from 1e-12 to 1 - 1e-12 (x at least 1e-300, or float32's least), against the
series in ball arithmetic that `tools/gamma_tables.py` stands on. torch's own derivative is measured at the same points.

    python benchmarks/gamma_accuracy.py        # a minute; writes benchmarks/results/gamma_accuracy.json
"""

from __future__ import annotations

import importlib
import json
import pathlib
import sys

import torch
from rich.progress import track
from torch import Tensor

import reparam as rp
from paired import machine
from reparam.special import gamma_dx_dconcentration, log_gammaincinv

ROOT = pathlib.Path(__file__).resolve().parent
RESULTS = ROOT / "results" / "gamma_accuracy.json"
LIMITS = {"float64": (1e-12, 1e-12), "float32": (4e-6, 1e-6)}  # worst, p99.9


def points(dtype: torch.dtype, concentrations: int = 41, quantiles: int = 25) -> tuple[Tensor, Tensor]:
    """The declared grid, rounded to the dtype: concentrations along rows, quantiles along columns."""
    a = torch.logspace(-4, 6, concentrations, dtype=torch.float64)[:, None]
    log_p = torch.special.log_ndtr(torch.linspace(-7.034, 7.034, quantiles, dtype=torch.float64))
    least = 1e-300 if dtype == torch.float64 else torch.finfo(dtype).tiny
    x = torch.exp(log_gammaincinv(a, log_p)).clamp(min=least)
    return a.expand_as(x).to(dtype).contiguous(), x.to(dtype)


def exact(a: Tensor, x: Tensor) -> Tensor:
    """The derivative in ball arithmetic, rounded to float64."""
    sys.path.insert(0, str(ROOT.parent / "tools"))
    arb, series = importlib.import_module("flint").arb, importlib.import_module("gamma_tables").dlogx_dconcentration
    values = []
    for shape, at in track(list(zip(a.flatten().tolist(), x.flatten().tolist(), strict=True)), transient=True):
        _, value, h = series(lambda shape=shape, at=at: (arb(shape), arb(at).log()))
        values.append(float((value * h).mid()))
    return torch.tensor(values, dtype=torch.float64).reshape(a.shape)


def errors(dtype: torch.dtype) -> dict[str, object]:
    """Worst relative error at each concentration, ours and torch's, and what the claim is about."""
    a, x = points(dtype)
    truth = exact(a, x)
    ours, theirs = (
        ((f(a, x).double() - truth) / truth).abs() for f in (gamma_dx_dconcentration, torch._standard_gamma_grad)
    )
    return {
        "concentration": a[:, 0].tolist(),
        "ours": ours.amax(1).tolist(),
        "torch": theirs.amax(1).tolist(),
        "worst": ours.max().item(),
        "p99.9": ours.flatten().quantile(0.999).item(),
        "torch_worst": theirs.max().item(),
        "points": ours.numel(),
    }


def main() -> None:
    print(machine(), "|", rp.info().kernels)
    results: dict[str, object] = {"machine": machine(), "kernels": rp.info().kernels}
    for dtype in (torch.float64, torch.float32):
        name = str(dtype).removeprefix("torch.")
        row = results[name] = errors(dtype)
        holds = row["worst"] <= LIMITS[name][0] and row["p99.9"] <= LIMITS[name][1]  # type: ignore[operator]
        print(
            f"Gamma derivative, {name}, {row['points']} points: worst {row['worst']:.1e}, p99.9 {row['p99.9']:.1e} "
            f"(torch: worst {row['torch_worst']:.1e}); at most {LIMITS[name][0]:.0e} and {LIMITS[name][1]:.0e}: "
            f"{'holds' if holds else 'does not hold'}"
        )
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
