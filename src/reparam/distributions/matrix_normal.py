"""The matrix normal distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints, register_kl

from reparam.distributions._base import ReparamDistribution, at_value, described, in_float32
from reparam.distributions._matrix import broadcast_batches, check_square, half_log_det, real_matrix
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._precision import rounded_once

_LOG_TAU = math.log(2 * math.pi)


class MatrixNormal(ReparamDistribution):
    r"""The matrix normal law: a normal matrix whose rows and columns are each correlated.

    .. math:: X = M + A Z B^\top, \quad Z_{ij} \sim N(0, 1), \qquad
              \mathrm{Cov}(X_{ij}, X_{kl}) = (A A^\top)_{ik} (B B^\top)_{jl}

    Args:
        loc: M, shape (..., n, p).
        row_scale_tril: A, shape (..., n, n), lower triangular with a positive diagonal.
        column_scale_tril: B, shape (..., p, p), lower triangular with a positive diagonal. For a covariance matrix
            pass `torch.linalg.cholesky(covariance)`; only the product of the two scales is identified.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        The leading dimensions broadcast to `batch_shape`; `event_shape` is `(n, p)`. float32, float64; half precision
        is computed in float32 and rounded once. The work is that of two triangular products, not one of size n p.

    Gradient:
        Explicit, to all three parameters; the base noise is a standard normal matrix.

    Errors:
        `InvalidArgument` for a parameter outside its constraint and for shapes that do not fit together.

    References:
        Dawid, Some Matrix-Variate Distribution Theory, Biometrika 1981.

    Example:
        >>> import torch
        >>> law = MatrixNormal(torch.zeros(2, 3), torch.eye(2), 2 * torch.eye(3))
        >>> law.variance
        tensor([[4., 4., 4.],
                [4., 4., 4.]])
    """

    arg_constraints = {  # noqa: RUF012  # torch's own convention
        "loc": real_matrix,
        "row_scale_tril": constraints.lower_cholesky,
        "column_scale_tril": constraints.lower_cholesky,
    }
    support = real_matrix
    loc: Tensor
    row_scale_tril: Tensor
    column_scale_tril: Tensor

    def __init__(
        self, loc: Tensor, row_scale_tril: Tensor, column_scale_tril: Tensor, validate_args: bool | None = None
    ) -> None:
        check_square("MatrixNormal", "row_scale_tril", row_scale_tril)
        check_square("MatrixNormal", "column_scale_tril", column_scale_tril)
        event = torch.Size((row_scale_tril.shape[-1], column_scale_tril.shape[-1]))
        if not isinstance(loc, Tensor) or loc.shape[-2:] != event:
            raise InvalidArgument(
                "MatrixNormal: loc must be a tensor, whose rows and columns fit the scales",
                received=f"{described('loc', loc)}, scales of {event[0]} rows and {event[1]} columns",
                instead=f"loc of shape batch_shape + {tuple(event)}",
            )
        self.loc, self.row_scale_tril, self.column_scale_tril = broadcast_batches(
            "MatrixNormal", loc=(loc, 2), row_scale_tril=(row_scale_tril, 2), column_scale_tril=(column_scale_tril, 2)
        )
        super().__init__(self.loc.shape[:-2], event, validate_args)

    def _half_log_det(self) -> Tensor:
        rows, columns = self._event_shape
        return columns * half_log_det(self.row_scale_tril) + rows * half_log_det(self.column_scale_tril)

    def _whitened(self, x: Tensor) -> Tensor:
        """`A^-1 x B^-T`."""
        left = torch.linalg.solve_triangular(self.row_scale_tril, x, upper=False)
        return torch.linalg.solve_triangular(self.column_scale_tril.mT, left, upper=True, left=False)

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        distance = self._whitened(value - self.loc).square().sum((-2, -1))
        return -0.5 * (distance + self._event_shape.numel() * _LOG_TAU) - self._half_log_det()

    @in_float32
    def entropy(self) -> Tensor:
        """The differential entropy."""
        return 0.5 * self._event_shape.numel() * (1 + _LOG_TAU) + self._half_log_det()

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def row_covariance(self) -> Tensor:
        """`A A^T`: up to the columns' scale, the covariance within a column."""
        return self.row_scale_tril @ self.row_scale_tril.mT

    @property
    def column_covariance(self) -> Tensor:
        """`B B^T`: up to the rows' scale, the covariance within a row."""
        return self.column_scale_tril @ self.column_scale_tril.mT

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        rows, columns = (scale.square().sum(-1) for scale in (self.row_scale_tril, self.column_scale_tril))
        return rows.unsqueeze(-1) * columns.unsqueeze(-2)


@register(MatrixNormal, reference="two triangular factors times noise; Dawid, Biometrika 1981")
@rounded_once
def matrix_normal(dist: MatrixNormal, noise: BoundNoise) -> Tensor:
    """`M + A Z B^T`."""
    return dist.loc + dist.row_scale_tril @ noise.normal() @ dist.column_scale_tril.mT


@register_kl(MatrixNormal, MatrixNormal)
def _kl_matrix_normal_matrix_normal(p: MatrixNormal, q: MatrixNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise InvalidArgument(
            "kl_divergence(MatrixNormal, MatrixNormal): both must have one event shape",
            received=f"event shapes {tuple(p.event_shape)} and {tuple(q.event_shape)}",
            instead="two laws of matrices of one shape",
        )
    pairs = ((p.row_scale_tril, q.row_scale_tril), (p.column_scale_tril, q.column_scale_tril))
    row_trace, column_trace = (
        torch.linalg.solve_triangular(outer, inner, upper=False).square().sum((-2, -1)) for inner, outer in pairs
    )
    distance = q._whitened(p.loc - q.loc).square().sum((-2, -1))
    trace = row_trace * column_trace + distance - p.event_shape.numel()
    return 0.5 * trace + q._half_log_det() - p._half_log_det()
