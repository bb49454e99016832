r"""The one integral behind every function of :mod:`reparam.special.gamma`.

Let :math:`L = \log X`, :math:`X \sim \mathrm{Gamma}(a, 1)`, with density
:math:`q(\ell) = e^{a\ell - e^\ell} / \Gamma(a)`, and write :math:`\ell = \log x`. Relative to the density at
:math:`\ell`, the mass above and below it is

.. math::
    \frac{1 - F}{q(\ell)} = \int_0^\infty e^{a s - x (e^s - 1)} ds, \qquad
    \frac{F}{q(\ell)} = \int_0^\infty e^{-a s + x (1 - e^{-s})} ds,

and differentiating in :math:`a` under the sign multiplies the integrand by the score :math:`\ell \pm s - \psi(a)`.
The upper integral is used for :math:`\ell \ge \psi(a + 1)`, where its score is positive; below, the lower one at
:math:`a + 1`, where *its* score is one-signed, followed by one step of the recurrence
:math:`F(a) = F(a + 1) + q(\ell) / a`. So nothing cancels on either side, and the integrals at small :math:`a` never
stretch over the :math:`1 / a` decades that the variate does.

Everything is written in :math:`\mu = \log(x / a)`, since :math:`x - a = a (e^\mu - 1)` and :math:`\ell - \psi` keep
their relative accuracy in it when :math:`a` is large and :math:`x` is near :math:`a`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._quadrature import gauss_legendre

_SHIFT = 12  # from here upwards eight Bernoulli terms reach the rounding error of float64
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_STIRLING_AT_SHIFT = sum(c / _SHIFT ** (2 * k + 1) for k, c in enumerate(_STIRLING))
_STIRLING_SLOPE = tuple((2 * k + 1) * c for k, c in enumerate(_STIRLING))
_STEPS = torch.arange(1, _SHIFT + 1, dtype=torch.float64, device="cpu")
_FAR = 700.0  # exp(mu) and x stay finite
_CUTOFF = 40.0  # the integrand is followed down to exp(-40) of its start


def _unit_rule(n: int) -> tuple[Tensor, Tensor]:
    nodes, weights = gauss_legendre(n)
    return (1 + nodes) / 2, weights / 2


# Built at import, not at the first call, which may come under inference mode or the compiler.
_NODES, _WEIGHTS = _unit_rule(40)
_MOMENTS = torch.stack([_WEIGHTS, _WEIGHTS * _NODES], dim=-1)
_TAYLOR_NODES, _TAYLOR_WEIGHTS = _unit_rule(10)
_TAYLOR_WEIGHTS = _TAYLOR_WEIGHTS * (1 - _TAYLOR_NODES)


class Tail(NamedTuple):
    """The nearer tail at `x = a exp(near)`, over the density there; `gap` is `log x - psi(a + 1)`, `upper` its sign."""

    near: Tensor
    x: Tensor
    gap: Tensor
    upper: Tensor
    mass: Tensor
    moment: Tensor


def exp_remainder(t: Tensor) -> Tensor:
    r""":math:`e^t - 1 - t = t^2 \int_0^1 (1 - v) e^{tv} dv`, to rounding error for every t."""
    small = t.abs() < 1
    u = torch.where(small, t, 0.0)
    mean = torch.exp(u.unsqueeze(-1) * _TAYLOR_NODES.to(t.device)) @ _TAYLOR_WEIGHTS.to(t.device)
    return torch.where(small, u * u * mean, torch.expm1(t) - t)


def _horner(r: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    total = torch.full_like(r, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * r + c
    return total


def _raised(a: Tensor) -> tuple[Tensor, Tensor]:
    """Whether `a` is too small for Stirling's series, and an argument that never is."""
    low = a < _SHIFT
    return low, torch.where(low, a + _SHIFT, a)


def digamma_excess(a: Tensor) -> Tensor:
    r""":math:`\psi(a + 1) - \log a`, which tends to :math:`1 / 2a`; positive, and differentiable to every order."""
    low, y = _raised(a)
    r = 1 / (y * y)
    excess = 0.5 / y - r * _horner(r, _STIRLING_SLOPE)
    steps = torch.reciprocal(a.unsqueeze(-1) + _STEPS.to(a.device)).sum(-1)
    lowered = excess + torch.log1p(_SHIFT / torch.where(low, a, 1.0)) - steps
    return torch.where(low, lowered, excess)


