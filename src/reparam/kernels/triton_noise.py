"""The noise kernels for CUDA tensors, in Triton: the same words, and the same polynomials, as the C++ ones.

Imported where a CUDA tensor first asks for noise, and by the tests, which run it in Triton's interpreter on a CPU.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

from reparam.kernels.normal_table import CENTRE, CENTRE_MIDDLE, TAIL, TAIL_MIDDLE

_COUNTERS = 256  # in one program: four float32 numbers or two float64 ones from each


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10."""
    for _ in tl.static_range(10):
        high0, high2 = tl.umulhi(c0, 0xD2511F53), tl.umulhi(c2, 0xCD9E8D57)
        low0, low2 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def _horner(coefficients, x, n: tl.constexpr):
    y = x * 0.0 + tl.load(coefficients + n - 1)
    for i in tl.static_range(1, n):
        y = y * x + tl.load(coefficients + n - 1 - i)
    return y


@triton.jit
def _normal(tail, centred, table, centre: tl.constexpr, far: tl.constexpr, middle: tl.constexpr, depth: tl.constexpr):
    w = -tl.log(4 * tail * (1 - tail))
    near = _horner(table, w - middle, centre)
    beyond = _horner(table + centre, tl.log(tl.maximum(w, 2 * middle)) - depth, far)
    return centred * tl.where(w > 2 * middle, beyond, near)


@triton.jit
def narrow_cell(word):
    """A float32 from one word: the nearer tail's probability, and the distance from the centre."""
    upper = word >= 0x80000000
    nearer = tl.where(upper, 0xFFFFFFFF - word, word).to(tl.float32)
    centred = (word.to(tl.int64) - 0x80000000).to(tl.float32)
    return (nearer + 0.5) * (0.5**32), (centred + 0.5) * (0.5**31), upper


@triton.jit
def wide_cell(high, low):
    """The same of a float64, from two words."""
    number = (high.to(tl.int64) << 21) | (low >> 11).to(tl.int64)
    upper = number >= (1 << 52)
    nearer = tl.where(upper, (1 << 53) - 1 - number, number).to(tl.float64)
    distance = ((4503599627370496.0 - nearer) - 0.5) * (0.5**52)
    return (nearer + 0.5) * (0.5**53), tl.where(upper, distance, -distance), upper


@triton.jit
def exponential(tail, upper):
    """A standard exponential number from a cell."""
    # -log(tail) in the upper half; -log1p(-tail) in the lower, with what 1 - tail has lost put back.
    rest = tl.where(upper, tail, 1 - tail)
    lost = tl.where(upper, 0.0, (1 - rest) - tail)
    return -(tl.log(rest) + lost / rest)


@triton.jit
def one(tail, centred, upper, table, law: tl.constexpr, sizes: tl.constexpr, epsilon: tl.constexpr):
    """A number of a law from a cell: 0 uniform, 1 normal, 2 exponential."""
    if law == 0:
        u = tl.where(upper, 1 - tail, tail)
        value = tl.minimum(tl.maximum(u, epsilon / 4), 1 - epsilon / 2)
    elif law == 1:
        value = _normal(tail, centred, table, sizes[0], sizes[1], sizes[2], sizes[3])
    else:
        value = exponential(tail, upper)
    return value


@triton.jit
def _put(out, loc, scale, at, value, valid, scaled: tl.constexpr, moved: tl.constexpr):
    if scaled:
        value = value * tl.load(scale + at, mask=valid)
    if moved:
        value = tl.load(loc + at, mask=valid) + value
    tl.store(out + at, value, mask=valid)


