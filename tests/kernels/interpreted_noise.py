"""Run by `test_triton.py` with TRITON_INTERPRET=1: the noise kernels' twins on a CPU against their definition."""

from __future__ import annotations

import math

import torch

from reparam.kernels import triton_noise
from reparam.noise import Philox
from reparam.noise.quantile import QuantileStream

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
    if len(shape) == 2:
        check_scaled(normal.contiguous(), words, length)


def check_scaled(normal: torch.Tensor, words: tuple[int, int, int, int], length: int) -> None:
    eps = torch.finfo(normal.dtype).eps
    loc, scale, out = torch.randn_like(normal), torch.rand_like(normal), torch.empty_like(normal)
    triton_noise.fill(1, out, words, length, loc, scale)
    torch.testing.assert_close(out, loc + normal * scale, rtol=16 * eps, atol=16 * eps)
    triton_noise.fill(1, out, words, length, None, scale)
    torch.testing.assert_close(out, normal * scale, rtol=16 * eps, atol=2 * eps)


if __name__ == "__main__":
    for dtype in (torch.float32, torch.float64):
        for shape, first in SHAPES:
            check(shape, dtype, first)
    print("agree")
