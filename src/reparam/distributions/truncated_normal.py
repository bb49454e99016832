"""The normal law held between two bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.checks import all_true, summary
from reparam.distributions._base import Univariate, at_probability, at_value, in_float64, within_support
from reparam.distributions._normal import LOG_SQRT_TAU
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once
from reparam.special._quadrature import gauss_legendre
from reparam.special.normal import log_diff_ndtr, truncated_ndtri

# Beyond a drop of e^-40 from the mode a density adds nothing to a float64.
_DROP = 40.0
_NODES, _WEIGHTS = gauss_legendre(64)


class TruncatedNormal(Univariate):
    r"""A normal conditioned to lie in an interval, wherever in the tails that interval is.

    .. math:: p(x) = \frac{\varphi(z)}{s\,(\Phi(\beta) - \Phi(\alpha))}, \qquad z = \frac{x - m}{s}, \quad
              \alpha = \frac{l - m}{s}, \quad \beta = \frac{h - m}{s}, \qquad l \le x \le h

    Probabilities are taken in logarithms and from the nearer tail, so an interval 30 or 1000 standard deviations away
    is as good as one around the mean, in float32 too.

    Args:
        loc: mean m of the normal before truncation.
        scale: its standard deviation s, positive.
        low: lower bound l; may be minus infinity.
        high: upper bound h, above `low`; may be infinity.
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Everything is computed in float64 and rounded
        once to float64, float32 or half precision.

    Gradient:
        Explicit, to all four parameters, by the quantile function; the base noise is uniform in (0, 1). With u the
        noise, :math:`dx/dl = (1 - u) \varphi(\alpha) / \varphi(z)` and :math:`dx/dh = u \varphi(\beta) / \varphi(z)`; 0
        for an infinite bound.

    Errors:
        `InvalidArgument` unless low < high and scale > 0, and for a value outside the bounds.

    References:
        Chopin, Fast simulation of truncated Gaussian distributions, Statistics and Computing 2011.

    Example:
        >>> import torch
        >>> d = TruncatedNormal(torch.tensor(0.0), 1.0, 30.0, torch.inf)
        >>> d.mean
        tensor(30.0333)
        >>> bool((d.rsample((100,)) >= 30).all())
        True
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "low": constraints.real,
        "high": constraints.real,
    }
    loc: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        low: Tensor | float,
        high: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, loc=loc, scale=scale, low=low, high=high)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not all_true(self.low < self.high):
            raise InvalidArgument(
                "TruncatedNormal: low must be below high",
                received=f"low = {summary(self.low)}, high = {summary(self.high)}",
                instead="TruncatedNormal(loc, scale, low, high) with low < high",
            )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The closed interval from low to high."""
        return constraints.interval(self.low, self.high)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        z = (value - self.loc) / self.scale
        log_density = -0.5 * z * z - LOG_SQRT_TAU - self.scale.log() - log_diff_ndtr(*_bounds(self))
        return within_support(self, value, log_density)

    @at_value
    @in_float64
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function, right in relative terms in the lower tail."""
        low, high = _bounds(self)
        inside = value > self.low
        z = _standardised(self, torch.where(inside, value.clamp(max=self.high), self.high))
        below = torch.exp(log_diff_ndtr(low, z) - log_diff_ndtr(low, high))
        return torch.where(inside, below, 0.0)

    @at_probability
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        return _quantile(self, value)

    @property
    @in_float64
    def mean(self) -> Tensor:
        """The mean, by quadrature over the part of the interval that carries mass."""
        return self.loc + self.scale * _expectation(self, lambda t, _: t)

    @property
    def mode(self) -> Tensor:
        """`loc`, or the bound nearest to it."""
        return self.loc.clamp(self.low, self.high)

    @property
    @in_float64
    def variance(self) -> Tensor:
        """The variance, by a quadrature of squares, which does not cancel where the closed form does."""
        mean = _expectation(self, lambda t, _: t).unsqueeze(-1)
        return self.scale.square() * _expectation(self, lambda t, _: (t - mean).square())

    @in_float64
    def entropy(self) -> Tensor:
        """The differential entropy, by quadrature."""
        *_, log_mass = _rule(self)
        return self.scale.log() + log_mass - _expectation(self, lambda _, log_ratio: log_ratio)


def _standardised(dist: TruncatedNormal, value: Tensor) -> Tensor:
    # An infinite value must not meet the slope of a division.
    infinite = torch.isinf(value)
    return torch.where(infinite, value, (torch.where(infinite, dist.loc, value) - dist.loc) / dist.scale)


def _bounds(dist: TruncatedNormal) -> tuple[Tensor, Tensor]:
    return _standardised(dist, dist.low), _standardised(dist, dist.high)


@in_float64
def _quantile(dist: TruncatedNormal, u: Tensor) -> Tensor:
    # In float64, since a density ratio at 30 sigma multiplies the rounding of a float32 by a thousand.
    x = dist.loc + dist.scale * truncated_ndtri(u, *_bounds(dist))
    return x.clamp(dist.low, dist.high)


def _rule(dist: TruncatedNormal) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardised nodes, normalised weights, log density over that at the mode, and the log of its integral."""
    low, high = _bounds(dist)
    mode = torch.zeros_like(low).clamp(low, high).detach()
    reach = 2 * _DROP / (mode.abs() + torch.sqrt(mode.square() + 2 * _DROP))
    start, end = torch.maximum(low, mode - reach), torch.minimum(high, mode + reach)
    half = (0.5 * (end - start)).unsqueeze(-1)
    t = start.unsqueeze(-1) + half * (1 + _NODES.to(half))
    peak = mode.unsqueeze(-1)
    log_ratio = -0.5 * (t - peak) * (t + peak)
    weights = half * _WEIGHTS.to(half) * log_ratio.exp()
    mass = weights.sum(-1, keepdim=True)
    return t, weights / mass, log_ratio, mass.squeeze(-1).log()


def _expectation(dist: TruncatedNormal, f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    t, weights, log_ratio, _ = _rule(dist)
    return (weights * f(t, log_ratio)).sum(-1)


register_cdf(TruncatedNormal, ends_move=True)


@register(TruncatedNormal, reference="quantile transform in the nearer tail; Chopin, Statistics and Computing 2011")
@rounded_once
def truncated_normal(dist: TruncatedNormal, noise: BoundNoise) -> Tensor:
    """The quantile of a uniform."""
    return _quantile(dist, noise.uniform())