def log_peak(a: Tensor) -> Tensor:
    r""":math:`\log(a^a e^{-a} / \Gamma(a + 1))`, the logarithm of :math:`q / a` at :math:`x = a`.

    It vanishes at a = 0, and each term of the shifted form vanishes with it: log F is small there, and exact.
    """
    low, y = _raised(a)
    remainder = _horner(1 / (y * y), _STIRLING) / y
    b = torch.where(low, a, 1.0)
    steps = torch.log1p(b.unsqueeze(-1) / _STEPS.to(a.device)).sum(-1)
    lowered = steps - (_SHIFT + 0.5) * torch.log1p(b / _SHIFT) - b * torch.log1p(_SHIFT / b)
    lowered = lowered - (remainder - _STIRLING_AT_SHIFT)
    return torch.where(low, lowered, -0.5 * torch.log(2 * torch.pi * y) - remainder)


def log_density(a: Tensor, mu: Tensor) -> Tensor:
    r""":math:`\log(q(\ell) / a)`, the density of :math:`\log X` over a."""
    return log_peak(a) - a * exp_remainder(mu)


def _range(a: Tensor, x: Tensor, slope: Tensor, upper: Tensor) -> Tensor:
    """A bound, tight to about a third, on where the integrand has fallen to exp(-40)."""
    above = 2 * _CUTOFF / (slope + torch.sqrt(slope * slope + 2 * _CUTOFF * x))
    above = torch.log1p((_CUTOFF + a * above) / torch.where(upper, x, 1.0))
    b = 2 * slope - _CUTOFF
    below = 4 * _CUTOFF / (b + torch.sqrt(b * b + 8 * _CUTOFF * (a + 1)))
    return torch.where(upper, above, below)


def nearer_tail(a: Tensor, mu: Tensor) -> Tail:
    r"""Mass and first moment of the tail on x's side of :math:`e^{\psi(a + 1)}`, by 40-point Gauss-Legendre.

    Above: :math:`\int e^{as - x(e^s - 1)} s^j ds`; below: :math:`\int e^{-(a+1)s + x(1 - e^{-s})} s^j ds`; j = 0, 1.
    """
    near = torch.minimum(mu, _FAR - torch.log(a.clamp(min=1)))
    x = a * torch.exp(near)
    excess = a * torch.expm1(near)
    gap = mu - digamma_excess(a)
    upper = gap >= 0
    slope = torch.where(upper, excess, 1 - excess)
    reach = _range(a.detach(), x.detach(), slope.detach(), upper)
    # log p(t) - log p(x) with t on either side of zero: a multiple of t, and the curvature of e^t.
    t = torch.where(upper, reach, -reach).unsqueeze(-1) * _NODES.to(a.device)
    line = torch.where(upper, -slope, slope).unsqueeze(-1) * t
    log_ratio = line - x.unsqueeze(-1) * (torch.expm1(t) - t)
    mass, moment = (torch.exp(log_ratio) @ _MOMENTS.to(a.device)).unbind(-1)
    mass = reach * torch.exp(near - mu) * mass  # beyond e^700 the tail is exponential: its length is 1 / x
    return Tail(near, x, gap, upper, mass, reach * reach * moment)


def log_mass(a: Tensor, mu: Tensor) -> tuple[Tensor, Tail]:
    """The logarithm of the nearer tail's probability, 1 - F where `upper`, else F; and that tail."""
    tail = nearer_tail(a, mu)
    over_density = torch.where(tail.upper, torch.log(a * tail.mass), torch.log1p(tail.x * tail.mass))
    return log_density(a, tail.near) + over_density, tail


def dlogx_dconcentration(a: Tensor, mu: Tensor) -> Tensor:
    r""":math:`d\log x / da` at fixed :math:`F(x; a)`, from the tail; positive."""
    _, x, gap, upper, mass, moment = nearer_tail(a, mu)
    above = (gap + 1 / a) * mass + moment
    below = (x * moment - gap * (1 + x * mass)) / a
    return torch.where(upper, above, below)
