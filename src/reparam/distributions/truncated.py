"""Any univariate law with a distribution function and a quantile function, held between two bounds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from reparam.checks import all_true, summary
from reparam.distributions._base import ReparamDistribution, at_probability, broadcast, within_support
from reparam.distributions._quantiles import SINGULAR, SYMMETRIC
from reparam.errors import InvalidArgument, UnsupportedTransform
from reparam.noise import BoundNoise
from reparam.pathwise import parameter_like, register

if TYPE_CHECKING:
    from typing_extensions import Self


class Truncated(ReparamDistribution):
    r"""A univariate distribution conditioned to lie in an interval.

    .. math:: x = F^{-1}\bigl(F(l) + u\,(F(h) - F(l))\bigr), \qquad
              \log p(x) = \log p_\text{base}(x) - \log\bigl(F(h) - F(l)\bigr), \qquad l \le x \le h

    Normal, Laplace and Cauchy are symmetric: their probabilities are taken from the tail the interval is in, in closed
    forms of our own, so that an upper tail is as good as a lower one, down to probabilities of the smallest float.
    (`TruncatedNormal` goes further, in logarithms.) ContinuousBernoulli and GeneralizedPareto have functions of our own
    too, which move where torch's stand still, at a logit or a concentration of 0. Of any other class the `cdf` and
    `icdf` are taken as they are, and an interval to which they give no mass raises.

    Args:
        base: a univariate distribution with `cdf` and `icdf`.
        low: lower bound, within the base's support or minus infinity.
        high: upper bound, above `low`, within the base's support or infinity.
        validate_args: whether to check the bounds and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The bounds broadcast with `base.batch_shape`. float32 and float64. Half precision raises: its `cdf` knows
        256 probabilities.

    Gradient:
        Explicit, to both bounds and to every parameter to which the base's `cdf` and `icdf` carry one; the base noise
        is uniform in (0, 1).

    Errors:
        `InvalidArgument` where the base has events that are vectors or lacks `cdf` or `icdf`; unless low < high; and
        where the interval has no mass that the base can resolve. `UnsupportedTransform` where the base is of half
        precision.

    References:
        Devroye, Non-Uniform Random Variate Generation, Springer 1986, section II.2.

    Example:
        >>> import torch
        >>> d = Truncated(torch.distributions.Weibull(2.0, 1.5), 1.0, 2.0)
        >>> x = d.rsample((100,))
        >>> bool(((x >= 1) & (x <= 2)).all())
        True
    """

    arg_constraints: ClassVar = {"low": constraints.real, "high": constraints.real}
    base: Distribution
    low: Tensor
    high: Tensor

    def __init__(
        self,
        base: Distribution,
        low: Tensor | float = -torch.inf,
        high: Tensor | float = torch.inf,
        validate_args: bool | None = None,
    ) -> None:
        like = _checked_base(base)
        shaped = like.new_empty(()).expand(base.batch_shape)
        _, self.low, self.high = broadcast("Truncated", base=shaped, low=low, high=high)
        self.base = base.expand(self.low.shape)
        super().__init__(self.low.shape, validate_args=validate_args)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not all_true(self.low < self.high):
            raise InvalidArgument(
                "Truncated: low must be below high",
                received=f"low = {summary(self.low)}, high = {summary(self.high)}",
                instead="Truncated(base, low, high) with low < high",
            )
        mass = _Interval(self).mass
        if not all_true(mass > 0):
            raise InvalidArgument(
                f"Truncated: the cdf of {type(self.base).__name__} gives the interval no mass",
                received=f"F(high) - F(low) = {summary(mass)}",
                instead="bounds nearer to the bulk, base parameters in float64, or TruncatedNormal for a normal",
            )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """A view of the same law with a larger batch shape."""
        new: Any = super().expand(batch_shape, _instance)
        new.base = self.base.expand(torch.Size(batch_shape))
        return new

    def __repr__(self) -> str:
        return super().__repr__().replace("(", f"({self.base}, ", 1)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The closed interval from low to high."""
        return constraints.interval(self.low, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        log_density = self.base.log_prob(value.clamp(self.low, self.high)) - _Interval(self).mass.log()
        return within_support(self, value, log_density)

    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        if self._validate_args:
            self._validate_sample(value)
        return _Interval(self).share_below(value.clamp(self.low, self.high))

    @at_probability
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        return _Interval(self).quantile(value)


class _Interval:
    """The probabilities of a truncation, reflected where the interval is above the centre of a symmetric base."""

    def __init__(self, dist: Truncated) -> None:
        self.base, self.low, self.high = dist.base, dist.low, dist.high
        self.standard = SYMMETRIC.get(type(dist.base))
        self.upper = torch.zeros_like(dist.low, dtype=torch.bool)
        if self.standard is not None:
            self.upper = self.low > self.base.loc  # type: ignore[attr-defined]  # all three have one
        self.start = self._probability(torch.where(self.upper, self.high, self.low))
        self.mass = self._probability(torch.where(self.upper, self.low, self.high)) - self.start

    def _probability(self, x: Tensor) -> Tensor:
        """Of the tail on this interval's side of x: below it, or above it where the interval is reflected."""
        finite = torch.isfinite(x)
        # The median stands in for an infinite bound: where has a gradient on both of its sides.
        inside = torch.where(finite, x, self._tail_quantile(torch.full_like(x, 0.5)))
        if self.standard is None:
            below = _cdf(self.base, inside)
        else:
            z = (inside - self.base.loc) / self.base.scale  # type: ignore[attr-defined]
            below = self.standard[0](torch.where(self.upper, -z, z))
        return torch.where(finite, below, ((x > 0) ^ self.upper).to(below.dtype))

    def _tail_quantile(self, p: Tensor) -> Tensor:
        if self.standard is None:
            return _icdf(self.base, p)
        z = self.standard[1](p)
        return self.base.loc + self.base.scale * torch.where(self.upper, -z, z)  # type: ignore[attr-defined]

    def share_below(self, x: Tensor) -> Tensor:
        share = (self._probability(x) - self.start) / self.mass
        return torch.where(self.upper, 1 - share, share)

    def quantile(self, u: Tensor) -> Tensor:
        x = self._tail_quantile(self.start + torch.where(self.upper, 1 - u, u) * self.mass)
        return x.clamp(self.low, self.high)


def _cdf(base: Distribution, x: Tensor) -> Tensor:
    own = SINGULAR.get(type(base))
    return base.cdf(x) if own is None else own[0](base, x)


def _icdf(base: Distribution, p: Tensor) -> Tensor:
    own = SINGULAR.get(type(base))
    return base.icdf(p) if own is None else own[1](base, p)


def _checked_base(base: Distribution) -> Tensor:
    """A parameter of the base, once the base is known to be one that can be truncated."""
    name = type(base).__name__
    if not isinstance(base, Distribution) or base.event_shape:
        raise InvalidArgument(
            "Truncated: base must be a univariate distribution",
            received=f"{name} of event_shape {tuple(getattr(base, 'event_shape', ()))}",
            instead="Truncated(torch.distributions.Weibull(scale, concentration), low, high)",
        )
    missing = [m for m in ("cdf", "icdf") if _inherited(type(base), m)]
    if missing:
        raise InvalidArgument(
            f"Truncated: {name} has no {' and no '.join(missing)}, which truncation inverts",
            received=repr(base),
            instead="a base with both, such as Normal, Laplace, Weibull, Exponential or Kumaraswamy",
        )
    like = parameter_like(base)
    if like.dtype in (torch.float16, torch.bfloat16):
        raise UnsupportedTransform(
            "Truncated: half precision knows too few probabilities to invert a cdf",
            received=f"{name} of {like.dtype}",
            instead="parameters in float32, and .to(dtype) of the sample",
        )
    return like


def _inherited(cls: type[Distribution], method: str) -> bool:
    return inspect.getattr_static(cls, method) is inspect.getattr_static(Distribution, method)


@register(Truncated, reference="quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986")
def truncated(dist: Truncated, noise: BoundNoise) -> Tensor:
    """The quantile of a uniform."""
    return _Interval(dist).quantile(noise.uniform())
