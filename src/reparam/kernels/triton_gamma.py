"""The pathwise derivative of a Gamma variate for CUDA tensors, in Triton: the regions and tables of the C++ kernel.

A program skips the formulas that none of its elements needs. Imported where a CUDA tensor first asks for it, and by the
tests, which run it in Triton's interpreter on a CPU.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from reparam.kernels import memory, triton_quadrature
from reparam.kernels.gamma_table import LARGE, SMALL
from reparam.kernels.triton_chart import Packed, layer_value, packed, scaled
from reparam.kernels.triton_math import exp_remainder, expm1, log1p, periodic

_BLOCK = 512
_POINTS = 40


class _Limits(NamedTuple):
    """What the two dtypes differ in.

    Attributes:
        least: the smallest normal number.
        largest: the largest concentration that the charts take.
        log_range: within it, exp is finite and not zero.
        steps: of the recurrence.
        terms: of the digamma function's asymptotic series, for its end.
    """

    least: float
    largest: float
    log_range: float
    steps: int
    terms: int


_LIMITS = {
    torch.float32: _Limits(2.0**-126, 1e18, 80.0, 9, 3),
    torch.float64: _Limits(2.0**-1022, 1e150, 700.0, 15, 6),
}
# Of the digamma function: -psi(y) ~ -log y + 1 / 2y + sum_k c_k / y^(2k).
_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


@triton.jit
def _chart(at, s, t, lengths: tl.constexpr, layers: tl.constexpr, layer: tl.constexpr):
    value, _ = layer_value(at + 4, scaled(at, s), scaled(at + 2, t), lengths, layers, layer)
    return value


@triton.jit
def _sum(r, series: tl.constexpr, n: tl.constexpr):
    total = r * 0.0
    for k in tl.static_range(n):
        total = total * r + series[n - 1 - k]
    return total


@triton.jit
def _by_recurrence(a, x, log_x, steps: tl.constexpr, series: tl.constexpr, n: tl.constexpr):
    y = a + (steps + 1)
    beyond = 1.0 / y
    psi = tl.log(y) - (_sum(beyond * beyond, series, n) * beyond * beyond + 0.5 * beyond)
    gap = psi - log_x
    r = 1.0 / (a + steps)
    h = r * (x * beyond * (gap + beyond) + gap)
    for k in tl.static_range(steps):
        gap -= r
        r = 1.0 / (a + (steps - 1 - k))
        h = r * (x * h + gap)
    return h


@triton.jit
def _digamma_excess(a, series: tl.constexpr):
    # psi(a + 1) - log a
    low = a < 12
    y = tl.where(low, a + 12, a)
    excess = 0.5 / y - _sum(1.0 / (y * y), series, 8) / (y * y)
    steps = a * 0.0
    for k in tl.static_range(12):
        steps += 1.0 / (a + (k + 1))
    return tl.where(low, excess + tl.log(1.0 + 12.0 / a) - steps, excess)


@triton.jit
def _by_quadrature(a, mu, rule, points: tl.constexpr, series: tl.constexpr):
    # The mathematics is that of csrc/gamma_quadrature.hpp; in float64.
    cutoff: tl.constexpr = 40.0
    near = tl.minimum(mu, 700.0 - tl.log(tl.maximum(a, 1.0)))
    x = a * tl.exp(near)
    growth = expm1(near)
    gap = mu - _digamma_excess(a, series)
    upper = gap >= 0
    slope = tl.where(upper, a * growth, 1 - a * growth)
    root = tl.sqrt(slope * slope + 2 * cutoff * x)
    above = log1p((cutoff + a * (2 * cutoff / (slope + root))) / x)
    b = 2 * slope - cutoff
    below = 4 * cutoff / (b + tl.sqrt(b * b + 8 * cutoff * (a + 1)))
    length = tl.where(upper, above, below)
    mass, moment = a * 0.0, a * 0.0
    for k in range(points):
        node = tl.load(rule + k)
        t = tl.where(upper, length, -length) * node
        fall = tl.where(upper, -slope, slope) * t - x * exp_remainder(t)
        density = tl.load(rule + points + k) * tl.exp(fall)
        mass += density
        moment += density * node
    mass *= length * tl.exp(near - mu)
    moment *= length * length
    return tl.where(upper, (gap + 1.0 / a) * mass + moment, (x * moment - gap * (1 + x * mass)) / a)


@triton.jit
def _far(a, x, log_x, rule, points: tl.constexpr, series: tl.constexpr, in_log: tl.constexpr):
    a = a.to(tl.float64)
    if in_log:
        mu = log_x.to(tl.float64) - tl.log(a)
    else:
        wide = x.to(tl.float64)
        near = tl.abs(wide - a) < 0.5 * a
        mu = tl.where(near, log1p(tl.where(near, (wide - a) / a, 0.0)), tl.log(wide) - tl.log(a))
    h = _by_quadrature(a, mu, rule, points, series)
    if not in_log:
        h = x.to(tl.float64) * h
    return h


@triton.jit
def _located(a, u, log_range: tl.constexpr, in_log: tl.constexpr):
    # x and log x; where the derivative is a number to be computed, and what it is elsewhere.
    if in_log:
        log_x, x = u, tl.exp(tl.minimum(tl.maximum(u, -log_range), log_range))
        shaped = (a > 0) & (a < float("inf")) & (u == u)
        inner, end = shaped & (tl.abs(u) < float("inf")), tl.maximum(-u, 0.0)
    else:
        log_x, x = tl.log(u), u
        shaped = (a > 0) & (a < float("inf")) & (u >= 0)
        inner, end = shaped & (u > 0) & (u < float("inf")), u
    return x, log_x, inner, tl.where(shaped, end, float("nan"))


@triton.jit
def _by_chart(
    a,
    x,
    log_x,
    at,
    relative: tl.constexpr,
    lengths: tl.constexpr,
    layers: tl.constexpr,
    layer: tl.constexpr,
    in_log: tl.constexpr,
):
    if relative:
        ratio = log_x - tl.log(a) if in_log else tl.log(x / a)
        h = _chart(at, 1.0 / a, ratio, lengths, layers, layer) / (a + x)
        value = h if in_log else x * h
    else:
        slope = _chart(at, a, log_x, lengths, layers, layer) / (a * (a + 1) * (a + 2))
        value = slope / x if in_log else slope
    return value


@triton.jit
def _by_regions(
    a,
    x,
    log_x,
    inner,
    result,
    table,
    rule,
    charts: tl.constexpr,
    lengths: tl.constexpr,
    layers: tl.constexpr,
    count: tl.constexpr,
    limits: tl.constexpr,
    series: tl.constexpr,
    points: tl.constexpr,
    in_log: tl.constexpr,
):
    left = inner & (x >= limits[0]) & (a >= limits[0]) & (a <= limits[1])
    here = left & (x < 0.1 * a + 0.6)
    done = here
    if tl.max(here.to(tl.int32), 0) > 0:
        h = _by_recurrence(a, x, log_x, limits[3], series, limits[4])
        result = tl.where(here, h if in_log else x * h, result)
    left = left & ~here
    for k in tl.static_range(count):
        unit = a if charts[7 * k] else a * 0.0 + 1.0
        here = left & (a >= charts[7 * k + 1]) & (a < charts[7 * k + 2])
        here = here & (x > charts[7 * k + 3] * unit) & (x <= charts[7 * k + 4] * unit)
        done = done | here
        if tl.max(here.to(tl.int32), 0) > 0:
            at = table + charts[7 * k + 5]
            value = _by_chart(a, x, log_x, at, charts[7 * k], lengths, layers, charts[7 * k + 6], in_log)
            result = tl.where(here, value, result)
    here = inner & ~done
    if tl.max(here.to(tl.int32), 0) > 0:
        value = _far(tl.where(here, a, 1.0), tl.where(here, x, 1.0), log_x, rule, points, series, in_log)
        result = tl.where(here, value.to(result.dtype), result)
    return result


@triton.jit
def kernel(
    out,
    concentration,
    variate,
    table,
    rule,
    n,
    concentration_period,
    variate_period,
    whole: tl.constexpr,
    in_log: tl.constexpr,
    charts: tl.constexpr,
    lengths: tl.constexpr,
    layers: tl.constexpr,
    count: tl.constexpr,
    limits: tl.constexpr,
    series: tl.constexpr,
    points: tl.constexpr,
    block: tl.constexpr,
):
    """One program: `block` elements, each by the formula of its region."""
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    valid = i < n
    a = periodic(concentration, concentration_period, i, valid, whole[0])
    u = periodic(variate, variate_period, i, valid, whole[1])
    x, log_x, inner, end = _located(a, u, limits[2], in_log)
    point = (a, x, log_x, inner, end)
    value = _by_regions(*point, table, rule, charts, lengths, layers, count, limits, series, points, in_log)
    tl.store(out + i, value, mask=valid)


@functools.cache
def _packed(dtype: torch.dtype) -> Packed:
    return packed((*SMALL, *LARGE), str(dtype).removeprefix("torch."))


def _regions(dtype: torch.dtype) -> tuple[float, ...]:
    """Of each chart whether its bounds of x are over a, the concentrations it serves, those bounds, and its place."""
    relative = [False] * len(SMALL) + [True] * len(LARGE)
    places = _packed(dtype).starts
    rows = (
        (over, *chart.serves, *map(math.exp, chart.box[1]), *place[:2])
        for over, chart, place in zip(relative, (*SMALL, *LARGE), places, strict=True)
    )
    return tuple(itertools.chain.from_iterable(rows))


@functools.cache
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(_packed(dtype).numbers, dtype=dtype, device=device)


def constants(dtype: torch.dtype) -> dict[str, object]:
    """What the kernel is compiled for with every tensor of a dtype."""
    return {
        "charts": _regions(dtype),
        "lengths": _packed(dtype).lengths,
        "layers": _packed(dtype).layers,
        "count": len(SMALL) + len(LARGE),
        "limits": tuple(_LIMITS[dtype]),
        "series": _SERIES,
        "points": _POINTS,
        "block": _BLOCK,
    }


def fill(name: str, out: Tensor, a: Tensor, u: Tensor) -> None:
    """Writes d x / d a, or where the name is gamma_dlogx_da d log x / da.

    Args:
        name: which of the two.
        out: float32 or float64, contiguous, not empty.
        a: the concentration, of the shape of out.
        u: the variate, or its logarithm, of the shape of out.
    """
    (a, a_period), (u, u_period) = memory.periodic(a), memory.periodic(u)
    n = out.numel()
    tables = _table(out.dtype, out.device), triton_quadrature.rule(_POINTS, out.device)
    kernel[(triton.cdiv(n, _BLOCK),)](
        *(out, a, u, *tables, n, a_period, u_period),
        whole=(a_period == n, u_period == n),
        in_log=name == "gamma_dlogx_da",
        **constants(out.dtype),
    )
