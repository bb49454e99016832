r"""What the Beta and Student-t functions share: cancellation-free pieces, and a quadrature for log-concave tails."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reparam.special._quadrature import gauss_legendre

# exp(-40) is 4e-18: what lies beyond this drop of the log-density is below the rounding error of what is kept.
DROP = 40.0
_NODES, _WEIGHTS = gauss_legendre(48)
_UNIT_NODES, _UNIT_WEIGHTS = (1 + _NODES) / 2, _WEIGHTS / 2

# B_{2k} / (2k), the coefficients of psi(z) ~ log z - 1/(2z) - sum_k c_k z^{-2k}.
_DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
# B_{2k} / (2k (2k - 1)), the coefficients of log Gamma(z) ~ Stirling + sum_k c_k z^{1-2k}.
_STIRLING_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_SHIFT = 10  # both series reach 1e-16 from z = 10 on


def graded_rule(length: Tensor) -> tuple[Tensor, Tensor]:
    r"""Nodes and weights on (0, length), of shape ``(*length.shape, n)``.

    With :math:`s = \sinh v` the Gauss-Legendre rule in :math:`v` is uniform below :math:`s = 1` and geometric above:
    on a logit axis every kink has width one, while a tail may be thousands long.
    """
    reach = torch.asinh(length).unsqueeze(-1)
    v = reach * _UNIT_NODES.to(length.device)
    return torch.sinh(v), reach * _UNIT_WEIGHTS.to(length.device) * torch.cosh(v)


def truncation(start: Tensor, fall: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    r"""Where a convex, increasing fall :math:`-\log(p(s)/p(0))` reaches the drop that quadrature may neglect.

    ``fall(s)`` returns the fall and its slope; ``start`` lies beyond the answer. Newton's method in
    :math:`(\log s, \log \text{fall})`, where an exponential tail and a Gaussian one are both straight lines.
    """
    length = start
    for _ in range(6):
        height, slope = fall(length)
        length = length * (DROP / height) ** (height / (length * slope))
    return length


def log1p_excess(r: Tensor, log1p_r: Tensor) -> Tensor:
    r""":math:`r - \log(1 + r) \ge 0` without cancellation, given an accurate :math:`\log(1 + r)` for r away from 0."""
    near = r.clamp(-0.3, 0.3)
    w = near / (2 + near)
    square = w * w
    series = torch.zeros_like(w)
    for k in range(12, 0, -1):
        series = series * square + 1 / (2 * k + 1)
    return torch.where(r.abs() < 0.3, w * near - 2 * w * square * series, r - log1p_r)


def digamma_difference(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\psi(a + b) - \psi(a)` for positive a and b, to relative precision however small b/a is.

    Ten steps of the recurrence, then the difference of two asymptotic series: every large term is positive.
    """
    steps = torch.zeros_like(a)
    for k in range(_SHIFT):
        steps = steps + 1 / ((a + k) * (a + b + k))
    near = a + _SHIFT
    return torch.log1p(b / near) + b * (steps + _asymptotic_slope(near, near + b))


def digamma_half_step_excess(z: Tensor) -> Tensor:
    r""":math:`\psi(z + \frac12) - \psi(z) - \frac{1}{2z}`, positive and of the order of :math:`1 / 8z^2`."""
    steps = torch.zeros_like(z)
    for k in range(_SHIFT):
        steps = steps + 0.25 / ((z + k) * (z + k + 0.5) * (z + k + 1))
    near = z + _SHIFT
    half = 0.5 / near
    return steps - log1p_excess(half, torch.log1p(half)) + 0.5 * _asymptotic_slope(near, near + 0.5)


def _asymptotic_slope(near: Tensor, far: Tensor) -> Tensor:
    r""":math:`\frac{\psi(y) - \log y - \psi(x) + \log x}{y - x}` at x = near and y = far, both at least 10."""
    x, y = near**-2, far**-2
    # Synthetic division: `quotient` becomes (P(x) - P(y)) / (x - y) for the polynomial P of the series.
    value, quotient = torch.zeros_like(x), torch.zeros_like(x)
    for c in reversed((0.0, *_DIGAMMA_SERIES)):
        quotient = quotient * y + value
        value = value * x + c
    product = near * far
    return 0.5 / product + quotient * (near + far) / (product * product)


def stirling_error(z: Tensor) -> Tensor:
    r""":math:`\log\Gamma(z) - (z - \frac12)\log z + z - \frac12\log 2\pi`."""
    low, high = z.clamp(max=_SHIFT), z.clamp(min=_SHIFT)
    direct = torch.lgamma(low) - (low - 0.5) * torch.log(low) + low - 0.5 * math.log(2 * math.pi)
    series = torch.zeros_like(high)
    for c in reversed(_STIRLING_SERIES):
        series = series / (high * high) + c
    return torch.where(z < _SHIFT, direct, series / high)
