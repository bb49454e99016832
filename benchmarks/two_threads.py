"""Claim: on a quiet machine two threads take at most 1/1.7 of the time of one, at a million numbers and at ten.

By the clock on the wall, in turn in one process, for the Gamma derivative and the samplers. On a machine that does
other work the figures mean nothing: its load is printed beside them.

    python benchmarks/two_threads.py
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable

import torch

import reparam as rp
from paired import machine
from reparam.noise import Philox
from reparam.special import gamma_dx_dconcentration

LIMIT = 1 / 1.7
SIZES = {1_000_000: 15, 10_000_000: 5}  # and how many pairs
CPU = torch.device("cpu")


def kernels(n: int, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    source = Philox(1).bind(torch.Size())
    a = torch.full((n,), 3.0, dtype=dtype)
    x = source.variate("gamma", [a])
    return {
        "Gamma derivative": lambda: gamma_dx_dconcentration(a, x),
        "normal": lambda: source.normal((n,), dtype, CPU),
        "gamma": lambda: source.variate("gamma", [a]),
    }


def seconds(run: Callable[[], object], threads: int) -> float:
    torch.set_num_threads(threads)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def ratio(run: Callable[[], object], pairs: int) -> tuple[float, float, float]:
    """Quartiles of two threads' time over one's; the first pair warms up."""
    ratios = []
    for _ in range(1 + pairs):
        times = {threads: seconds(run, threads) for threads in random.sample((1, 2), 2)}
        ratios.append(times[2] / times[1])
    low, middle, high = statistics.quantiles(ratios[1:], n=4)
    return low, middle, high


def main() -> None:
    print(machine().replace("one thread", "by the wall"), "|", rp.info().kernels)
    for n, pairs in SIZES.items():
        for dtype in (torch.float32, torch.float64):
            for name, run in kernels(n, dtype).items():
                low, middle, high = ratio(run, pairs)
                verdict = "holds" if middle <= LIMIT else "does not hold"
                print(
                    f"{name}, {n:,}, {str(dtype)[6:]}: {middle:.2f} of one thread's time (quartiles {low:.2f} to "
                    f"{high:.2f}); at most {LIMIT:.2f}: {verdict}; load {os.getloadavg()[0]:.1f}"
                )


if __name__ == "__main__":
    main()
