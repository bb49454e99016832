"""Two ways to do one thing, timed in turn in one process, so that both meet the same machine."""

from __future__ import annotations

import dataclasses
import os
import platform
import random
import statistics
import time
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Ratio:
    """CPU time of one against another, pair by pair.

    Attributes:
        low, middle, high: quartiles of the ratio.
        ours, peer: median CPU seconds of one call.
        pairs: how many pairs.
    """

    low: float
    middle: float
    high: float
    ours: float
    peer: float
    pairs: int

    def report(self, name: str, limit: float) -> str:
        """One line: the ratio with its spread, the times, and whether the limit holds."""
        verdict = "holds" if self.middle <= limit else "does not hold"
        return (
            f"{name:<44} {self.middle:.3f} (quartiles {self.low:.3f} to {self.high:.3f}, {self.pairs} pairs); "
            f"{self.ours * 1e6:.1f} us against {self.peer * 1e6:.1f} us; at most {limit}: {verdict}"
        )


def compare(ours: Callable[[], object], peer: Callable[[], object], *, calls: int, pairs: int = 41) -> Ratio:
    """Time blocks of `calls` calls of each in a random order within each pair; the first pair warms up."""
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(1 + pairs):
        for name, call in random.sample([("ours", ours), ("peer", peer)], 2):
            started = time.process_time()
            for _ in range(calls):
                call()
            times[name].append((time.process_time() - started) / calls)
    a, b = times["ours"][1:], times["peer"][1:]
    low, middle, high = statistics.quantiles([x / y for x, y in zip(a, b, strict=True)], n=4)
    return Ratio(low, middle, high, statistics.median(a), statistics.median(b), pairs)


def machine() -> str:
    """The machine and the versions, for the head of a report."""
    with open("/proc/cpuinfo") as lines:
        model = next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
        )
    return (
        f"{model}, {os.cpu_count()} cores, one thread; torch {torch.__version__} "
        f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}"
    )
