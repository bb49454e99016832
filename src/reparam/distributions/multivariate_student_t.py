"""The multivariate Student-t distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import ReparamDistribution, at_value, described
from reparam.distributions._matrix import (
    broadcast_batches,
    half_log_det,
    real_vector,
    scale_tril_of,
    squared_norm,
    whitened,
)
from reparam.distributions._student import log_gamma_excess
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise._sequential import Elliptical, register_sequential
from reparam.special._beta_pieces import digamma_difference


class MultivariateStudentT(ReparamDistribution):
    r"""The multivariate Student-t law: a normal vector over the root of one Gamma variate, common to its coordinates.

    .. math:: x = \mathrm{loc} + L z \sqrt{\nu / v}, \quad z \sim N(0, I), \quad v \sim \chi^2_\nu, \qquad
              p(x) \propto \Bigl(1 + \tfrac1\nu \lVert L^{-1} (x - \mathrm{loc}) \rVert^2\Bigr)^{-(\nu + d)/2}

    Args:
        df: degrees of freedom :math:`\nu`, positive.
        loc: location, shape (..., d).
        scale_tril: L, shape (..., d, d), lower triangular with a positive diagonal.
        scale_matrix: :math:`L L^\top` in its place. It is not the covariance, which is `df / (df - 2)` times it.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        `df`, `loc.shape[:-1]` and the leading dimensions of the scale broadcast to `batch_shape`; `event_shape` is
        `(d,)`. float32, float64; half precision is computed in float32 and rounded once. A coordinate that would
        overflow, as most do in float32 at df = 0.01, is held at the largest float.

    Gradient:
        Explicit to `loc` and the scale, implicit to `df` through the logarithm of the Gamma variate. Unbiased, and
        differentiates twice. A sample takes more than one piece of base noise.

    Errors:
        `InvalidArgument` for a parameter outside its constraint, for shapes that do not fit together, unless exactly
        one of `scale_tril` and `scale_matrix` is given, and for base noise given as one tensor.

    References:
        Kotz and Nadarajah, Multivariate t Distributions and Their Applications, 2004. Figurnov, Mohamed and Mnih,
        Implicit Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> import torch
        >>> law = MultivariateStudentT(4.0, torch.zeros(2), scale_tril=torch.eye(2))
        >>> law.covariance_matrix
        tensor([[2., 0.],
                [0., 2.]])
    """

    arg_constraints = {  # noqa: RUF012  # torch's own convention
        "df": constraints.positive,
        "loc": real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = real_vector
    df: Tensor
    loc: Tensor
    scale_tril: Tensor

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor,
        scale_tril: Tensor | None = None,
        scale_matrix: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        factor = scale_tril_of("MultivariateStudentT", scale_tril, scale_matrix, validate_args is not False)
        if not isinstance(loc, Tensor) or loc.shape[-1:] != factor.shape[-1:]:
            raise InvalidArgument(
                "MultivariateStudentT: loc must be a tensor, a vector of the size of the scale",
                received=f"{described('loc', loc)}, a scale of shape {tuple(factor.shape)}",
                instead=f"loc of shape batch_shape + ({factor.shape[-1]},)",
            )
        freedom = df if isinstance(df, Tensor) else loc.new_tensor(df)
        self.df, self.loc, self.scale_tril = broadcast_batches(
            "MultivariateStudentT", df=(freedom, 0), loc=(loc, 1), scale_tril=(factor, 2)
        )
        super().__init__(self.df.shape, self.loc.shape[-1:], validate_args)

    def _log_normalizer(self) -> Tensor:
        """What the log density at `loc` is less than 0, in float64."""
        half_size = 0.5 * self._event_shape[0]
        excess = log_gamma_excess(0.5 * self.df.double(), half_size)
        return half_size * math.log(2 * math.pi) - excess + half_log_det(self.scale_tril.double())

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        freedom = self.df.double()
        distance = squared_norm(whitened(self.scale_tril, value - self.loc), 1)
        kernel = 0.5 * (freedom + self._event_shape[0]) * torch.log1p(distance / freedom)
        return (-self._log_normalizer() - kernel).to(value.dtype)

    def entropy(self) -> Tensor:
        """The differential entropy."""
        half, half_size = 0.5 * self.df.double(), 0.5 * self._event_shape[0]
        log_kernel = digamma_difference(half, torch.full_like(half, half_size))
        return (self._log_normalizer() + (half + half_size) * log_kernel).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """`loc` where df > 1, else NaN."""
        return torch.where(self.df.unsqueeze(-1) > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def scale_matrix(self) -> Tensor:
        """`L L^T`."""
        return self.scale_tril @ self.scale_tril.mT

    def _inflation(self) -> Tensor:
        """The covariance over the scale matrix."""
        finite = torch.where(self.df > 2, self.df, 3.0)
        undefined = torch.where(self.df > 1, math.inf, math.nan).to(self.df)
        return torch.where(self.df > 2, finite / (finite - 2), undefined)

    @property
    def variance(self) -> Tensor:
        """The variance of each coordinate: infinite where 1 < df <= 2, NaN below."""
        return self._inflation().unsqueeze(-1) * self.scale_tril.square().sum(-1)

    @property
    def covariance_matrix(self) -> Tensor:
        """`df / (df - 2)` times the scale matrix, where df > 2."""
        return self._inflation()[..., None, None] * self.scale_matrix


@register(
    MultivariateStudentT,
    kind="implicit",
    parameters=("df", "loc", "scale_tril", "scale_matrix"),
    reference="Normal over root Gamma; Figurnov, Mohamed and Mnih, NeurIPS 2018",
)
@rounded_once
def multivariate_student_t(dist: MultivariateStudentT, noise: BoundNoise) -> Tensor:
    """`loc + L z (k / g)^(1/2)` with g a Gamma of concentration k = df / 2, the magnitude in logarithms."""
    direction = (dist.scale_tril @ noise.normal().unsqueeze(-1)).squeeze(-1)
    k = 0.5 * dist.df
    log_stretch = 0.5 * (k.log() - log_gamma(k, noise, noise.shape[:-1]))
    # A normal is exactly 0 once in twenty million float32 draws; its sign keeps the coordinate at the centre.
    log_size = direction.abs().clamp(min=torch.finfo(direction.dtype).tiny).log()
    return dist.loc + direction.sign() * exp_in_range(log_size + log_stretch.unsqueeze(-1))


@register_sequential(MultivariateStudentT)
def sequential_student_t(dist: MultivariateStudentT, dtype: torch.dtype) -> Elliptical:
    """Conditionals of a multivariate Student-t, so that a mixture of them has a gradient to its weights.

    In float64 whatever the dtype: the square of a sample need be no float32.
    """
    return Elliptical(dist.loc.double(), dist.scale_tril.double(), dist.df.double())
