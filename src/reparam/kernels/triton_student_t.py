"""The pathwise derivative of a Student-t variate for CUDA tensors: csrc/student_t_derivative.hpp in Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from reparam.kernels import triton_quadrature
from reparam.kernels.triton_digamma import half_step_excess
from reparam.kernels.triton_math import (
    asinh_of_positive,
    expm1,
    graded_node,
    log1p,
    log1p_excess,
    logistic,
    truncation_step,
)


@triton.jit
def _at(nu, t, log_t, log_nu, excess, inside, shift):
    # At t exp(shift), finite where that overflows: the log-density, less its peak, and twice its derivative in nu.
    log_tau = 2 * (log_t + shift) - log_nu
    near = inside | (log_tau < -1.3862943611198906)
    root = t * tl.where(near, tl.exp(tl.where(near, shift, 0.0)), 0.0)
    square = root * root
    tau = square / nu
    log1p_tau = log1p(tau)
    short_of = log1p_excess(tau, log1p_tau)
    _, log_y, share, _ = logistic(log_tau)
    share = tl.where(near, tau / (1 + tau), share)
    energy = tl.where(near, square - nu * short_of, -nu * log_y)
    curl = tl.where(near, tau * share - short_of, -log_y - share)
    return -0.5 * (energy + tl.where(near, log1p_tau, -log_y)), excess - curl + share / nu


@triton.jit
def _tail_length(nu, w):
    # How far beyond w the density must be followed.
    start, _, _, _ = logistic(2 * w)
    length = 40.0 / nu + 0.6931471805599453
    for _ in range(4):
        log_x, _, x, y = logistic(2 * (w + length))
        length = truncation_step(length, nu * (length + start - log_x), nu * (x - y))
    return length


@triton.jit
def _dt_dnu(nu, t, rule, points: tl.constexpr):
    size = tl.abs(t)
    inside = size < 0.4 * tl.sqrt(nu)  # its nodes are all nearer the centre, and log t is not to be had
    log_t, log_nu, excess = tl.log(tl.where(inside, 1.0, size)), tl.log(nu), half_step_excess(0.5 * nu)
    log_kernel, score = _at(nu, t, log_t, log_nu, excess, inside, t * 0.0)
    central = score > 0
    w = tl.maximum(asinh_of_positive(size / tl.sqrt(nu)), 1e-100)  # at t = 0 any nodes will do
    reach = asinh_of_positive(tl.where(central, w, _tail_length(nu, w)))
    fall, integral = expm1(-2 * w), t * 0.0
    for k in range(points):
        s, weight = graded_node(rule, points, k, reach)
        node = tl.where(central, s, w + s)
        e = expm1(-2 * node)
        shift = node - w + tl.log(e / fall)  # log(sinh(node) / sinh(w))
        there, score = _at(nu, t, log_t, log_nu, excess, inside, shift)
        integral += score * tl.exp(there - log_kernel + shift) * weight * (2 + e) / -e  # over tanh(node)
    integral *= 0.5 * reach * t
    return tl.where(central, -integral, integral)


@triton.jit
def anywhere(nu, t, rule, points: tl.constexpr, pi: tl.constexpr):
    """The derivative in nu; at t = -inf and inf the limits, NaN out of range."""
    valid = (nu > 0) & (nu < float("inf")) & (t == t)
    inner = tl.abs(t) < float("inf")
    inside = _dt_dnu(tl.where(valid, nu, 1.0), tl.where(inner & valid, t, 0.0), rule, points)
    return tl.where(valid, tl.where(inner, inside, -t), float("nan"))


fill = triton_quadrature.filler(anywhere)
