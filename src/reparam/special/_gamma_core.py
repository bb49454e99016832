r"""The one integral behind every function of :mod:`reparam.special.gamma`.

Let :math:`L = \log X`, :math:`X \sim \mathrm{Gamma}(a, 1)`, with density :math:`q(\ell) = e^{a\ell - e^\ell} / \Gamma(a)`, and
write :math:`\ell = \log x`. Relative to the density at :math:`\ell`, the mass above and below it is

.. math::
    \frac{1 - F}{q(\ell)} = \int_0^\infty e^{a s - x (e^s - 1)} ds, \qquad
    \frac{F}{q(\ell)} = \int_0^\infty e^{-a s + x (1 - e^{-s})} ds,

and differentiating in :math:`a` under the sign multiplies the integrand by the score :math:`\ell \pm s - \psi(a)`. The upper
integral is used for :math:`\ell \ge \psi(a + 1)`, where its score is positive; below, the lower one at :math:`a + 1`, where
*its* score is one-signed, followed by one step of the recurrence :math:`F(a) = F(a + 1) + q(\ell) / a`. So nothing cancels on
either side, and the integrals at small :math:`a` never stretch over the :math:`1 / a` decades that the variate does.

Everything is written in :math:`\mu = \log(x / a)`, since :math:`x - a = a (e^\mu - 1)` and :math:`\ell - \psi` keep their
relative accuracy in it when :math:`a` is large and :math:`x` is near :math:`a`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._quadrature import gauss_legendre

_SHIFT = 12  # from here upwards eight Bernoulli terms reach the rounding error of float64
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_FAR = 700.0  # exp(mu) stays finite
_CUTOFF = 40.0  # the integrand is followed down to exp(-40) of its start
_NODES, _WEIGHTS = (r.mul(0.5) for r in gauss_legendre(40))
_NODES = _NODES + 0.5
_MOMENTS = torch.stack([_WEIGHTS, _WEIGHTS * _NODES], dim=-1)


class Tail(NamedTuple):
    """The nearer tail at `x`, in units of the density there; `gap` is `log x - psi(a + 1)`, and `upper` its sign."""

    a: Tensor
    x: Tensor
    gap: Tensor
    upper: Tensor
    mass: Tensor
    moment: Tensor


def exp_remainder(t: Tensor) -> Tensor:
    r""":math:`e^t - 1 - t`, to rounding error for every t."""
    small = t.abs() < 0.5
    u = torch.where(small, t, 0.0)
    series = torch.full_like(u, 1 / 16)
    for k in range(15, 2, -1):
        series = (1 + u * series) / k
    return torch.where(small, 0.5 * u * u * (1 + u * series), torch.expm1(t) - t)


def _stirling_series(y: Tensor) -> tuple[Tensor, Tensor]:
    r"""The remainders of :math:`\log\Gamma(y)` and of :math:`-\psi(y)` after Stirling's leading terms, for y >= 12."""
    r = 1 / (y * y)
    log_gamma = torch.zeros_like(y)
    digamma = torch.zeros_like(y)
    for k in range(len(_STIRLING) - 1, -1, -1):
        log_gamma = log_gamma * r + _STIRLING[k]
        digamma = digamma * r + (2 * k + 1) * _STIRLING[k]
    return log_gamma / y, digamma * r


def _raised(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether `a` is too small for Stirling's series, an argument that never is, and a + 1 ... a + 12 on a last axis."""
    low = a < _SHIFT
    steps = torch.arange(1, _SHIFT + 1, dtype=a.dtype, device=a.device)
    return low, torch.where(low, a + _SHIFT, a), a.unsqueeze(-1) + steps


def digamma_excess(a: Tensor) -> Tensor:
    r""":math:`\psi(a + 1) - \log a`, which tends to :math:`1 / 2a`; positive, and differentiable to every order."""
    low, y, ladder = _raised(a)
    excess = 0.5 / y - _stirling_series(y)[1]
    lowered = excess + torch.log1p(_SHIFT / torch.where(low, a, 1.0)) - ladder.reciprocal().sum(-1)
    return torch.where(low, lowered, excess)


def log_peak(a: Tensor) -> Tensor:
    r""":math:`\log(a^a e^{-a} / \Gamma(a + 1))`: the logarithm of :math:`q / a` at :math:`x = a`."""
    low, y, ladder = _raised(a)
    peak = -0.5 * torch.log(2 * torch.pi * y) - _stirling_series(y)[0]
    b = torch.where(low, a, 1.0)
    lowered = peak + _SHIFT - b * torch.log1p(_SHIFT / b) + torch.log(ladder / y.unsqueeze(-1)).sum(-1)
    return torch.where(low, lowered, peak)


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
    near = mu.clamp(max=_FAR)
    x = a * torch.exp(near)
    excess = a * torch.expm1(near)
    gap = mu - digamma_excess(a)
    upper = gap >= 0
    sign = torch.where(upper, 1.0, -1.0).to(a.dtype)
    slope = torch.where(upper, excess, 1 - excess)
    reach = _range(a.detach(), x.detach(), slope.detach(), upper)
    s = reach.unsqueeze(-1) * _NODES.to(a.device)
    t = sign.unsqueeze(-1) * s
    fall = slope.unsqueeze(-1) * s + x.unsqueeze(-1) * (torch.expm1(t) - t)
    mass, moment = (torch.exp(-fall) @ _MOMENTS.to(a.device)).unbind(-1)
    mass = reach * torch.exp(near - mu) * mass  # beyond e^700 the tail is exponential: its length is 1 / x
    return Tail(a, x, gap, upper, mass, reach * reach * moment)


def log_masses(a: Tensor, mu: Tensor) -> tuple[Tail, Tensor, Tensor]:
    r"""The tail at x, and the logarithms of its mass and of the density :math:`q(\ell)`."""
    tail = nearer_tail(a, mu)
    log_q = log_density(a, mu) + torch.log(a)
    length = torch.where(tail.upper, tail.mass, (1 + tail.x * tail.mass) / a)
    return tail, log_q + torch.log(length), log_q


def dlogx_dconcentration(a: Tensor, mu: Tensor) -> Tensor:
    r""":math:`d\log x / da` at fixed :math:`F(x; a)`, from the tail; positive."""
    a, x, gap, upper, mass, moment = nearer_tail(a, mu)
    above = (gap + 1 / a) * mass + moment
    below = (x * moment - gap * (1 + x * mass)) / a
    return torch.where(upper, above, below)
