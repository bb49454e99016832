r"""What the Beta and Student-t functions share: cancellation-free pieces, and a quadrature for log-concave tails."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reparam.special._quadrature import gauss_legendre

# exp(-40) is 4e-18: what lies beyond this drop of the log-density is below the rounding error of what is kept.
DROP = 40.0
_NODES, _WEIGHTS = gauss_legendre(56)
_UNIT_NODES, _UNIT_WEIGHTS = (1 + _NODES) / 2, _WEIGHTS / 2

# B_{2k} / (2k (2k - 1)), the coefficients of log Gamma(z) ~ Stirling + sum_k c_k z^{1-2k}.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_STIRLING_FROM = 10  # seven terms reach rounding error there, and four of the digamma's from 24 on
_SHIFT = 24
_STEPS = torch.arange(_SHIFT, dtype=torch.float64)


def graded_rule(length: Tensor) -> tuple[Tensor, Tensor]:
    r"""Nodes and weights on (0, length), of shape ``(*length.shape, n)``.

    With :math:`s = \sinh v` the Gauss-Legendre rule in :math:`v` is uniform below :math:`s = 1` and geometric above:
    on a logit axis every kink has width one, while a tail may be thousands long.
    """
    reach = torch.asinh(length).unsqueeze(-1)
    v = reach * _UNIT_NODES.to(length.device)
    s = torch.sinh(v)
    return s, reach * _UNIT_WEIGHTS.to(length.device) * torch.sqrt(1 + s * s)


def truncation(start: Tensor, fall: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    r"""Where a convex, increasing fall :math:`-\log(p(s)/p(0))` reaches the drop that quadrature may neglect.

    ``fall(s)`` returns the fall and its slope; ``start`` lies beyond the answer. Newton's method in
    :math:`(\log s, \log \text{fall})`, where an exponential tail and a Gaussian one are both straight lines.
    """
    length = start
    for _ in range(4):
        height, slope = fall(length)
        length = length * (DROP / height) ** (height / (length * slope))
    return length


def log1p_excess(r: Tensor, log1p_r: Tensor) -> Tensor:
    r""":math:`r - \log(1 + r) \ge 0` without cancellation, given an accurate :math:`\log(1 + r)` for r away from 0."""
    near = r.clamp(-0.3, 0.3)
    w = near / (2 + near)
    square = w * w
    series = torch.zeros_like(w)
    for k in range(10, 0, -1):
        series = series * square + 1 / (2 * k + 1)
    return torch.where(r.abs() < 0.3, w * near - 2 * w * square * series, r - log1p_r)


def digamma_difference(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\psi(a + b) - \psi(a)` for positive a and b, to relative precision however small b/a is.

    Steps of the recurrence, then the difference of two asymptotic series: every large term is positive.
    """
    steps = a.unsqueeze(-1) + _STEPS.to(a.device)
    near = a + _SHIFT
    slope = (1 / (steps * (steps + b.unsqueeze(-1)))).sum(-1) + _asymptotic_slope(near, near + b)
    return torch.log1p(b / near) + b * slope


def digamma_half_step_excess(z: Tensor) -> Tensor:
    r""":math:`\psi(z + \frac12) - \psi(z) - \frac{1}{2z}`, positive and of the order of :math:`1 / 8z^2`."""
    steps = z.unsqueeze(-1) + _STEPS.to(z.device)
    near = z + _SHIFT
    half = 0.5 / near
    slope = (0.5 / (steps * (steps + 0.5) * (steps + 1))).sum(-1) + _asymptotic_slope(near, near + 0.5)
    return 0.5 * slope - log1p_excess(half, torch.log1p(half))


def _asymptotic_slope(near: Tensor, far: Tensor) -> Tensor:
    r""":math:`\frac{\psi(y) - \log y - \psi(x) + \log x}{y - x}` at x = near, y = far, without the difference.

    From :math:`\psi(z) \sim \log z - \frac{1}{2z} - \frac{1}{12 z^2} + \frac{1}{120 z^4} - \frac{1}{252 z^6} +
    \frac{1}{240 z^8}`, with each difference of powers of :math:`z^{-2}` divided by the first.
    """
    product = near * far
    x, y = near**-2, far**-2
    total = x + y
    squares = x * x + y * y
    series = 1 / 12 - total / 120 + (squares + x * y) / 252 - total * squares / 240
    return 0.5 / product + series * (near + far) / (product * product)


def stirling_error(z: Tensor) -> Tensor:
    r""":math:`\log\Gamma(z) - (z - \frac12)\log z + z - \frac12\log 2\pi`."""
    low, high = z.clamp(max=_STIRLING_FROM), z.clamp(min=_STIRLING_FROM)
    direct = torch.lgamma(low) - (low - 0.5) * torch.log(low) + low - 0.5 * math.log(2 * math.pi)
    x = high**-2
    series = torch.zeros_like(x)
    for c in reversed(_STIRLING):
        series = series * x + c
    return torch.where(z < _STIRLING_FROM, direct, series / high)
