"""The triangular law."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.checks import all_true, summary
from reparam.distributions._base import Univariate, at_probability, at_value, in_float32
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once


class Triangular(Univariate):
    r"""The law whose density rises linearly from `low` to `peak` and falls linearly to `high`.

    .. math:: p(x) = \frac{2}{h - l} \cdot \frac{x - l}{m - l} \quad (l \le x \le m), \qquad
              p(x) = \frac{2}{h - l} \cdot \frac{h - x}{h - m} \quad (m \le x \le h)

    Args:
        low: the lower end l.
        high: the upper end h, above `low`.
        peak: the mode m, anywhere in `[low, high]`, the ends included. (`mode` is torch's name for the property.)
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. float32 and float64; half precision is
        computed in float32 and rounded once.

    Gradient:
        Explicit, to all three parameters, by the quantile function; the base noise is uniform in (0, 1).

    Errors:
        `InvalidArgument` unless low < high and low <= peak <= high, and for a value outside `[low, high]`.

    References:
        Kotz and van Dorp, Beyond Beta, World Scientific 2004.

    Example:
        >>> Triangular(0.0, 4.0, 1.0).mean
        tensor(1.6667)
    """

    arg_constraints: ClassVar = {"low": constraints.real, "high": constraints.real, "peak": constraints.real}
    low: Tensor
    high: Tensor
    peak: Tensor

    def __init__(
        self,
        low: Tensor | float,
        high: Tensor | float,
        peak: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, low=low, high=high, peak=peak)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not all_true((self.low < self.high) & (self.low <= self.peak) & (self.peak <= self.high)):
            raise InvalidArgument(
                "Triangular: low must be below high, and peak between them",
                received=", ".join(f"{name} = {summary(value)}" for name, value in self._parameters().items()),
                instead="Triangular(low, high, peak) with low < high and low <= peak <= high",
            )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The closed interval from low to high."""
        return constraints.interval(self.low, self.high)

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density; minus infinity at an end that is not the peak."""
        rising = value < self.peak
        # Outside the support, which only validation refuses, there is no density: log 0.
        run = torch.where(rising, value - self.low, self.high - value).clamp(min=0)
        side = torch.where(rising, self.peak - self.low, self.high - self.peak)
        # At a peak that is an end, run and side are both 0 there and the density is the peak's.
        at_peak = run == side
        fraction = torch.where(at_peak, 1.0, run) / torch.where(at_peak, 1.0, side)
        return math.log(2) - (self.high - self.low).log() + fraction.log()

    @at_value
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        value = value.clamp(self.low, self.high)
        width, left, right = self.high - self.low, self.peak - self.low, self.high - self.peak
        rising = value < self.peak
        lower = (value - self.low).square() / (width * torch.where(left > 0, left, 1.0))
        upper = (self.high - value).square() / (width * torch.where(right > 0, right, 1.0))
        return torch.where(rising, lower, 1 - upper)

    @at_probability
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        return _quantile(self, value)

    @property
    @in_float32
    def mean(self) -> Tensor:
        """`(low + high + peak) / 3`."""
        return (self.low + self.high + self.peak) / 3

    @property
    def mode(self) -> Tensor:
        """`peak`."""
        return self.peak

    @property
    @in_float32
    def variance(self) -> Tensor:
        """`(a^2 + a b + b^2) / 18` with `a = peak - low`, `b = high - peak`."""
        left, right = self.peak - self.low, self.high - self.peak
        return (left.square() + left * right + right.square()) / 18

    @in_float32
    def entropy(self) -> Tensor:
        """`1/2 + log((high - low) / 2)`, whatever the peak."""
        return 0.5 + (0.5 * (self.high - self.low)).log()


def _quantile(dist: Triangular, u: Tensor) -> Tensor:
    width, left, right = dist.high - dist.low, dist.peak - dist.low, dist.high - dist.peak
    rising = u * width < left
    # The branch not taken is given a positive radicand, since the slope of a square root at 0 is infinite.
    area = width * torch.where(rising, u * left, (1 - u) * right)
    root = torch.where(area > 0, area, 1.0).sqrt() * (area > 0)
    return torch.where(rising, dist.low + root, dist.high - root)


register_cdf(Triangular, ends_move=True)


@register(Triangular, reference="quantile transform; Kotz and van Dorp, Beyond Beta, 2004")
@rounded_once
def triangular(dist: Triangular, noise: BoundNoise) -> Tensor:
    """The quantile of a uniform."""
    return _quantile(dist, noise.uniform())
