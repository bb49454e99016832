"""The logarithms of the components of a Dirichlet variate."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Dirichlet, constraints, kl_divergence
from torch.distributions.kl import register_kl

from reparam.distributions._base import ReparamDistribution, at_value, described, in_float64
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once


class _LogSimplex(constraints.Constraint):
    """Vectors whose exponentials sum to one, to the rounding of their dtype."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        slack = 8 * torch.finfo(value.dtype).eps * (1 + math.log(value.shape[-1]))
        return torch.logsumexp(value, -1).abs() < max(slack, 1e-6)


class ExpDirichlet(ReparamDistribution):
    r"""The law of :math:`y_k = \log x_k` with x a Dirichlet variate: components that do not underflow.

    .. math:: \log p(y) = \sum_k a_k y_k - \log B(a), \qquad
              \log B(a) = \sum_k \log \Gamma(a_k) - \log \Gamma\Bigl(\sum_k a_k\Bigr)

    on the log-simplex :math:`\sum_k e^{y_k} = 1`, with respect to Lebesgue measure in the log-ratios
    :math:`y_k - y_K`; that is the measure of torch's `ExpRelaxedCategorical`, whose meaning of "Exp" this is. With two
    components it is the law of `LogitBeta`, in :math:`y_1 - y_2`. At concentrations of 1e-3 all but the largest
    component of x are below every float32, and their logarithms are ordinary numbers.

    Args:
        concentration: positive, of shape `batch_shape + (K,)` with K at least 2.
        validate_args: whether to check the concentration and the values given to `log_prob`.

    Shapes and dtypes:
        `event_shape` is `(K,)`. Everything but the sample is computed in float64 and rounded once.

    Gradient:
        Implicit, to every concentration, through K log-Gammas.

    Errors:
        `InvalidArgument` for a concentration that is not a positive vector, and for a value off the log-simplex.

    References:
        Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, NeurIPS 2018. Maddison, Mnih and Teh, The
        Concrete Distribution, ICLR 2017, appendix C (densities on the log-simplex).

    Example:
        >>> import torch
        >>> y = ExpDirichlet(torch.full((1000,), 1e-3)).rsample()
        >>> bool(torch.isfinite(y).all()), round(y.exp().sum().item(), 4)
        (True, 1.0)
    """

    arg_constraints: ClassVar = {"concentration": constraints.independent(constraints.positive, 1)}
    support = _LogSimplex()
    concentration: Tensor

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if not isinstance(concentration, Tensor) or concentration.dim() < 1 or concentration.shape[-1] < 2:
            raise InvalidArgument(
                "ExpDirichlet: concentration must be a tensor, a vector of at least two components or a batch of such",
                received=described("concentration", concentration),
                instead="a concentration of shape batch_shape + (K,), K >= 2",
            )
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, with respect to Lebesgue measure in the log-ratios."""
        return (self.concentration * value).sum(-1) - self._log_beta()

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`digamma(a_k) - digamma(sum a)`."""
        return torch.digamma(self.concentration) - torch.digamma(self._total())

    @property
    @in_float64
    def mode(self) -> Tensor:
        """`log(a_k / sum a)`."""
        return self.concentration.log() - self._total().log()

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`trigamma(a_k) - trigamma(sum a)`."""
        return torch.polygamma(1, self.concentration) - torch.polygamma(1, self._total())

    @in_float64
    def entropy(self) -> Tensor:
        """`log B(a) - sum a_k (digamma(a_k) - digamma(sum a))`."""
        mean = torch.digamma(self.concentration) - torch.digamma(self._total())
        return self._log_beta() - (self.concentration * mean).sum(-1)

    def _total(self) -> Tensor:
        return self.concentration.sum(-1, keepdim=True)

    def _log_beta(self) -> Tensor:
        return torch.lgamma(self.concentration).sum(-1) - torch.lgamma(self._total()).squeeze(-1)


@register(ExpDirichlet, kind="implicit", reference="normalised log-Gammas; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def exp_dirichlet(dist: ExpDirichlet, noise: BoundNoise) -> Tensor:
    """Log-Gammas, normalised."""
    return torch.log_softmax(log_gamma(dist.concentration, noise), -1)


@register_kl(ExpDirichlet, ExpDirichlet)
def _kl_exp_dirichlet(p: ExpDirichlet, q: ExpDirichlet) -> Tensor:
    # A bijection changes no divergence. In float64, where the logarithms of the Gamma functions must cancel.
    first, second = (Dirichlet(d.concentration.double(), validate_args=False) for d in (p, q))
    return kl_divergence(first, second).to(p.concentration.dtype)