@triton.jit
def _places(q, n, length, first_row, per: tl.constexpr, shared: tl.constexpr):
    # The first two words of counter q; and of its words the number of the first in its row, where the row begins in the
    # draw, and how many words it has.
    row_words = length * per
    if shared:
        # Rows of one or two words, their counters running on from the first row's part of its own.
        start = first_row * row_words
        c0 = q * 0
        c1 = (start // 4 + q) % (row_words << 30)
        word = 4 * q - start % 4
        origin, limit = word * 0, word * 0 + n * per
    else:
        a_row = (row_words + 3) // 4
        row = q // a_row
        c0 = q % a_row
        c1 = first_row + row
        word = 4 * c0
        origin = row * length
        limit = tl.where(origin < n, word * 0 + row_words, 0)
    return c0, c1, word, origin, limit


@triton.jit
def kernel(
    out,
    loc,
    scale,
    table,
    n,
    length,
    first_row,
    key_low,
    key_high,
    step,
    tag,
    wide: tl.constexpr,
    law: tl.constexpr,
    shared: tl.constexpr,
    scaled: tl.constexpr,
    moved: tl.constexpr,
    sizes: tl.constexpr,
    epsilon: tl.constexpr,
    counters: tl.constexpr,
):
    """One program: the numbers of `counters` counters."""
    q = tl.program_id(0).to(tl.int64) * counters + tl.arange(0, counters)
    c0, c1, word, origin, limit = _places(q, n, length, first_row, 2 if wide else 1, shared)
    low32: tl.constexpr = 0xFFFFFFFF
    w0, w1, w2, w3 = philox(
        (c0 & low32).to(tl.uint32),
        (c1 & low32).to(tl.uint32),
        (q * 0 + step).to(tl.uint32),
        (q * 0 + tag).to(tl.uint32),
        (q * 0 + key_low).to(tl.uint32),
        (q * 0 + key_high).to(tl.uint32),
    )
    if wide:
        tail, centred, upper = wide_cell(w0, w1)
        value = one(tail, centred, upper, table, law, sizes, epsilon)
        _put(out, loc, scale, origin + word // 2, value, (word >= 0) & (word < limit), scaled, moved)
        tail, centred, upper = wide_cell(w2, w3)
        value = one(tail, centred, upper, table, law, sizes, epsilon)
        _put(out, loc, scale, origin + word // 2 + 1, value, (word + 2 >= 0) & (word + 2 < limit), scaled, moved)
    else:
        for k in tl.static_range(4):
            w = w0 if k == 0 else (w1 if k == 1 else (w2 if k == 2 else w3))
            tail, centred, upper = narrow_cell(w)
            value = one(tail, centred, upper, table, law, sizes, epsilon)
            _put(out, loc, scale, origin + word + k, value, (word + k >= 0) & (word + k < limit), scaled, moved)


def constants(dtype: torch.dtype) -> dict[str, object]:
    """What a kernel that makes normal numbers of a dtype is compiled for."""
    sizes = (len(CENTRE[dtype]), len(TAIL[dtype]), CENTRE_MIDDLE, TAIL_MIDDLE[dtype])
    return {"wide": dtype == torch.float64, "sizes": sizes, "epsilon": torch.finfo(dtype).eps}


@functools.cache
def table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The coefficients of the normal quantile."""
    return torch.tensor([*CENTRE[dtype], *TAIL[dtype]], dtype=dtype, device=device)


def fill(
    law: int,
    out: Tensor,
    words: tuple[int, int, int, int],
    length: int,
    loc: Tensor | None = None,
    scale: Tensor | None = None,
) -> None:
    """Noise of one law into a contiguous tensor; times a scale and added to a loc where given.

    Args:
        law: 0 uniform, 1 normal, 2 exponential.
        out: float32 or float64, not empty.
        words: seed, step, tag and the number of the first row.
        length: numbers in a row.
        loc: contiguous and of the shape of out, as scale is.
        scale: what the noise is multiplied by.
    """
    wide = out.dtype == torch.float64
    row_words = length * (2 if wide else 1)
    shared = row_words <= 2
    seed, step, tag, first_row = words
    n = out.numel()
    lead = first_row * row_words % 4 if shared else 0
    total = -(-(n * row_words // length + lead) // 4) if shared else n // length * -(-row_words // 4)
    kernel[(triton.cdiv(total, _COUNTERS),)](
        *(out, out if loc is None else loc, out if scale is None else scale),
        *(table(out.dtype, out.device), n, length, first_row, seed & 0xFFFFFFFF, seed >> 32, step, tag),
        law=law,
        shared=shared,
        scaled=scale is not None,
        moved=loc is not None,
        counters=_COUNTERS,
        **constants(out.dtype),
    )
