"""The logit of a Beta variate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Beta, constraints, kl_divergence
from torch.distributions.kl import register_kl

from reparam.distributions._base import Univariate, at_value, in_float64
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.beta import beta_logit
from reparam.special import _beta_tail as core


class LogitBeta(Univariate):
    r"""The law of :math:`y = \log x - \log(1 - x)` with x a Beta variate: a sample that rounds to neither 0 nor 1.

    .. math:: \log p(y) = a \log x + b \log(1 - x) - \log B(a, b), \qquad \log x = \operatorname{logsigmoid}(y),
              \quad \log(1 - x) = \operatorname{logsigmoid}(-y)

    The logit and not the logarithm, because a Beta variate meets both ends: at concentrations of 1e-3 its mass lies
    within 1e-300 of 0 and of 1, and `log x` would lose the second half as x loses the first. The logit keeps both
    `log x` and `log(1 - x)` to full precision.

    Args:
        concentration1: a, the power of x, positive.
        concentration0: b, the power of 1 - x, positive.
        validate_args: whether to check the parameters and the values given to `log_prob` and `cdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Everything but the sample is computed in
        float64 and rounded once to float64, float32 or half precision.

    Gradient:
        Implicit, to both concentrations, by the distribution function of the logit itself.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, and for shapes that do not broadcast.

    References:
        Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, 1995, section 23.10 (the type IV
        generalised logistic law). Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> import torch
        >>> y = LogitBeta(torch.tensor(1e-4), 1e-4).rsample((100,))
        >>> bool(torch.isfinite(y).all())
        True
    """

    arg_constraints: ClassVar = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.real
    concentration1: Tensor
    concentration0: Tensor

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, concentration1=concentration1, concentration0=concentration0)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, with respect to dy."""
        return core.log_density(*torch.broadcast_tensors(self.concentration1, self.concentration0, value))

    @at_value
    @in_float64
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        finite = value.clamp(-1e300, 1e300)  # at infinity itself the exponents would be a difference of infinities
        mass, lower = core.nearer_tail(*torch.broadcast_tensors(self.concentration1, self.concentration0, finite))
        return torch.where(lower, mass, 1 - mass)

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`digamma(a) - digamma(b)`."""
        return torch.digamma(self.concentration1) - torch.digamma(self.concentration0)

    @property
    @in_float64
    def mode(self) -> Tensor:
        """`log(a / b)`."""
        return self.concentration1.log() - self.concentration0.log()

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`trigamma(a) + trigamma(b)`."""
        return torch.polygamma(1, self.concentration1) + torch.polygamma(1, self.concentration0)

    @in_float64
    def entropy(self) -> Tensor:
        """`log B(a, b) - a digamma(a) - b digamma(b) + (a + b) digamma(a + b)`."""
        a, b = self.concentration1, self.concentration0
        log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        return log_beta - a * torch.digamma(a) - b * torch.digamma(b) + (a + b) * torch.digamma(a + b)


register_cdf(LogitBeta)


@register(LogitBeta, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def logit_beta(dist: LogitBeta, noise: BoundNoise) -> Tensor:
    """The logit that torch's Beta is the sigmoid of."""
    return beta_logit(dist.concentration1, dist.concentration0, noise)


@register_kl(LogitBeta, LogitBeta)
def _kl_logit_beta(p: LogitBeta, q: LogitBeta) -> Tensor:
    # A bijection changes no divergence. In float64, where the logarithms of the Gamma functions must cancel.
    first, second = (Beta(d.concentration1.double(), d.concentration0.double(), validate_args=False) for d in (p, q))
    return kl_divergence(first, second).to(p.concentration1.dtype)
