r"""The normal law in its tails: log probabilities, their inverses, and the quantile of the truncated normal.

Everything rests on two ratios that stay of moderate size where the density underflows: the hazard
:math:`\varphi(z) / \Phi(-z)`, and the probability of an interval over the density at its end nearest to 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.special._arguments import promote
from reparam.special._closed_form import closed_form
from reparam.special._quadrature import gauss_legendre

_ROOT_TAU = math.sqrt(2 * math.pi)
_LOG_ROOT_TAU = math.log(_ROOT_TAU)
_ROOT_HALF = math.sqrt(0.5)
# Laplace's continued fraction of the hazard: 40 levels, from z = 3 on, leave less than a rounding of a float64.
_FRACTION_FROM, _LEVELS = 3.0, 40
# Beyond a drop of e^-38 a density adds nothing to a float64.
_DROP = 38.0
_NODES, _WEIGHTS = gauss_legendre(32)


def log_ndtr(x: Tensor | float) -> Tensor:
    r"""Logarithm of the standard normal distribution function.

    .. math:: \log \Phi(x) = \log \int_{-\infty}^{x} \frac{e^{-t^2/2}}{\sqrt{2\pi}}\, dt

    Args:
        x: any shape; float32 and float64 compute in their own dtype, half precision in float32.

    Returns:
        A tensor of x's shape and dtype; -inf at -inf, 0 at inf.

    Gradient: exact, of any order; the first is the hazard at -x, and neither it nor the second loses digits in
    the tails.

    Raises:
        InvalidArgument: the argument is complex.

    References:
        M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, 1964, section 26.2.

    Example:
        >>> log_ndtr(torch.tensor([-30.0, 0.0], dtype=torch.float64))
        tensor([-454.3212,   -0.6931], dtype=torch.float64)
    """
    (x,), dtype = promote(x=x)
    return _log_ndtr(x).to(dtype)


def ndtri(p: Tensor | float) -> Tensor:
    r"""Quantile of the standard normal law.

    .. math:: \Phi^{-1}(p)

    Args:
        p: a probability in [0, 1], any shape.

    Returns:
        A tensor of p's shape and dtype; -inf at 0, inf at 1, NaN outside [0, 1].

    Gradient: exact, of any order: :math:`1 / \varphi(x)`.

    Raises:
        InvalidArgument: the argument is complex.

    References:
        M. J. Wichura, Algorithm AS 241: The percentage points of the normal distribution, Applied Statistics, 1988.

    Example:
        >>> ndtri(torch.tensor([0.025, 0.5, 0.975]))
        tensor([-1.9600,  0.0000,  1.9600])
    """
    (p,), dtype = promote(p=p)
    return torch.special.ndtri(p).to(dtype)


def ndtri_exp(log_p: Tensor | float) -> Tensor:
    r"""Quantile of the standard normal law at a probability given by its logarithm; the inverse of `log_ndtr`.

    .. math:: \Phi^{-1}(e^y)

    Args:
        log_p: y <= 0, any shape; also where exp(y) underflows, and where it rounds to 1.

    Returns:
        A tensor of y's shape and dtype; -inf at -inf, inf at 0, NaN for y > 0.

    Gradient: exact, of any order: :math:`\Phi(x) / \varphi(x)`.

    Raises:
        InvalidArgument: the argument is complex.

    References:
        M. J. Wichura, Algorithm AS 241: The percentage points of the normal distribution, Applied Statistics, 1988.

    Example:
        >>> ndtri_exp(torch.tensor([-5000.0, -1.0], dtype=torch.float64))
        tensor([-99.9447,  -0.3375], dtype=torch.float64)
    """
    (log_p,), dtype = promote(log_p=log_p)
    return _ndtri_exp(log_p).to(dtype)


def log_diff_ndtr(a: Tensor | float, b: Tensor | float) -> Tensor:
    r"""Logarithm of the probability that a standard normal variable falls between a and b.

    .. math:: \log\left(\Phi(b) - \Phi(a)\right)

    An interval on one side of 0 is integrated from its end nearest to 0, :math:`\log \varphi(b)` taken out; so
    neither far tails nor a narrow interval cancel.

    Args:
        a: the lower end; -inf allowed.
        b: the upper end, b >= a, of a shape that broadcasts; inf allowed.

    Returns:
        A tensor of the broadcast shape; -inf where a = b, NaN where a > b.

    Gradient: exact, with respect to both, of any order: :math:`\varphi(b) / (\Phi(b) - \Phi(a))` and minus the same
    at a; 0 at an infinite bound.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        N. Chopin, Fast simulation of truncated Gaussian distributions, Statistics and Computing, 2011.

    Example:
        >>> log_diff_ndtr(torch.tensor([30.0, -9.0]), torch.tensor([31.0, -8.0]))
        tensor([-454.3213,  -35.0136])
    """
    (a, b), dtype = promote(a=a, b=b)
    return _log_diff_ndtr(a, b).to(dtype)


def truncated_ndtri(u: Tensor | float, low: Tensor | float, high: Tensor | float) -> Tensor:
    r"""Quantile of the standard normal law truncated to an interval.

    .. math:: \Phi^{-1}\left((1 - u)\, \Phi(low) + u\, \Phi(high)\right)

    Solved in the logarithm of whichever tail probability of the result is the smaller, then refined by a step in
    which probabilities are measured from the nearer bound.

    Args:
        u: a probability in [0, 1].
        low: the lower bound, standardised; -inf allowed.
        high: the upper bound, high >= low; inf allowed. All three broadcast.

    Returns:
        A tensor of the broadcast shape, in [low, high]; NaN outside the domain.

    Gradient: exact given the rounded result, with respect to all three, of any order:
    :math:`(1 - u) \varphi(low) / \varphi(x)`, :math:`u \varphi(high) / \varphi(x)`, and
    :math:`(\Phi(high) - \Phi(low)) / \varphi(x)`.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        N. Chopin, Fast simulation of truncated Gaussian distributions, Statistics and Computing, 2011.

    Example:
        >>> truncated_ndtri(torch.tensor([0.0, 0.5, 1.0]), 30.0, torch.inf)
        tensor([30.0000, 30.0231,     inf])
    """
    (u, low, high), dtype = promote(u=u, low=low, high=high)
    return _truncated_ndtri(u, low, high).to(dtype)


def _hazard(z: Tensor) -> Tensor:
    r""":math:`\varphi(z) / \Phi(-z)`, by operations whose derivatives are accurate too."""
    body = z.clamp(max=_FRACTION_FROM)
    return torch.where(z > _FRACTION_FROM, _fraction(z), torch.exp(_log_density(body) - _log_ndtr(-body)))


def _fraction(z: Tensor) -> Tensor:
    """The hazard from z = 3 on: z + 1 / (z + 2 / (z + 3 / (z + ...)))."""
    z = z.clamp(min=_FRACTION_FROM)
    level = (z + torch.sqrt(z * z + 4 * _LEVELS)) / 2
    for k in range(_LEVELS - 1, 0, -1):
        level = z + k / level
    return level


def _log_ndtr_value(x: Tensor) -> Tensor:
    middle, upper = x.clamp(-_FRACTION_FROM, 0), x.clamp(min=0)
    lower = x.clamp(max=0)
    far = torch.log(0.5 * torch.special.erfcx(-lower * _ROOT_HALF)) - 0.5 * lower * lower
    near = torch.where(
        x < 0, torch.log(0.5 * torch.erfc(-middle * _ROOT_HALF)), torch.log1p(-0.5 * torch.erfc(upper * _ROOT_HALF))
    )
    return torch.where(x < -_FRACTION_FROM, far, near)


def _log_ndtr_partials(_: Tensor, x: Tensor) -> tuple[Tensor]:
    return (_hazard(-x),)


def _ndtri_exp_value(log_p: Tensor) -> Tensor:
    # Just above the smallest normal number of the dtype, with room for the density.
    floor = math.log(torch.finfo(log_p.dtype).tiny) + 8
    body, tail = log_p.clamp(min=floor), log_p.clamp(max=floor)
    upper = body > -math.log(2)
    x = torch.special.ndtri(torch.where(upper, -torch.expm1(body), torch.exp(body)))
    far = -torch.sqrt(-2 * tail - torch.log(-4 * math.pi * tail))
    for _ in range(2):  # Newton, on a function that is nearly a parabola
        far = far - (_log_ndtr(far) - tail) * (0.5 * _ROOT_TAU * torch.special.erfcx(-far * _ROOT_HALF))
    far = torch.where(torch.isinf(tail), tail, far)
    return torch.where(log_p < floor, far, torch.where(upper, -x, x))


def _ndtri_exp_partials(x: Tensor, _: Tensor) -> tuple[Tensor]:
    return (1 / _hazard(-x),)


class _Interval(NamedTuple):
    """An interval, reflected where that brings its end of larger density to the top.

    The mass is in units of the density at the top where both ends are on one side of 0, and absolute otherwise.
    """

    reflected: Tensor
    bottom: Tensor
    top: Tensor
    straddles: Tensor
    mass: Tensor


def _interval(a: Tensor, b: Tensor) -> _Interval:
    # Squares of the bound must be finite; no normal density lives beyond it.
    bound = torch.finfo(a.dtype).max ** 0.49
    reflected = a > -b
    bottom = torch.where(reflected, -b, a).clamp(-bound, bound)
    top = torch.where(reflected, -a, b).clamp(-bound, bound)
    straddles = top > 0
    distance = torch.where(straddles, 0, -top)
    length = torch.where(a <= b, top - bottom, torch.nan)
    # The drop over s is s (2 distance + s) / 2.
    width = torch.minimum(length, 2 * _DROP / (distance + torch.sqrt(distance * distance + 2 * _DROP)))
    nodes, weights = (rule.to(width).reshape(-1, *[1] * width.ndim) for rule in (_NODES, _WEIGHTS))
    s = width * (1 + nodes) / 2
    ratio = width * (weights / 2 * torch.exp(-s * (distance + s / 2))).sum(0)
    both = 0.5 * (torch.erf(top * _ROOT_HALF) - torch.erf(bottom * _ROOT_HALF))
    return _Interval(reflected, bottom, top, straddles, torch.where(straddles & (a <= b), both, ratio))


def _log_diff_ndtr_value(a: Tensor, b: Tensor) -> Tensor:
    _, bottom, top, straddles, mass = _interval(a, b)
    outside = 0.5 * (torch.erfc(top * _ROOT_HALF) + torch.erfc(-bottom * _ROOT_HALF))
    wide = straddles & (mass > 0.5)
    log_mass = torch.where(wide, torch.log1p(-outside), torch.log(mass))
    return torch.where(straddles, log_mass, log_mass + _log_density(top))


def _log_diff_ndtr_partials(_: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    reflected, bottom, top, straddles, mass = _interval(a, b)
    at_top = torch.where(straddles, _log_density(top).exp(), 1) / mass
    at_bottom = at_top * torch.exp(0.5 * (top - bottom) * (top + bottom))
    return -torch.where(reflected, at_top, at_bottom), torch.where(reflected, at_bottom, at_top)


def _truncated_ndtri_value(u: Tensor, low: Tensor, high: Tensor) -> Tensor:
    inside = (u >= 0) & (u <= 1) & (low <= high)
    log_u, log_rest = torch.log(u), torch.log1p(-u)
    below = torch.logaddexp(log_rest + _log_ndtr(low), log_u + _log_ndtr(high))
    above = torch.logaddexp(log_rest + _log_ndtr(-low), log_u + _log_ndtr(-high))
    x = _ndtri_exp(torch.minimum(below, above).clamp(max=0))
    x = _clip(torch.where(below < above, x, -x), low, high)
    # One Newton step; the smaller of u and 1 - u is the share of the mass to be found on its side of x.
    from_low = u <= 0.5
    wanted = torch.where(from_low, u, 1 - u) * _mass_over_density(low, high, x)
    found = _mass_over_density(torch.where(from_low, low, x), torch.where(from_low, x, high), x)
    step = torch.where(from_low, wanted - found, found - wanted)
    refined = _clip(x + torch.where(torch.isfinite(step), step, 0), low, high)
    return torch.where(inside, refined, torch.nan)


def _truncated_ndtri_partials(x: Tensor, u: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    by_low = (1 - u) * _density_ratio(low, x)
    by_high = u * _density_ratio(high, x)
    return _mass_over_density(low, high, x), by_low, by_high


def _mass_over_density(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The probability of (a, b) over the density at x."""
    _, _, top, straddles, mass = _interval(a, b)
    unit = torch.where(straddles, mass * _ROOT_TAU, mass)
    return unit * _density_ratio(torch.where(straddles, 0, top), x)


def _density_ratio(t: Tensor, x: Tensor) -> Tensor:
    """The density at t over that at x."""
    bound = torch.finfo(t.dtype).max ** 0.49
    t, x = t.clamp(-bound, bound), x.clamp(-bound, bound)
    return torch.exp(0.5 * (x - t) * (x + t))


def _log_density(x: Tensor) -> Tensor:
    return -x * x / 2 - _LOG_ROOT_TAU


def _clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


_log_ndtr = closed_form(_log_ndtr_value, _log_ndtr_partials)
_ndtri_exp = closed_form(_ndtri_exp_value, _ndtri_exp_partials)
_log_diff_ndtr = closed_form(_log_diff_ndtr_value, _log_diff_ndtr_partials)
_truncated_ndtri = closed_form(_truncated_ndtri_value, _truncated_ndtri_partials)
