"""Differences of digamma functions, in float64, to relative precision: csrc/digamma.hpp in Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from reparam.kernels.triton_math import log1p, log1p_excess


@triton.jit
def asymptotic_slope(inverse_x, inverse_y):
    """(psi(y) - log y - psi(x) + log x) / (y - x), given 1 / x and 1 / y; for x and y from 10 on."""
    terms: tl.constexpr = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
    x, y = inverse_x * inverse_x, inverse_y * inverse_y
    # (x^k - y^k) / (x - y), and y^k.
    quotient, power, series = x * 0.0 + 1.0, y, x * 0.0 + terms[0]
    for k in tl.static_range(1, 7):
        quotient = x * quotient + power
        power *= y
        series += quotient * terms[k]
    return inverse_x * inverse_y * (series * (inverse_x + inverse_y) + 0.5)


@triton.jit
def half_step_excess(z):
    """The excess psi(z + 1/2) - psi(z) - 1 / (2 z)."""
    near = z + 10
    half = 0.5 / near
    slope = asymptotic_slope(1.0 / near, 1.0 / (near + 0.5))
    for k in range(10):
        step = z + k
        slope += 0.5 / (step * (step + 0.5) * (step + 1.0))
    return 0.5 * slope - log1p_excess(half, log1p(half))


@triton.jit
def difference(a, b):
    """psi(a + b) - psi(a), to relative precision however small b / a is."""
    near = a + 10
    total = b * asymptotic_slope(1.0 / near, 1.0 / (near + b)) + log1p(b / near)
    for k in range(10):
        total += b / (a + b + k) * (1.0 / (a + k))  # the product of both divisors may leave the floats
    return total
