"""The logarithm of a Gamma variate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Gamma, constraints, kl_divergence
from torch.distributions.kl import register_kl

from reparam.distributions._base import Univariate, at_probability, at_value, in_float64
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.special import _gamma_core as core
from reparam.special._gamma_inverse import log_quantile_ratio


class ExpGamma(Univariate):
    r"""The law of :math:`y = \log x` with x a Gamma variate: a sample that does not underflow.

    .. math:: \log p(y) = a (y + \log r) - r e^y - \log \Gamma(a)

    At concentration 1e-3 half of the Gamma variates are below 1e-300 and no float32 holds them; their logarithms are
    ordinary numbers. As in torch's `ExpRelaxedCategorical`, "Exp" says that the exponential of the sample has the
    law that is named.

    Args:
        concentration: shape a of the Gamma, positive.
        rate: rate r of the Gamma, positive.
        validate_args: whether to check the parameters and the values given to `log_prob`, `cdf` and `icdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Everything but the sample is computed in
        float64 and rounded once to float64, float32 or half precision.

    Gradient:
        Implicit, to the concentration, and explicit, to the rate.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, and for shapes that do not broadcast.

    References:
        Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, NeurIPS 2018. Liu, Martin and Syring,
        Efficient simulation from a gamma distribution with small shape parameter, Computational Statistics 2017.

    Example:
        >>> import torch
        >>> y = ExpGamma(torch.tensor(1e-6), 1.0).rsample((100,))
        >>> bool(torch.isfinite(y).all())
        True
    """

    arg_constraints: ClassVar = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.real
    concentration: Tensor
    rate: Tensor

    def __init__(
        self,
        concentration: Tensor | float,
        rate: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, concentration=concentration, rate=rate)

    def _above_mode(self, value: Tensor) -> Tensor:
        # At infinity itself an exponent would be a difference of infinities.
        return value.clamp(max=1e300) + self.rate.log() - self.concentration.log()

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, with respect to dy."""
        return core.log_density(self.concentration, self._above_mode(value)) + self.concentration.log()

    @at_value
    @in_float64
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        log_mass, tail = core.log_mass(self.concentration, self._above_mode(value.clamp(min=-1e300)))
        return torch.where(tail.upper, -torch.expm1(log_mass), torch.exp(log_mass))

    @at_probability
    @in_float64
    def icdf(self, value: Tensor) -> Tensor:
        """The quantile function."""
        inside = (value > 0) & (value < 1)
        p = torch.where(inside, value, 0.5)
        ratio = log_quantile_ratio(self.concentration, p.log(), torch.log1p(-p))
        end = torch.where(value > 0, torch.inf, -torch.inf).to(value.dtype)
        return torch.where(inside, ratio + self.concentration.log() - self.rate.log(), end)

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`digamma(a) - log r`."""
        return torch.digamma(self.concentration) - self.rate.log()

    @property
    @in_float64
    def mode(self) -> Tensor:
        """`log(a / r)`."""
        return self.concentration.log() - self.rate.log()

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`trigamma(a)`."""
        return torch.polygamma(1, self.concentration)

    @in_float64
    def entropy(self) -> Tensor:
        """`log Gamma(a) - a digamma(a) + a`."""
        a = self.concentration
        return torch.lgamma(a) - a * torch.digamma(a) + a


register_cdf(ExpGamma)


@register(ExpGamma, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def exp_gamma(dist: ExpGamma, noise: BoundNoise) -> Tensor:
    """The log-Gamma that torch's Gamma is the exponential of."""
    return log_gamma(dist.concentration, noise) - dist.rate.log()


@register_kl(ExpGamma, ExpGamma)
def _kl_exp_gamma(p: ExpGamma, q: ExpGamma) -> Tensor:
    # A bijection changes no divergence. In float64, where the logarithms of the Gamma functions must cancel.
    first, second = (Gamma(d.concentration.double(), d.rate.double(), validate_args=False) for d in (p, q))
    return kl_divergence(first, second).to(p.concentration.dtype)
