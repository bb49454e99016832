"""The inverse Gaussian law: the first passage time of a Brownian motion with drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from reparam.distributions._base import Univariate, at_value, in_float32, within_support
from reparam.distributions._normal import LOG_SQRT_TAU, mills, mills_gap
from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise
from reparam.pathwise import register, register_cdf
from reparam.pathwise._precision import rounded_once


class InverseGaussian(Univariate):
    r"""The inverse Gaussian, or Wald, law on the positive reals.

    .. math:: p(x) = \sqrt{\frac{\lambda}{2 \pi x^3}} \exp\Bigl(-\frac{\lambda (x - \mu)^2}{2 \mu^2 x}\Bigr),
              \qquad F(x) = \Phi(a) + e^{2 \lambda / \mu} \Phi(-b), \qquad
              \{a, b\} = \sqrt{\lambda / x}\,\bigl(x / \mu \mp 1\bigr)

    Args:
        loc: the mean mu, positive.
        concentration: lambda, positive; the variance is `loc**3 / concentration`.
        validate_args: whether to check the parameters and the values given to `log_prob` and `cdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. float32 and float64; half precision is
        computed in float32 and rounded once. `cdf` does not overflow at any concentration: the two terms are taken
        together, since the second is the density of the normal at a times a Mills ratio.

    Gradient:
        Implicit, to both parameters. With :math:`M` the Mills ratio :math:`\Phi(-b) / \varphi(b)`,

        .. math:: \frac{dx}{d\mu} = 2 \frac{x^2}{\mu^2} \sqrt{\frac{\lambda}{x}}\, M(b), \qquad
                  \frac{dx}{d\lambda} = \frac{x}{\lambda (x + \mu)} \bigl(2 x (1 - b M(b)) - (x - \mu)\bigr).

        Differentiating through the accepted root of the sampler instead would miss how the choice between its two
        roots moves, and be biased.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, for shapes that do not broadcast, and for
        base noise as a tensor: a draw takes a normal and a uniform.

    References:
        Michael, Schucany and Haas, Generating random variates using transformations with multiple roots, The American
        Statistician 1976. Figurnov, Mohamed and Mnih, Implicit Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> InverseGaussian(2.0, 4.0).variance
        tensor(2.)
    """

    arg_constraints: ClassVar = {"loc": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    loc: Tensor
    concentration: Tensor

    def __init__(
        self,
        loc: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(validate_args, loc=loc, concentration=concentration)

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        a = _rate(value, self.concentration) * ((value - self.loc) / self.loc)
        log_density = 0.5 * (self.concentration.log() - 3 * value.log() - a * a) - LOG_SQRT_TAU
        return within_support(self, value, torch.where(torch.isinf(value), -torch.inf, log_density))

    @at_value
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function, right in relative terms in the lower tail."""
        value = value.clamp(0, torch.finfo(value.dtype).max)
        rate = _rate(value, self.concentration)
        a, b = rate * ((value - self.loc) / self.loc), rate * (value / self.loc + 1)
        density = torch.exp(-0.5 * a * a - LOG_SQRT_TAU)
        below = a < 0
        near = mills(torch.where(below, -a, a))
        return torch.where(below, density * (near + mills(b)), 1 - density * (near - mills(b)))

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    @in_float32
    def mode(self) -> Tensor:
        """`loc / (k + sqrt(1 + k^2))` with `k = 3 loc / (2 concentration)`."""
        k = 1.5 * self.loc / self.concentration
        return self.loc / (k + torch.hypot(k, torch.ones_like(k)))

    @property
    @in_float32
    def variance(self) -> Tensor:
        """`loc^3 / concentration`."""
        return self.loc.square() * (self.loc / self.concentration)


def _rate(x: Tensor, concentration: Tensor) -> Tensor:
    return (concentration / x).sqrt()


def _slopes(x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor | None, Tensor | None]:
    loc, concentration = parameters
    rate = _rate(x, concentration)
    b = rate * (x / loc + 1)
    by_loc = 2 * (x / loc).square() * rate * mills(b) if needed[0] else None
    if not needed[1]:
        return by_loc, None
    return by_loc, x / concentration * ((2 * x * mills_gap(b) - (x - loc)) / (x + loc))


register_cdf(InverseGaussian)


@register(InverseGaussian, kind="implicit", reference="Michael, Schucany and Haas 1976; implicit, in closed form")
@rounded_once
def inverse_gaussian(dist: InverseGaussian, noise: BoundNoise) -> Tensor:
    """The root of a chi-squared variate chosen by a uniform, given the derivative of the distribution function."""
    loc, concentration = dist.loc.detach(), dist.concentration.detach()
    w = 0.5 * noise.normal().square() * (loc / concentration)
    ratio = 1 + w + w.sqrt() * (w + 2).sqrt()
    # The smaller root is loc / ratio, taken with probability loc / (loc + loc / ratio).
    small = noise.uniform() * (1 + 1 / ratio) <= 1
    return attach(_slopes, torch.where(small, loc / ratio, loc * ratio), dist.loc, dist.concentration)


@register_kl(InverseGaussian, InverseGaussian)
def _kl_inverse_gaussian(p: InverseGaussian, q: InverseGaussian) -> Tensor:
    ratio = q.concentration / p.concentration
    shift = (p.loc - q.loc) / q.loc
    return 0.5 * (ratio - 1 - ratio.log() + q.concentration / p.loc * shift.square())
