"""Elementary functions that Triton has not, and pieces that its kernels share: csrc/math.hpp, csrc/tail_pieces.hpp."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def log1p(r):
    """log(1 + r), to relative accuracy near 0."""
    u = 1.0 + r
    # With what 1 + r has lost.
    lost = tl.where(tl.abs(r) < 1, r - (u - 1.0), 1.0 - (u - r))
    return tl.log(u) + tl.where((u > 0) & (u < float("inf")), lost / u, 0.0)


@triton.jit
def exp_remainder(t):
    """exp(t) - 1 - t, to rounding error."""
    small = tl.abs(t) < 1
    u = tl.where(small, t, 0.0)
    total = u * 0.0 + 1.0
    for k in tl.static_range(17):
        total = total * u * (1.0 / (19 - k)) + 1.0
    return tl.where(small, 0.5 * u * u * total, tl.exp(t) - 1 - t)


@triton.jit
def expm1(t):
    """exp(t) - 1: what e^t has lost near 1, its own logarithm shows (Kahan)."""
    near, e = tl.abs(t) < 1, tl.exp(t)
    u = tl.where(near & (e != 1), e, 2.0)
    return tl.where(near, tl.where(e == 1, t, (u - 1) * t / tl.log(u)), e - 1)


@triton.jit
def asinh_of_positive(x):
    """The inverse of sinh, for x >= 0."""
    share = tl.where(x > 1e8, 1.0, x / (1.0 + tl.sqrt(x * x + 1.0)))  # x^2 may leave the floats
    return log1p(x * share + x)


@triton.jit
def log1p_excess(r, log1p_r):
    """The excess r - log(1 + r) without cancellation, given an accurate log(1 + r) for r away from 0."""
    near = tl.abs(r) < 0.3
    small = tl.where(near, r, 0.0)
    w = small / (small + 2.0)
    square = w * w
    series = w * 0.0
    for k in tl.static_range(10):
        series = series * square + 1.0 / (21 - 2 * k)
    return tl.where(near, w * small - 2.0 * w * square * series, r - log1p_r)


@triton.jit
def logistic(u):
    """What belongs to the logit u: log x, log(1 - x), x and 1 - x."""
    e = tl.exp(-tl.abs(u))
    excess, r = log1p(e), 1.0 / (1.0 + e)
    right = u > 0
    x, y = tl.where(right, r, e * r), tl.where(right, e * r, r)
    return tl.minimum(u, 0.0) - excess, tl.minimum(-u, 0.0) - excess, x, y


@triton.jit
def truncation_step(length, fall, slope):
    """One step of Newton's method, in logarithms of both sides, for the length at which the fall is 40."""
    # What lies beyond is below the rounding error of what is kept.
    return length * tl.exp(tl.log(40.0 / fall) * fall / (length * slope))


@triton.jit
def graded_node(rule, points: tl.constexpr, k, reach):
    """Node s = sinh(reach v) on (0, length), reach = asinh(length); its weight is reach times what is returned."""
    e = expm1(reach * tl.load(rule + k))
    s = 0.5 * (e + e / (e + 1.0))
    return s, tl.load(rule + points + k) * tl.sqrt(s * s + 1.0)


@triton.jit
def periodic(at, period, i, valid, whole: tl.constexpr):
    """Values that make up all n by repetition."""
    return tl.load(at + (i if whole else i % period), mask=valid, other=1.0)
