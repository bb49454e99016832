"""The pathwise derivative of a von Mises variate for CUDA tensors: csrc/von_mises_derivative.hpp in Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from reparam.kernels import triton_quadrature


@triton.jit
def _mean_versine(kappa, rule, points: tl.constexpr):
    # 1 - A(kappa), the mean of 1 - cos t, as the ratio of two positive integrals.
    reach = 3.141592653589793 * tl.minimum(tl.sqrt(20.0 / kappa), 1.0)
    mass, moment = kappa * 0.0, kappa * 0.0
    for k in range(points):
        s = tl.sin(0.5 * tl.load(rule + k) * reach)
        versine = 2 * s * s
        density = tl.load(rule + points + k) * tl.exp(-kappa * versine)
        mass += density
        moment += density * versine
    return moment / mass


@triton.jit
def _chord(a2, y):
    return tl.sqrt(1 - a2 * y * y)


@triton.jit
def _fall(tilt, a2, b, cosine, y):
    # How far the log-density lies below its value at the variate.
    return 2 * tilt * a2 * y * (cosine * y - 2 * b * _chord(a2, y))


@triton.jit
def _window(tilt, a2, b, cosine):
    # Where the fall reaches DROP, within a tenth, by bisection in log y; 1 if it does not.
    low, high = a2 * 0.0 - 20, a2 * 0.0
    for _ in range(8):
        middle = 0.5 * (low + high)
        enough = _fall(tilt, a2, b, cosine, tl.exp(middle)) > 40.0
        low, high = tl.where(enough, low, middle), tl.where(enough, middle, high)
    return tl.exp(high)


@triton.jit
def _dx_dkappa(kappa, x, rule, points: tl.constexpr):
    sine, cosine_half = tl.sin(0.5 * x), tl.cos(0.5 * x)
    sin2, cos2, versine = sine * sine, cosine_half * cosine_half, _mean_versine(kappa, rule, points)
    # The sine squared and the cosine of half the distance from the pole on the variate's side of the mean angle.
    near = 2 * sin2 <= versine
    a2, b2 = tl.where(near, sin2, cos2), tl.where(near, cos2, sin2)
    tilt, b, cosine = tl.where(near, kappa, -kappa), tl.sqrt(b2), b2 - a2
    width, integral = _window(tilt, a2, b, cosine), x * 0.0
    for k in range(points):
        y = width * tl.load(rule + k)
        chord = _chord(a2, y)
        inner, outer = chord - b * y, b * chord + a2 * y
        score = tl.where(near, versine - 2 * a2 * inner * inner, 2 * outer * outer - versine)
        integral += score * tl.load(rule + points + k) * tl.exp(-_fall(tilt, a2, b, cosine, y)) / chord
    return -2 * sine * cosine_half * width / b * integral


@triton.jit
def anywhere(kappa, x, rule, points: tl.constexpr, pi: tl.constexpr):
    """The derivative in kappa; NaN out of range. Each dtype's own rounding of pi counts as pi."""
    inside = (kappa >= 0) & (kappa < float("inf")) & (tl.abs(x) <= pi)
    value = _dx_dkappa(tl.where(inside, kappa, 0.0), tl.where(inside, x, 0.0), rule, points)
    return tl.where(inside, value, float("nan"))


fill = triton_quadrature.filler(anywhere)
