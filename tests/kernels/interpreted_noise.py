"""Run by `test_triton.py` with TRITON_INTERPRET=1: the noise kernels' twins on a CPU against their definition."""

from __future__ import annotations

import math

import numpy as np
import torch

from reparam.kernels import triton_gamma_sampler, triton_noise
from reparam.noise import Philox
from reparam.noise.quantile import QuantileStream
from reparam.noise.variates import _by_definition

CPU = torch.device("cpu")
# With the number of the first row: rows that share counters, and rows that have their own; counters that turn over.
SHAPES = [((5,), 3), ((700,), (1 << 32) - 2), ((300, 2), 3), ((3, 5), (1 << 32) - 2), ((2, 3, 4), 0)]


def check(shape: tuple[int, ...], dtype: torch.dtype, first: int) -> None:
    noise = Philox((7 << 32) + 5, index=first, variable=3).at(9)
    words, length = ((7 << 32) + 5, 9, 3 << 16, first), math.prod(shape[1:])
    eps = torch.finfo(dtype).eps
    out = torch.empty(shape, dtype=dtype)
    triton_noise.fill(0, out, words, length)
    assert torch.equal(out, QuantileStream.uniform(noise.bind(torch.Size()), shape, dtype, CPU)), (shape, dtype, first)
    normal = QuantileStream.normal(noise.bind(torch.Size()), shape, dtype, CPU)
    triton_noise.fill(1, out, words, length)
    torch.testing.assert_close(out, normal, rtol=16 * eps, atol=2 * eps)
    exponential = QuantileStream.exponential(noise.bind(torch.Size()), shape, dtype, CPU)
    triton_noise.fill(2, out, words, length)
    torch.testing.assert_close(out, exponential, rtol=4 * eps, atol=0)
    if len(shape) == 2:
        check_scaled(normal.contiguous(), words, length)


def check_scaled(normal: torch.Tensor, words: tuple[int, int, int, int], length: int) -> None:
    eps = torch.finfo(normal.dtype).eps
    loc, scale, out = torch.randn_like(normal), torch.rand_like(normal), torch.empty_like(normal)
    triton_noise.fill(1, out, words, length, loc, scale)
    torch.testing.assert_close(out, loc + normal * scale, rtol=16 * eps, atol=16 * eps)
    triton_noise.fill(1, out, words, length, None, scale)
    torch.testing.assert_close(out, normal * scale, rtol=16 * eps, atol=2 * eps)


def check_gamma(shape: tuple[int, ...], dtype: torch.dtype, first: int) -> None:
    """Every number the definition's: none of these candidates is within rounding of its threshold."""
    a = torch.logspace(-3, 5, math.prod(shape), dtype=dtype).reshape(shape)
    a.view(-1)[:4] = torch.tensor([0.0, -1.0, math.inf, math.nan])
    place = Philox((1 << 63) + (9 << 32) + 5, index=first, variable=3).at(9).bind(torch.Size()).place(shape)
    words, _ = place.words(shape)
    for law in ("gamma", "log_gamma"):
        out = torch.empty_like(a)
        triton_gamma_sampler.fill(out, a, (*words[:4],), words[5], in_log=law == "log_gamma")
        exact = _by_definition(law, [a], place)
        rtol = 256 * torch.finfo(dtype).eps
        torch.testing.assert_close(out, exact, rtol=rtol, atol=rtol if law == "log_gamma" else 0, equal_nan=True)
    # One concentration for all.
    one = a.new_tensor(0.4).expand(shape)
    triton_gamma_sampler.fill(out, one, (*words[:4],), words[5], in_log=True)
    torch.testing.assert_close(out, _by_definition("log_gamma", [one], place), rtol=rtol, atol=rtol)


if __name__ == "__main__":
    np.seterr(all="ignore")  # what an element has no part in
    for dtype in (torch.float32, torch.float64):
        for shape, first in SHAPES:
            check(shape, dtype, first)
        check_gamma((15, 17), dtype, (1 << 32) - 2)
    print("agree")
