"""The generalised normal law, from Laplace through normal to uniform."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import Univariate, at_probability, at_value, in_float64
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.special import _gamma_core as core
from reparam.special._gamma_inverse import log_quantile_ratio


class GeneralizedNormal(Univariate):
    r"""The exponential-power law: Laplace at power 1, normal at power 2, uniform as the power grows.

    .. math:: p(x) = \frac{\beta}{2 s \Gamma(1 / \beta)} \exp\Bigl(-\Bigl|\frac{x - m}{s}\Bigr|^\beta\Bigr)

    Args:
        loc: centre m; mean, median and mode.
        scale: s, positive (at power 2 the standard deviation is s over the root of 2).
        power: beta, positive (the name is that of TensorFlow Probability; scipy's is beta).
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Everything but the sample is computed in
        float64 and rounded once to float64, float32 or half precision.

    Gradient:
        To all three parameters: :math:`|x - m|^\beta / s^\beta` is a Gamma variate of concentration 1 / beta, whose
        logarithm is drawn and differentiated implicitly, so that powers of 0.1 and of 1e4 are as safe as 2.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, for shapes that do not broadcast, and for
        base noise as a tensor: a draw takes a Gamma and a sign.

    References:
        Nadarajah, A generalized normal distribution, Journal of Applied Statistics 2005. Figurnov, Mohamed and Mnih,
        Implicit Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> import torch
        >>> x, laplace = torch.tensor(0.3), torch.distributions.Laplace(0.0, 2.0)
        >>> torch.allclose(GeneralizedNormal(0.0, 2.0, 1.0).log_prob(x), laplace.log_prob(x))
        True
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "power": constraints.positive,
    }
    support = constraints.real
    loc: Tensor
    scale: Tensor
    power: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        power: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, loc=loc, scale=scale, power=power)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        y = ((value - self.loc) / self.scale).abs()
        # At the centre, a cusp where power <= 1, the gradient is the middle of its one-sided limits: 0.
        away = y > 0
        fall = torch.where(away, torch.where(away, y, 1.0).pow(self.power), 0.0)
        return -torch.lgamma(1 + 1 / self.power) - (2 * self.scale).log() - fall

    @at_value
    @in_float64
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function, right in relative terms in the lower tail."""
        y = (value - self.loc) / self.scale
        away = y != 0
        distance = torch.where(away, y.abs(), 1.0)
        log_mass, tail = core.log_mass(1 / self.power, self.power * distance.log() + self.power.log())
        # At the centre itself the density is finite: the slope survives as that of a straight line.
        outer = torch.where(tail.upper, log_mass.exp(), -torch.expm1(log_mass))
        outer = torch.where(away, outer, 1 - y * torch.exp(-torch.lgamma(1 + 1 / self.power)))
        return torch.where(y < 0, 0.5 * outer, 1 - 0.5 * outer)

    @at_probability
    @in_float64
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        outer = 2 * torch.minimum(value, 1 - value)
        inside = (outer > 0) & (outer < 1)
        q = torch.where(inside, outer, 0.5)
        log_ratio = log_quantile_ratio(1 / self.power, torch.log1p(-q), q.log())
        distance = torch.exp((log_ratio - self.power.log()) / self.power)
        distance = torch.where(inside, distance, torch.where(outer > 0, 0.0, torch.inf).to(distance.dtype))
        return self.loc + self.scale * torch.where(value < 0.5, -distance, distance)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`scale^2 Gamma(3 / power) / Gamma(1 / power)`."""
        # With the poles of both Gammas divided out, since 1 / power may be tiny.
        ratio = torch.lgamma(1 + 3 / self.power) - torch.lgamma(1 + 1 / self.power)
        return self.scale.square() * ratio.exp() / 3

    @in_float64
    def entropy(self) -> Tensor:
        """`1 / power + log(2 scale Gamma(1 + 1 / power))`."""
        return 1 / self.power + math.log(2) + self.scale.log() + torch.lgamma(1 + 1 / self.power)


register_cdf(GeneralizedNormal)


@register(GeneralizedNormal, kind="implicit", reference="root of a Gamma; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def generalized_normal(dist: GeneralizedNormal, noise: BoundNoise) -> Tensor:
    """A random sign times the root of a Gamma, taken in logarithms."""
    distance = torch.exp(log_gamma(1 / dist.power, noise) / dist.power)
    return dist.loc + dist.scale * torch.where(noise.uniform() < 0.5, -distance, distance)
