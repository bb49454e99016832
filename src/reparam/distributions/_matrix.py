"""What the laws with a matrix parameter share: its two parameterisations, broadcasting, and triangular algebra."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.checks import all_true, summary, values_visible
from reparam.distributions._base import described
from reparam.errors import InvalidArgument


class _RealTensor(constraints.Constraint):
    """Tensors free of NaN; torch's own check of several event dimensions fails on an empty batch."""

    def __init__(self, event_dim: int) -> None:
        self._event_dim = event_dim
        super().__init__()

    @property
    def event_dim(self) -> int:
        return self._event_dim

    def check(self, value: Tensor) -> Tensor:
        return value.isnan().sum(tuple(range(-self._event_dim, 0))) == 0


real_vector, real_matrix = _RealTensor(1), _RealTensor(2)


class _PositiveDefinite(constraints.Constraint):
    """Symmetric positive-definite matrices; half precision, for which torch has no factorisation, is widened first."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        wide = _wide(value)
        factor, info = torch.linalg.cholesky_ex(wide)
        size = wide.diagonal(dim1=-2, dim2=-1).abs().amax(-1)
        asymmetry = (wide - wide.mT).abs().amax((-2, -1))
        # Entries are products of roundings of the largest one, so that one sets what counts as equal.
        symmetric = asymmetry <= 64 * torch.finfo(value.dtype).eps * size
        return (info == 0) & symmetric & torch.isfinite(factor).all(-1).all(-1)


positive_definite = _PositiveDefinite()


def scale_tril_of(owner: str, scale_tril: Tensor | None, scale_matrix: Tensor | None, validate: bool) -> Tensor:
    """The lower Cholesky factor of a scale matrix, given as either; differentiable."""
    if (scale_tril is None) == (scale_matrix is None):
        raise InvalidArgument(
            f"{owner}: exactly one of scale_tril and scale_matrix must be given",
            received="both" if scale_tril is not None else "neither",
            instead=f"{owner}(..., scale_tril=L) or {owner}(..., scale_matrix=S) with S = L L^T",
        )
    given = scale_tril if scale_matrix is None else scale_matrix
    assert given is not None
    check_square(owner, "scale_tril" if scale_matrix is None else "scale_matrix", given)
    if scale_matrix is None:
        return given
    if validate and values_visible() and not all_true(positive_definite.check(scale_matrix)):
        raise InvalidArgument(
            f"{owner}: scale_matrix must be symmetric and positive definite",
            received=f"scale_matrix = {summary(scale_matrix)}",
            instead="scale_tril=L, if a factor is at hand, or scale_matrix + jitter * torch.eye(d)",
        )
    return torch.linalg.cholesky_ex(_wide(scale_matrix)).L.to(scale_matrix.dtype)


def _wide(matrix: Tensor) -> Tensor:
    return matrix.float() if matrix.dtype in (torch.float16, torch.bfloat16) else matrix


def check_square(owner: str, name: str, matrix: Tensor) -> None:
    """Refuse what is not a (batch of) square floating-point matrices."""
    square = isinstance(matrix, Tensor) and matrix.dim() >= 2 and matrix.shape[-1] == matrix.shape[-2]
    if not square or not matrix.is_floating_point():
        raise InvalidArgument(
            f"{owner}: {name} must be a square matrix of floating-point numbers, or a batch of them",
            received=described(name, matrix) + (f", {matrix.dtype}" if square else ""),
            instead=f"{name} of shape batch_shape + (d, d)",
        )


def broadcast_batches(owner: str, **parameters: tuple[Tensor, int]) -> list[Tensor]:
    """The parameters, each given with its number of event dimensions, with one batch shape in front of those."""
    split = {name: value.dim() - event_dim for name, (value, event_dim) in parameters.items()}
    try:
        batch = torch.broadcast_shapes(*(value.shape[: split[name]] for name, (value, _) in parameters.items()))
    except RuntimeError:
        raise InvalidArgument(
            f"{owner}: the batch dimensions of the parameters must broadcast against each other",
            received=", ".join(f"{name} of shape {tuple(value.shape)}" for name, (value, _) in parameters.items()),
            instead="leading dimensions that are equal or 1",
        ) from None
    return [value.expand(batch + value.shape[split[name] :]) for name, (value, _) in parameters.items()]


def half_log_det(scale_tril: Tensor) -> Tensor:
    """The log determinant of a triangular matrix with a positive diagonal: half that of the scale matrix."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def whitened(scale_tril: Tensor, x: Tensor) -> Tensor:
    """`L^-1 x` for vectors x with a batch at least that of L, which is factored, and copied, once for all samples."""
    samples = x.dim() + 1 - scale_tril.dim()
    columns = x.unsqueeze(-1) if samples == 0 else x.flatten(0, samples - 1).movedim(0, -1)
    solved = torch.linalg.solve_triangular(scale_tril, columns, upper=False)
    return solved.squeeze(-1) if samples == 0 else solved.movedim(-1, 0).reshape(x.shape)


def squared_norm(x: Tensor, dims: int) -> Tensor:
    """The sum of squares over the last dimensions, in float64, where it does not overflow."""
    return x.double().square().sum(tuple(range(-dims, 0)))
