"""The pathwise derivatives of a Beta variate for CUDA tensors: the regions and tables of csrc/beta_derivative.hpp.

In float64, whatever the dtype of the tensors; for float32 results the same formulas stop earlier. A program skips the
formulas that none of its elements needs.
"""

from __future__ import annotations

import functools
import itertools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from reparam.kernels import memory, triton_quadrature
from reparam.kernels.beta_table import CHARTS
from reparam.kernels.triton_beta_fraction import by_fraction, converges, side
from reparam.kernels.triton_beta_quadrature import by_quadrature
from reparam.kernels.triton_chart import Packed, layer_value, packed, scaled
from reparam.kernels.triton_math import log1p, logistic, periodic

_BLOCK = 256
_POINTS = 56
# Of the continued fraction, the deepest first: steps, and the rates of convergence asked for.
_DEPTHS = {
    torch.float32: ((24, 0.4, 0.5), (14, 0.25, 0.35), (9, 0.1, 0.16), (6, 0.04, 0.045)),
    torch.float64: ((36, 0.37, 0.45), (22, 0.2, 0.3), (14, 0.075, 0.15), (9, 0.03, 0.035)),
}


@triton.jit
def _located(v, in_logit: tl.constexpr, mirrored: tl.constexpr):
    # x, 1 - x, log x and logit x; of the mirror image, whose derivative in a is minus that of the variate in b.
    if in_logit:
        u = -v if mirrored else v
        log_x, _, x, y = logistic(u)
    else:
        rest = 1.0 - v
        u = tl.log(v) - log1p(-v)
        if mirrored:
            x, y, u = rest, v, -u
            # What 1 - v has lost, which log x must not where v is small.
            log_x = tl.log(rest) + ((1.0 - rest) - v) / tl.maximum(rest, 2.0**-53)
        else:
            x, y, log_x = v, rest, tl.log(v)
    return x, y, log_x, u


@triton.jit
def _chart(at, a, b, x, lengths: tl.constexpr, layers: tl.constexpr, first: tl.constexpr, count: tl.constexpr):
    total = a + b
    share = a / total
    r, s, t = scaled(at, 1 / a), scaled(at + 2, share), scaled(at + 4, tl.log(x / share))
    at += 6
    value = x * 0.0
    for i in tl.static_range(count):
        layer, at = layer_value(at, s, t, lengths, layers, first + i)
        value = value * r + layer
    return value / (a + total * x)


@triton.jit
def _steps(a, b, x, y, lower, depths: tl.constexpr):
    # How deep the fraction must be run, or 0 where it is never deep enough.
    steps = tl.where(a > 0, 0, 0)
    for k in tl.static_range(4):
        enough = converges(lower, a, b, x, y, depths[3 * k], depths[3 * k + 1], depths[3 * k + 2])
        steps = tl.where(enough & ((steps > 0) | (k == 0)), depths[3 * k], steps)
    return steps


@triton.jit
def _dlogit_da(
    a,
    b,
    x,
    y,
    log_x,
    u,
    table,
    rule,
    charts: tl.constexpr,
    lengths: tl.constexpr,
    layers: tl.constexpr,
    count: tl.constexpr,
    depths: tl.constexpr,
    points: tl.constexpr,
):
    # Charts at large a, whatever b is; else the fraction, or at the ends of the floats the quadrature.
    total = a + b
    sane = (log_x > -float("inf")) & (x >= 0) & (y >= 0) & (b > 1e-150) & (total < 1e150)
    ratio, value, left = total * x, x * 0.0, sane
    for k in tl.static_range(count):
        here = left & (a >= charts[7 * k]) & (a < charts[7 * k + 1])
        here = here & (ratio >= charts[7 * k + 2] * a) & (ratio <= charts[7 * k + 3] * a)
        left = left & ~here
        if tl.max(here.to(tl.int32), 0) > 0:
            at = table + charts[7 * k + 4]
            value = tl.where(here, _chart(at, a, b, x, lengths, layers, charts[7 * k + 5], charts[7 * k + 6]), value)
    # The others by the fraction, as deep as the one that needs it deepest.
    lower = side(a, b, x, y)
    steps = tl.where(left & (a > 1e-150) & (total < 1e12), _steps(a, b, x, y, lower, depths), 0)
    here = steps > 0
    deepest = tl.max(steps, 0)
    if deepest > 0:
        value = tl.where(here, by_fraction(a, b, x, y, log_x, lower, deepest), value)
    left = ~sane | (left & ~here)
    if tl.max(left.to(tl.int32), 0) > 0:
        value = tl.where(left, by_quadrature(a, b, u, rule, points), value)
    return value


