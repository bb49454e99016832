"""The inverse Wishart distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints, register_kl

from reparam.checks import all_true, summary
from reparam.distributions._base import ReparamDistribution, at_value
from reparam.distributions._matrix import (
    broadcast_batches,
    half_log_det,
    positive_definite,
    scale_tril_of,
    squared_norm,
)
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range


class InverseWishart(ReparamDistribution):
    r"""The inverse Wishart law on positive-definite matrices: the prior of a covariance.

    .. math:: X^{-1} \sim W(\nu, \Psi^{-1}), \qquad
              p(X) \propto |X|^{-(\nu + d + 1)/2} \exp\bigl(-\tfrac12 \operatorname{tr}(\Psi X^{-1})\bigr)

    Args:
        df: degrees of freedom :math:`\nu`, above d - 1.
        scale_tril: the lower Cholesky factor L of :math:`\Psi`, shape (..., d, d).
        scale_matrix: :math:`\Psi = L L^\top` in its place.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        `df` and the leading dimensions of the scale broadcast to `batch_shape`; `event_shape` is `(d, d)`. float32,
        float64; half precision is computed in float32 and rounded once.

    Gradient:
        Explicit to the scale, implicit to `df` through the logarithms of the Gamma variates on Bartlett's diagonal.
        Unbiased, and differentiates twice. No sample is ever redrawn: where df is close to d - 1 one may be singular
        to the precision of its dtype. A sample takes more than one piece of base noise.

    Errors:
        `InvalidArgument` for a parameter outside its constraint, for a value that is not positive definite, unless
        exactly one of `scale_tril` and `scale_matrix` is given, and for base noise given as one tensor.

    References:
        Bartlett, On the Theory of Statistical Regression, Proc. R. Soc. Edinburgh 1933. Gupta and Srivastava,
        Parametric Bayesian Estimation of Differential Entropy and Relative Entropy, Entropy 2010.

    Example:
        >>> import torch
        >>> InverseWishart(5.0, scale_tril=torch.eye(2)).mean
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """

    arg_constraints = {  # noqa: RUF012  # torch's own convention
        "df": constraints.positive,
        "scale_tril": constraints.lower_cholesky,
    }
    support = positive_definite
    df: Tensor
    scale_tril: Tensor

    def __init__(
        self,
        df: Tensor | float,
        scale_tril: Tensor | None = None,
        scale_matrix: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        factor = scale_tril_of("InverseWishart", scale_tril, scale_matrix, validate_args is not False)
        freedom = df if isinstance(df, Tensor) else factor.new_tensor(df)
        self.df, self.scale_tril = broadcast_batches("InverseWishart", df=(freedom, 0), scale_tril=(factor, 2))
        super().__init__(self.df.shape, factor.shape[-2:], validate_args)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if not all_true(self.df > self._size - 1):
            raise InvalidArgument(
                f"InverseWishart: df must be above d - 1 = {self._size - 1}, or there is no density",
                received=f"df = {summary(self.df)}",
                instead=f"df > {self._size - 1} (validate_args=False turns this check off for one object)",
            )

    @property
    def _size(self) -> int:
        return self._event_shape[0]

    def _halves(self) -> Tensor:
        """The concentrations `(df - j) / 2` of Bartlett's diagonal, j from 0 to d - 1, in float64."""
        order = torch.arange(self._size, dtype=torch.float64, device=self.df.device)
        return 0.5 * (self.df.double().unsqueeze(-1) - order)

    def _half_log_det(self) -> Tensor:
        return half_log_det(self.scale_tril.double())

    def _log_normalizer(self) -> Tensor:
        """The logarithm of the constant the kernel is divided by, in float64."""
        freedom, size = self.df.double(), self._size
        log_gammas = torch.lgamma(self._halves()).sum(-1) + 0.25 * size * (size - 1) * math.log(math.pi)
        return 0.5 * freedom * size * math.log(2) + log_gammas - freedom * self._half_log_det()

    def _mean_log_det(self) -> Tensor:
        """The mean of `log |X|`, in float64."""
        return 2 * self._half_log_det() - self._size * math.log(2) - torch.digamma(self._halves()).sum(-1)

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density with respect to the entries on and below the diagonal."""
        factor = torch.linalg.cholesky_ex(value).L
        trace = squared_norm(torch.linalg.solve_triangular(factor, self.scale_tril, upper=False), 2)
        log_det = (self.df.double() + self._size + 1) * half_log_det(factor.double())
        return (-log_det - 0.5 * trace - self._log_normalizer()).to(value.dtype)

    def entropy(self) -> Tensor:
        """The differential entropy."""
        freedom, size = self.df.double(), self._size
        log_det = 0.5 * (freedom + size + 1) * self._mean_log_det()
        return (log_det + 0.5 * freedom * size + self._log_normalizer()).to(self.df.dtype)

    @property
    def scale_matrix(self) -> Tensor:
        """`L L^T`."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def mean(self) -> Tensor:
        """`scale_matrix / (df - d - 1)` where df > d + 1, else NaN."""
        excess = self.df - self._size - 1
        return self.scale_matrix / torch.where(excess > 0, excess, math.nan)[..., None, None]

    @property
    def mode(self) -> Tensor:
        """`scale_matrix / (df + d + 1)`."""
        return self.scale_matrix / (self.df + self._size + 1)[..., None, None]

    @property
    def variance(self) -> Tensor:
        """The variance of each entry, where df > d + 3, else NaN."""
        excess = (self.df - self._size - 1)[..., None, None]
        matrix = self.scale_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        below = excess.square() * (excess + 1) * torch.where(excess > 2, excess - 2, math.nan)
        return ((excess + 2) * matrix.square() + excess * products) / below


@register(
    InverseWishart,
    kind="implicit",
    parameters=("df", "scale_tril", "scale_matrix"),
    reference="Bartlett's decomposition, 1933; Gamma implicitly, Figurnov, Mohamed and Mnih, NeurIPS 2018",
)
@rounded_once
def inverse_wishart(dist: InverseWishart, noise: BoundNoise) -> Tensor:
    """`C C^T` with `C = L T^-T`, where `T T^T` is a standard Wishart matrix and T *upper* triangular.

    Bartlett's factor is taken in reversed order, because then C is lower triangular: the Cholesky factor of the sample.
    """
    log_square = log_gamma(dist._halves().flip(-1).to(noise.like), noise, noise.shape[:-1]) + math.log(2)
    upper = noise.normal().triu(1) + torch.diag_embed(exp_in_range(0.5 * log_square))
    factor = torch.linalg.solve_triangular(upper.mT, dist.scale_tril, upper=False, left=False)
    return factor @ factor.mT


@register_kl(InverseWishart, InverseWishart)
def _kl_inverse_wishart_inverse_wishart(p: InverseWishart, q: InverseWishart) -> Tensor:
    if p.event_shape != q.event_shape:
        raise InvalidArgument(
            "kl_divergence(InverseWishart, InverseWishart): both must have one event shape",
            received=f"event shapes {tuple(p.event_shape)} and {tuple(q.event_shape)}",
            instead="two laws of matrices of one shape",
        )
    freedom = p.df.double()
    ratio = torch.linalg.solve_triangular(p.scale_tril.double(), q.scale_tril.double(), upper=False)
    trace = freedom * (squared_norm(ratio, 2) - p._size)
    log_det = (q.df.double() - freedom) * p._mean_log_det()
    return (0.5 * (trace + log_det) + q._log_normalizer() - p._log_normalizer()).to(p.df.dtype)
