"""What the kernels are measured beside in the same run: JAX where it is installed, and what memory allows."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclasses.dataclass(frozen=True)
class PerNumber:
    """CPU nanoseconds a number: the quartiles of some repeats after one that warms up."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ns (quartiles {self.low:.2f} to {self.high:.2f})"


def per_number(call: Callable[[], object], numbers: int, repeats: int) -> PerNumber:
    """CPU time of the process, so that what a peer does on other threads counts."""
    times = []
    for _ in range(1 + repeats):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) / numbers * 1e9)
    return PerNumber(*statistics.quantiles(times[1:], n=4))


def stream(a: Tensor, x: Tensor) -> PerNumber:
    """Two arrays read and one written, with nothing to compute: no kernel of two arguments can be faster."""
    out = torch.empty_like(a)
    return per_number(lambda: torch.add(a, x, out=out), a.numel(), 41)


def _jax() -> Any | None:
    if importlib.util.find_spec("jax") is None:
        return None
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_ONE_THREAD}"
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    return jax


JAX = _jax()
_GRADIENT = None if JAX is None else JAX.jit(JAX.lax.random_gamma_grad)


def jax_gamma(a: Tensor, x: Tensor, numbers: int = 20_000) -> PerNumber | None:
    """`jax.lax.random_gamma_grad`, compiled, at the first of these points; None where JAX is not installed."""
    if JAX is None or _GRADIENT is None:
        return None
    gradient, points = _GRADIENT, [JAX.numpy.asarray(t[:numbers].numpy()) for t in (a, x)]
    return per_number(lambda: gradient(*points).block_until_ready(), numbers, 7)


def versions() -> str:
    """What stands beside torch."""
    return "JAX is not installed" if JAX is None else f"JAX {JAX.__version__}"