@triton.jit
def kernel(
    out,
    first,
    second,
    variate,
    table,
    rule,
    n,
    first_period,
    second_period,
    variate_period,
    whole: tl.constexpr,
    in_logit: tl.constexpr,
    mirrored: tl.constexpr,
    charts: tl.constexpr,
    lengths: tl.constexpr,
    layers: tl.constexpr,
    count: tl.constexpr,
    depths: tl.constexpr,
    points: tl.constexpr,
    block: tl.constexpr,
):
    """One program: `block` elements, the derivative in a, or where mirrored in b."""
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    valid = i < n
    a = periodic(first, first_period, i, valid, whole[0]).to(tl.float64)
    b = periodic(second, second_period, i, valid, whole[1]).to(tl.float64)
    v = periodic(variate, variate_period, i, valid, whole[2]).to(tl.float64)
    x, y, log_x, u = _located(v, in_logit, mirrored)
    p, q = (b, a) if mirrored else (a, b)
    h = _dlogit_da(p, q, x, y, log_x, u, table, rule, charts, lengths, layers, count, depths, points)
    if not in_logit:
        product = x * y
        h = tl.where((product == 0) & (h == h), 0.0, product * h)
    h = -h if mirrored else h
    tl.store(out + i, h.to(out.dtype.element_ty), mask=valid)


@functools.cache
def _packed(dtype: torch.dtype) -> Packed:
    return packed(CHARTS, str(dtype).removeprefix("torch."))


@functools.cache
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(_packed(dtype).numbers, dtype=torch.float64, device=device)


def constants(dtype: torch.dtype) -> dict[str, object]:
    """What the kernel is compiled for with every tensor of a dtype."""
    table = _packed(dtype)
    # Of each chart the concentrations that it serves, the bounds of x over the mean, and its place in the table.
    rows = (
        (*chart.serves, *map(math.exp, chart.box[2]), *place) for chart, place in zip(CHARTS, table.starts, strict=True)
    )
    return {
        "charts": tuple(itertools.chain.from_iterable(rows)),
        "lengths": table.lengths,
        "layers": table.layers,
        "count": len(CHARTS),
        "depths": tuple(itertools.chain.from_iterable(_DEPTHS[dtype])),
        "points": _POINTS,
        "block": _BLOCK,
    }


def fill(name: str, out: Tensor, a: Tensor, b: Tensor, v: Tensor) -> None:
    """Writes the derivative that is named: beta_dx_da, beta_dx_db, beta_dlogit_da or beta_dlogit_db.

    Args:
        name: which.
        out: float32 or float64, contiguous, not empty.
        a: the first concentration, of the shape of out, as are
        b: the second, and
        v: the variate, or its logit.
    """
    held = [memory.periodic(t) for t in (a, b, v)]
    n = out.numel()
    tables = _table(out.dtype, out.device), triton_quadrature.rule(_POINTS, out.device)
    kernel[(triton.cdiv(n, _BLOCK),)](
        *(out, *(t for t, _ in held), *tables, n, *(period for _, period in held)),
        whole=tuple(period == n for _, period in held),
        in_logit="dlogit" in name,
        mirrored=name.endswith("db"),
        **constants(out.dtype),
    )
