"""The Beta derivative by the continued fraction of the distribution function: csrc/beta_fraction.hpp in Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from reparam.kernels.triton_digamma import difference


@triton.jit
def side(a, b, x, y):
    """Whether the distribution function is counted from below: in a tail that tail's, near the centre at x <= 1/2."""
    low, high = x * (b + 0.5), y * (a + 0.5)
    gap, total = 2 * (low - high), low + high
    right = gap > 0
    rate_a, rate_b = tl.where(right, a + 1, a), tl.where(right, b, b + 1)
    central = gap * gap * rate_a * rate_b < (rate_a + rate_b) * total * total
    return (central & (x <= y)) | (~central & ~right)


@triton.jit
def converges(lower, a, b, x, y, steps: tl.constexpr, rate: tl.constexpr, rate_below: tl.constexpr):
    """Whether so many steps are enough."""
    # A step halfway down must shrink the error by the rate; where d is negative by the other, since there the first
    # steps do more.
    half: tl.constexpr = 0.5 * steps
    p, q = tl.where(lower, a, b) + 1, tl.where(lower, b, a)
    x, y = tl.where(lower, x, y), tl.where(lower, y, x)
    divisor, left = p + (2 * half - 1), q - half
    t = half * x * (left + tl.where(left < 0, -1.0, 1.0))  # no smaller where q - m changes sign
    c = (p * y - (q - 1) * x + 2 * half) * divisor + 2 * t
    d, square = t * ((p + q - 1) * x * divisor - t), c * c
    most: tl.constexpr = rate / ((1 - rate) * (1 - rate))
    least: tl.constexpr = -rate_below / ((1 + rate_below) * (1 + rate_below))
    return (d <= most * square) & (d >= least * square)


@triton.jit
def _fraction(p, q, x, y, raised, steps):
    # The ratio of distribution function and density of the logit, and its derivative in p where `raised`, else in q.
    reach, start = (p + q - 1) * x, p * y - (q - 1) * x
    start_slope = tl.where(raised, y, -x)
    above, above_slope, below_slope = x * 0.0, x * 0.0, x * 0.0
    below = above + 1
    m = steps + 1
    share = x * m / (p + (2 * m - 1))
    t = share * (q - m)
    t_slope = tl.where(raised, -t / (p + (2 * m - 1)), share)
    for i in range(steps + 1):
        m = steps - i
        inverse = 1.0 / (p + (2 * m - 1))
        share = x * m * inverse
        low = share * (q - m)
        low_slope = tl.where(raised, -low * inverse, share)
        c, c_slope = (start + 2 * m) + (low + t), start_slope + (low_slope + t_slope)
        d, d_slope = t * (reach - t), t_slope * (reach - t - t) + t * x
        following = c * below + d * above
        following_slope = c * below_slope + (d * above_slope + (c_slope * below + d_slope * above))
        above, above_slope, below, below_slope = below, below_slope, following, following_slope
        t, t_slope = low, low_slope
    value = above / below
    return value, (above_slope - value * below_slope) / below


@triton.jit
def by_fraction(a, b, x, y, log_x, lower, steps):
    """The derivative of logit x in a."""
    # The fraction is taken at p + 1 and one step of a recurrence leads to p, where the terms for small p would cancel.
    p, q = tl.where(lower, a, b), tl.where(lower, b, a)
    here, rest = tl.where(lower, x, y), tl.where(lower, y, x)
    value, slope = _fraction(p + 1, q, here, rest, lower, steps)
    total = a + b
    score = log_x + difference(tl.where(lower, p + 1, q), tl.where(lower, q, p))
    product = total * here
    below = 1 / total - score - product * (score * value + slope)
    above = score * (product * value + 1) + here * (total * slope + value)
    return tl.where(lower, below, above) / p
