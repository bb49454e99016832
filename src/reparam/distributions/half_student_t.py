"""The absolute value of a Student-t variate."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import StudentT, constraints

from reparam.distributions._base import Univariate, at_value, in_float64, within_support
from reparam.distributions._normal import LOG_SQRT_TAU
from reparam.distributions._student import log_gamma_excess
from reparam.noise import BoundNoise
from reparam.pathwise import draw, register, register_cdf
from reparam.special._beta_pieces import digamma_difference
from reparam.special.beta import betainc


class HalfStudentT(Univariate):
    r"""The law of :math:`|T|` with T a Student-t variate: the usual weakly informative prior of a scale.

    .. math:: p(x) = \frac{2 \Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2}) \sqrt{\nu \pi}\, s}
              \Bigl(1 + \frac{x^2}{\nu s^2}\Bigr)^{-\frac{\nu + 1}{2}}, \qquad x \ge 0

    Args:
        df: degrees of freedom nu, positive; 1 is the half-Cauchy, infinity the half-normal.
        scale: s, positive.
        validate_args: whether to check the parameters and the values given to `log_prob` and `cdf`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Everything but the sample is computed in
        float64 and rounded once. A sample saturates at the largest float, which 1% of them reach at df = 0.05.

    Gradient:
        Implicit, to the degrees of freedom; explicit, to the scale; as `StudentT`'s.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, for shapes that do not broadcast, and for
        base noise as a tensor: a draw takes a normal and a Gamma.

    References:
        Gelman, Prior distributions for variance parameters in hierarchical models, Bayesian Analysis 2006. Figurnov,
        Mohamed and Mnih, Implicit Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> HalfStudentT(4.0, 1.0).mean
        tensor(1.)
    """

    arg_constraints: ClassVar = {"df": constraints.positive, "scale": constraints.positive}
    support = constraints.nonnegative
    df: Tensor
    scale: Tensor

    def __init__(self, df: Tensor | float, scale: Tensor | float = 1.0, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, df=df, scale=scale)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        t = value / self.scale / self.df.sqrt()
        # t * t overflows before the density is 0, at few degrees of freedom.
        large = t > 1
        near, far = torch.where(large, 0.0, t), torch.where(large, t, 1.0)
        log_square = torch.where(large, 2 * far.log() + torch.log1p(far.pow(-2)), torch.log1p(near.square()))
        return within_support(self, value, _log_centre(self) - 0.5 * (self.df + 1) * log_square)

    @at_value
    @in_float64
    def cdf(self, value: Tensor) -> Tensor:
        """The distribution function."""
        t = (value / self.scale / self.df.sqrt()).clamp(0, 1e150).square()
        return betainc(torch.full_like(t, 0.5), (0.5 * self.df).expand_as(t), t / (1 + t))

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`2 scale sqrt(df / pi) Gamma((df + 1) / 2) / (Gamma(df / 2) (df - 1))`, infinite for df <= 1."""
        return torch.where(self.df > 1, _finite_mean(self), torch.inf).to(self.df.dtype)

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.scale)

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`scale^2 df / (df - 2) - mean^2`; infinite for 1 < df <= 2, undefined below."""
        square = self.scale.square() * self.df / (self.df - 2).clamp(min=1e-300)
        finite = square - _finite_mean(self).square()
        return torch.where(self.df > 2, finite, torch.where(self.df > 1, torch.inf, torch.nan).to(finite.dtype))

    @in_float64
    def entropy(self) -> Tensor:
        """`(df + 1) / 2 (digamma((df + 1) / 2) - digamma(df / 2)) - log p(0)`."""
        half = torch.full_like(self.df, 0.5)
        return 0.5 * (self.df + 1) * digamma_difference(0.5 * self.df, half) - _log_centre(self)


def _log_centre(dist: HalfStudentT) -> Tensor:
    """The logarithm of the density at 0."""
    return math.log(2) - LOG_SQRT_TAU + log_gamma_excess(0.5 * dist.df, 0.5) - dist.scale.log()


def _finite_mean(dist: HalfStudentT) -> Tensor:
    above = (dist.df - 1).clamp(min=1e-300)
    return math.sqrt(2 / math.pi) * dist.scale * dist.df / above * log_gamma_excess(0.5 * dist.df, 0.5).exp()


register_cdf(HalfStudentT)


@register(HalfStudentT, kind="implicit", reference="as StudentT, folded at its centre")
def half_student_t(dist: HalfStudentT, noise: BoundNoise) -> Tensor:
    """The magnitude of a Student-t variate."""
    centre = torch.zeros_like(dist.df)
    return draw(StudentT(dist.df, centre, dist.scale, validate_args=False), noise.source, noise.sample_shape).abs()
