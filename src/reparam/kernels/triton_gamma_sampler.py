"""The Gamma law on counters for CUDA tensors, in Triton: the stream of csrc/gamma_sampler.hpp, up to rounding.

Marsaglia and Tsang's rejection (ACM TOMS, 2000). A program tries again, all its numbers together, until the last of
them is kept; a number's value depends on its own counters alone. As in the definition (noise/_rejection.py) the test
is computed in float64.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from reparam.kernels import memory, triton_noise
from reparam.kernels.triton_math import log1p, periodic
from reparam.kernels.triton_noise import exponential, narrow_cell, one, philox, wide_cell

_BLOCK = 256


@triton.jit
def _candidates(q, c0, c1, step, tag, seed, attempt, wide: tl.constexpr):
    # The cells of the normal and of the uniform candidate; each attempt has a key of its own.
    word: tl.constexpr = 0xFFFFFFFF
    key = seed ^ attempt * -3372029247567499371  # 0xD1342543DE82EF95
    w0, w1, w2, w3 = philox(
        (c0 & word).to(tl.uint32),
        (c1 & word).to(tl.uint32),
        (q * 0 + step).to(tl.uint32),
        (q * 0 + tag).to(tl.uint32),
        (key & word).to(tl.uint32),
        ((key >> 32) & word).to(tl.uint32),
    )
    if wide:
        first, second = wide_cell(w0, w1), wide_cell(w2, w3)
    else:
        first, second = narrow_cell(w0), narrow_cell(w1)
    return first, second


@triton.jit
def _attempt(a, normal_cell, uniform_cell, table, sizes: tl.constexpr, epsilon: tl.constexpr):
    # The candidate, and whether it is kept.
    d = tl.where(a < 1, a + 1, a) - 1.0 / 3
    x = one(normal_cell[0], normal_cell[1], normal_cell[2], table, 1, sizes, epsilon)
    u = one(uniform_cell[0], uniform_cell[1], uniform_cell[2], table, 0, sizes, epsilon).to(tl.float64)
    y = x / (3 * tl.sqrt(d))
    near, depth = tl.maximum(y.to(tl.float64), -1.0), d.to(tl.float64)
    log_kept = 3 * depth * (log1p(near) - near * (1 - near * (0.5 - near / 3)))
    v = y + 1
    return d * (v * v * v), (v > 0) & (tl.log(u) < log_kept)


@triton.jit
def kernel(
    out,
    concentration,
    table,
    n,
    period,
    length,
    first_row,
    key_low,
    key_high,
    step,
    tag,
    wide: tl.constexpr,
    in_log: tl.constexpr,
    whole: tl.constexpr,
    sizes: tl.constexpr,
    epsilon: tl.constexpr,
    block: tl.constexpr,
):
    """One program: `block` numbers, or their logarithms; NaN where the concentration is out of range."""
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    valid = i < n
    a = periodic(concentration, period, i, valid, whole)
    c0, c1 = i % length, first_row + i // length
    seed = ((i * 0 + key_high) << 32) | (i * 0 + key_low)
    pending, value, attempt = valid & (a > 0) & (a < float("inf")), a * 0.0 + float("nan"), i * 0
    while tl.max(pending.to(tl.int32), 0) > 0:
        normal_cell, uniform_cell = _candidates(i, c0, c1, step, tag, seed, attempt, wide)
        candidate, kept = _attempt(a, normal_cell, uniform_cell, table, sizes, epsilon)
        value = tl.where(pending & kept, candidate, value)
        pending = pending & ~kept
        attempt += 1
    # G(a) = G(a + 1) U^(1/a) for a < 1 (Stuart, 1962).
    cell, _ = _candidates(i, c0, c1, step, tag, seed, i * 0 - 1, wide)
    log_boost = tl.where(a < 1, -exponential(cell[0], cell[2]) / a, 0.0)
    value = tl.log(value) + log_boost if in_log else value * tl.exp(log_boost)
    tl.store(out + i, value, mask=valid)


def fill(out: Tensor, a: Tensor, words: tuple[int, int, int, int], length: int, *, in_log: bool) -> None:
    """Standard Gamma variates, or their logarithms, into a contiguous tensor.

    Args:
        out: float32 or float64, not empty.
        a: the concentration, of the shape of out.
        words: seed, step, tag and the number of the first row.
        length: numbers in a row.
        in_log: whether logarithms are wanted, which do not underflow.
    """
    a, period = memory.periodic(a)
    seed, step, tag, first_row = words
    n = out.numel()
    kernel[(triton.cdiv(n, _BLOCK),)](
        *(out, a, triton_noise.table(out.dtype, out.device), n, period, length, first_row),
        *(seed & 0xFFFFFFFF, seed >> 32, step, tag),
        in_log=in_log,
        whole=period == n,
        block=_BLOCK,
        **triton_noise.constants(out.dtype),
    )
