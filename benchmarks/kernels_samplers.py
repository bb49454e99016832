"""Claim: the samplers on counters outrun torch's own, one thread, a million numbers.

On an AVX-512 machine normals take at most 1/2.5 (float32) and 1/6 (float64) of `normal_`'s time, and gammas 1/10 and
1/5 of `_standard_gamma`'s; narrower vectors reach less, and each row says how much.

    python benchmarks/kernels_samplers.py
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import torch

import reparam as rp
from paired import Ratio, compare, machine
from reparam.noise import Philox

N = 1_000_000
RESULTS = pathlib.Path(__file__).parent / "results" / "kernels_samplers.json"
LIMITS = {
    ("normal", torch.float32): 1 / 2.5,
    ("normal", torch.float64): 1 / 6,
    ("gamma", torch.float32): 1 / 10,
    ("gamma", torch.float64): 1 / 5,
}


def normals(dtype: torch.dtype) -> Ratio:
    """A new tensor of standard normals each, as `torch.randn` makes it."""
    source = Philox(1).bind(torch.Size())

    def ours() -> object:
        return source.normal((N,), dtype, torch.device("cpu"))

    return compare(ours, lambda: torch.empty(N, dtype=dtype).normal_(), calls=3, pairs=21)


def gammas(dtype: torch.dtype, concentration: float) -> Ratio:
    source = Philox(1).bind(torch.Size())
    parameter = torch.full((N,), concentration, dtype=dtype)
    return compare(
        lambda: source.variate("gamma", [parameter]), lambda: torch._standard_gamma(parameter), calls=1, pairs=15
    )


def rows() -> Iterator[tuple[str, Ratio, float]]:
    for dtype in (torch.float32, torch.float64):
        yield f"normal, {dtype}".replace("torch.", ""), normals(dtype), LIMITS["normal", dtype]
    for dtype in (torch.float32, torch.float64):
        for concentration in (0.3, 3.0, 30.0):
            name = f"gamma {concentration:g}, {dtype}".replace("torch.", "")
            yield name, gammas(dtype, concentration), LIMITS["gamma", dtype]


def main() -> None:
    torch.set_num_threads(1)
    head = f"{machine()}; kernels: {rp.info().kernels}"
    print(head)
    results = {}
    for name, ratio, limit in rows():
        print(ratio.report(name, limit))
        results[name] = dataclasses.asdict(ratio)
    RESULTS.write_text(json.dumps({"machine": head, "numbers": N, "rows": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
