"""The tanh of a normal: bounded actions, as soft actor-critic draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Normal, constraints, kl_divergence
from torch.distributions.kl import register_kl
from torch.nn.functional import softplus

from reparam.checks import all_true, summary
from reparam.distributions._base import Univariate, at_probability, at_value, in_float32, within_support
from reparam.distributions._normal import LOG_SQRT_TAU, ndtr
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once


class TanhNormal(Univariate):
    r"""A normal squashed into an interval by tanh, whose log-density stays right where tanh rounds to its bounds.

    .. math:: X = \tfrac{\mathrm{high} + \mathrm{low}}{2} + \tfrac{\mathrm{high} - \mathrm{low}}{2} \tanh Z,
              \qquad Z \sim N(\mathrm{loc}, \mathrm{scale}^2)

    .. math:: \log p(x) = \log N(z; \mathrm{loc}, \mathrm{scale}^2) - \log \tfrac{\mathrm{high} - \mathrm{low}}{2}
              - 2 (\log 2 - z - \operatorname{softplus}(-2 z))

    In float32, tanh is exactly 1 from z = 9 on, and z cannot be had back from x. So the object remembers the z of the
    sample it drew last (as torch's transform caches do, by the sample's identity), and `log_prob` of that very tensor,
    unless it was changed in place, uses it; `rsample_with_log_prob` does both at once. Any other value on a bound, from
    a replay buffer say, is taken to be the last float inside the bound.

    Args:
        loc: mean of the normal.
        scale: standard deviation of the normal, positive.
        low: lower bound of the interval.
        high: upper bound of the interval, above `low`.
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. float32 and float64; half precision is
        computed in float32 and rounded once. The support is the closed interval, since samples round to its ends.

    Gradient:
        Explicit, to all four parameters; the base noise is standard normal. The gradient of `log_prob` of a remembered
        sample flows through z, and so does not vanish in saturation.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, and for shapes that do not broadcast.

    References:
        Haarnoja, Zhou, Abbeel and Levine, Soft Actor-Critic, ICML 2018, appendix C.

    Example:
        >>> import torch
        >>> policy = TanhNormal(torch.tensor(20.0), torch.tensor(1.0))
        >>> action, log_prob = policy.rsample_with_log_prob()
        >>> action.item(), bool(torch.isfinite(log_prob))
        (1.0, True)
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
    _pre_tanh: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        low: Tensor | float = -1.0,
        high: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self._drawn: tuple[Tensor, int, Tensor] | None = None
        super().__init__(validate_args, loc=loc, scale=scale, low=low, high=high)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not all_true(self.low < self.high):
            raise InvalidArgument(
                "TanhNormal: low must be below high",
                received=f"low = {summary(self.low)}, high = {summary(self.high)}",
                instead="TanhNormal(loc, scale, low, high) with low < high",
            )

    def _keep(self, z: Tensor) -> None:
        self._pre_tanh = z

    def __getstate__(self) -> dict[str, Any]:
        # The remembered sample has a history, which can be neither copied nor pickled.
        return {k: v for k, v in self.__dict__.items() if k != "_pre_tanh"} | {"_drawn": None}

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TanhNormal:
        """A view of the same law with a larger batch shape."""
        new = super().expand(batch_shape, _instance)
        new._drawn = None
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The closed interval from low to high."""
        return constraints.interval(self.low, self.high)

    def rsample_with_log_prob(self, sample_shape: Sequence[int] = torch.Size()) -> tuple[Tensor, Tensor]:
        """A sample and its log-density, both from the same z: right where tanh saturates."""
        x = self.rsample(sample_shape)
        return x, self.log_prob(x)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density; exact in saturation for the sample drawn last."""
        if self._drawn is not None:
            x, version, z = self._drawn
            if value is x and _version(x) == version:
                return self._log_prob_at(z)
        return self._log_prob(value)

    @at_value
    def _log_prob(self, value: Tensor) -> Tensor:
        return within_support(self, value, _log_density(self, _inverse(self, value)))

    @in_float32
    def _log_prob_at(self, z: Tensor) -> Tensor:
        return _log_density(self, z)

    @at_value
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        inside = ndtr((_inverse(self, value) - self.loc) / self.scale)
        return torch.where(value <= self.low, 0.0, torch.where(value >= self.high, 1.0, inside))

    @at_probability
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function; at 1/2 it is the median, the squashed loc, which serves as deterministic action."""
        return _squash(self, self.loc + self.scale * torch.special.ndtri(value))


def _log_density(dist: TanhNormal, z: Tensor) -> Tensor:
    eps = (z - dist.loc) / dist.scale
    log_slope = 2 * (math.log(2) - z - softplus(-2 * z)) + (0.5 * (dist.high - dist.low)).log()
    return -0.5 * eps * eps - dist.scale.log() - LOG_SQRT_TAU - log_slope


def _squash(dist: TanhNormal, z: Tensor) -> Tensor:
    half = 0.5 * (dist.high - dist.low)
    return (dist.low + half + half * torch.tanh(z)).clamp(dist.low, dist.high)


def _inverse(dist: TanhNormal, value: Tensor) -> Tensor:
    """The z of a value, from its distances to the middle and to the nearer bound, so that neither loses digits."""
    half = 0.5 * (dist.high - dist.low)
    middle = dist.low + half
    right = value >= middle
    distance = torch.where(right, value - middle, middle - value)
    gap = torch.where(right, dist.high - value, value - dist.low)
    gap = torch.maximum(gap, half * (torch.finfo(value.dtype).eps / 2))
    z = 0.5 * torch.log1p(2 * distance / gap)
    return torch.where(right, z, -z)


register_cdf(TanhNormal, ends_move=True)


@register(TanhNormal, reference="Haarnoja, Zhou, Abbeel and Levine, ICML 2018")
def tanh_normal(dist: TanhNormal, noise: BoundNoise) -> Tensor:
    """The squashed normal, whose z is kept for `log_prob`."""
    x = _squashed_normal(dist, noise)
    dist._drawn = x, _version(x), dist._pre_tanh
    return x


def _version(x: Tensor) -> int:
    """How often x was changed in place, where torch counts that: not in inference mode, nor while compiling."""
    return 0 if torch.compiler.is_compiling() or x.is_inference() else x._version


@rounded_once
def _squashed_normal(dist: TanhNormal, noise: BoundNoise) -> Tensor:
    z = dist.loc + dist.scale * noise.normal()
    dist._keep(z)  # as it is: rounded to half precision it would not give the sample
    return _squash(dist, z)


@register_kl(TanhNormal, TanhNormal)
def _kl_tanh_normal(p: TanhNormal, q: TanhNormal) -> Tensor:
    if not all_true((p.low == q.low) & (p.high == q.high)):
        raise InvalidArgument(
            "KL between two TanhNormals has a closed form only where their bounds are the same",
            received=f"low = {summary(p.low)} and {summary(q.low)}, high = {summary(p.high)} and {summary(q.high)}",
            instead="equal bounds, or rp.expect(lambda x: p.log_prob(x) - q.log_prob(x), p)",
        )
    return kl_divergence(Normal(p.loc, p.scale, validate_args=False), Normal(q.loc, q.scale, validate_args=False))
