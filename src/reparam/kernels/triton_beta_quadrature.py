"""The Beta derivative by quadrature over the nearer tail, for any arguments: csrc/beta_quadrature.hpp in Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from reparam.kernels.triton_digamma import difference
from reparam.kernels.triton_math import asinh_of_positive, expm1, graded_node, log1p, logistic, truncation_step


@triton.jit
def _tail_length(p, q, u, log_x, log_y):
    # How far below u the density of logit Beta(p, q) must be followed. It only places the nodes.
    height = p * log_x + q * log_y
    length = (40.0 - (p + q) * log_y) / p
    for _ in range(4):
        low, high, x, y = logistic(u - length)
        length = truncation_step(length, height - p * low - q * high, p * y - q * x)
    return length


@triton.jit
def _inside(a, b, u, rule, points: tl.constexpr):
    lower = u <= tl.log((a + 0.5) / (b + 0.5))
    p, q, v = tl.where(lower, a, b), tl.where(lower, b, a), tl.where(lower, u, -u)
    raised = tl.where(lower, p + 1, p)
    log_x, log_y, x, y = logistic(v)
    gap = difference(tl.where(lower, raised, q), tl.where(lower, q, p))
    score = tl.where(lower, -log_x - gap, log_y + gap)  # minus that of the raised p, or that of q
    reach = asinh_of_positive(_tail_length(raised, q, v, log_x, log_y))
    # log(t / x) and log((1 - t) / (1 - x)) differ by s; the smaller is computed. Right of 1, p is at least 1, s small.
    left = v < 1
    share, integral = tl.where(left, x, y), a * 0.0
    for k in range(points):
        s, weight = graded_node(rule, points, k, reach)
        small = -log1p(share * expm1(tl.where(left, -s, s)))
        low, high = tl.where(left, small - s, small), tl.where(left, small, small + s)
        mass = weight * tl.exp(raised * low + q * high)
        integral += (score + tl.where(lower, -low, high)) * mass
    integral *= reach
    return tl.where(lower, (score + 1 / (p + q) + (p + q) * x * integral) / p, integral)


@triton.jit
def by_quadrature(a, b, u, rule, points: tl.constexpr):
    """The derivative of logit x in a; at u = -inf and inf the limits, NaN out of range."""
    valid = (a > 0) & (a < float("inf")) & (b > 0) & (b < float("inf")) & (u == u)
    inner = tl.abs(u) < float("inf")
    a, b = tl.where(valid, a, 1.0), tl.where(valid, b, 1.0)
    inside = _inside(a, b, tl.where(valid & inner, u, 0.0), rule, points)
    end = tl.where(u < 0, float("inf"), difference(a, b) / b)
    return tl.where(valid, tl.where(inner, inside, end), float("nan"))
