"""The sinh-arcsinh law: a normal whose skewness and tails are turned by two dials."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import Univariate, at_probability, at_value, in_float32
from reparam.distributions._normal import LOG_SQRT_TAU, ndtr
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once


class SinhArcsinh(Univariate):
    r"""A normal pushed through sinh and arcsinh, which bends its skewness and its tails and keeps its centre.

    .. math:: X = \mathrm{loc} + \mathrm{scale}\, c\, \sinh\bigl((\operatorname{arcsinh} Z + \mathrm{skewness})
              \,\mathrm{tailweight}\bigr), \qquad c = \frac{2}{\sinh(\mathrm{tailweight} \operatorname{arcsinh} 2)},
              \qquad Z \sim N(0, 1)

    With skewness 0 and tailweight 1 this is the normal law; c puts the symmetric law's two-sigma point at `2 scale`.

    Args:
        loc: location; the median where skewness is 0.
        scale: scale, positive.
        skewness: any real; positive values lengthen the right tail.
        tailweight: positive; above 1 the tails are heavier than the normal's, below 1 lighter.
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. float32 and float64; half precision is
        computed in float32 and rounded once.

    Gradient:
        Explicit, to all four parameters; the base noise is standard normal.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, and for shapes that do not broadcast.

    References:
        Jones and Pewsey, Sinh-arcsinh distributions, Biometrika 2009 (their delta is 1 / tailweight, their epsilon
        skewness; the normalisation by c is that of TensorFlow Probability).

    Example:
        >>> import torch
        >>> x = torch.tensor(0.3)
        >>> torch.allclose(SinhArcsinh(0.0, 1.0).log_prob(x), torch.distributions.Normal(0.0, 1.0).log_prob(x))
        True
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "skewness": constraints.real,
        "tailweight": constraints.positive,
    }
    support = constraints.real
    loc: Tensor
    scale: Tensor
    skewness: Tensor
    tailweight: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        skewness: Tensor | float = 0.0,
        tailweight: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, loc=loc, scale=scale, skewness=skewness, tailweight=tailweight)

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        y, angle = _angle(self, value)
        z = torch.sinh(angle)
        # log(dz/dx), with both hyperbolas in logarithms: y * y and cosh(angle) overflow long before the density is 0.
        growth = angle.abs() + torch.log1p(torch.exp(-2 * angle.abs())) - math.log(2)
        stretch = torch.hypot(y, torch.ones_like(y)).log() + self.tailweight.log() + _unit(self).log()
        log_density = growth - stretch - 0.5 * z * z - LOG_SQRT_TAU
        return torch.where(torch.isinf(angle), -torch.inf, log_density)

    @at_value
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function, right in relative terms in the lower tail."""
        return ndtr(torch.sinh(_angle(self, value)[1]))

    @at_probability
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        return _from_normal(self, torch.special.ndtri(value))

    @property
    @in_float32
    def mean(self) -> Tensor:
        """`loc + scale c sinh(skewness tailweight) E cosh(tailweight arcsinh Z)`."""
        return self.loc + _unit(self) * torch.sinh(self.skewness * self.tailweight) * _mean_cosh(self.tailweight)

    @property
    @in_float32
    def variance(self) -> Tensor:
        """`(scale c)^2` times the variance of the sinh, by the double-angle formula."""
        shift, twice = self.skewness * self.tailweight, _mean_cosh(2 * self.tailweight)
        square = 0.5 * (torch.cosh(2 * shift) * twice - 1)
        mean = torch.sinh(shift) * _mean_cosh(self.tailweight)
        return _unit(self).square() * (square - mean.square())


def _unit(dist: SinhArcsinh) -> Tensor:
    return 2 * dist.scale / torch.sinh(dist.tailweight * math.asinh(2.0))


def _from_normal(dist: SinhArcsinh, z: Tensor) -> Tensor:
    return dist.loc + _unit(dist) * torch.sinh((torch.asinh(z) + dist.skewness) * dist.tailweight)


def _angle(dist: SinhArcsinh, value: Tensor) -> tuple[Tensor, Tensor]:
    """The standardised value, and the arcsinh of the normal variate it came from."""
    y = (value - dist.loc) / _unit(dist)
    return y, torch.asinh(y) / dist.tailweight - dist.skewness


def _mean_cosh(t: Tensor) -> Tensor:
    """E cosh(t arcsinh Z): trapezoidal rule in s = arcsinh Z, where the integrand is entire and dies doubly fast."""
    s = torch.linspace(0, 6.4, 129, dtype=t.dtype, device=t.device)
    fold = math.log(0.05) + s.sign() * math.log(2)  # the step, and both signs of s at once
    log_density = fold + torch.cosh(s).log() - 0.5 * torch.sinh(s).square() - LOG_SQRT_TAU
    lift = t.unsqueeze(-1) * s
    return 0.5 * ((log_density + lift).exp() + (log_density - lift).exp()).sum(-1)


register_cdf(SinhArcsinh)


@register(SinhArcsinh, reference="Jones and Pewsey, Biometrika 2009")
@rounded_once
def sinh_arcsinh(dist: SinhArcsinh, noise: BoundNoise) -> Tensor:
    """The sinh of a shifted and scaled arcsinh of a normal."""
    return _from_normal(dist, noise.normal())
