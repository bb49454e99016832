"""What the laws on the unit sphere share: the constraint, the area, and the placement of a point about a direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.errors import InvalidArgument


class _UnitVector(constraints.Constraint):
    """Vectors of Euclidean norm 1, up to 1e-6 or 64 roundings of the dtype, whichever is more."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        tolerance = max(1e-6, 64 * torch.finfo(value.dtype).eps)
        return (torch.linalg.vector_norm(value, dim=-1) - 1).abs() <= tolerance


unit_vector = _UnitVector()


def log_area(dimension: int) -> float:
    r"""Logarithm of the area of the unit sphere in d dimensions, :math:`2 \pi^{d/2} / \Gamma(d/2)`."""
    return math.log(2) + dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2)


def direction_and_concentration(owner: str, loc: Tensor, concentration: Tensor | float) -> tuple[Tensor, Tensor]:
    """A mean direction and a concentration broadcast against each other, or an error that says which does not fit."""
    if loc.dim() < 1 or loc.shape[-1] < 2:
        raise InvalidArgument(
            f"{owner}: loc must be a vector in two dimensions or more",
            received=f"loc of shape {tuple(loc.shape)}",
            instead="loc of shape batch_shape + (d,) with d >= 2",
        )
    # A number takes loc's dtype; a tensor keeps its own, so that a mixture is seen and refused when a sample is drawn.
    kappa = concentration if isinstance(concentration, Tensor) else loc.new_tensor(concentration)
    try:
        batch = torch.broadcast_shapes(loc.shape[:-1], kappa.shape)
    except RuntimeError:
        raise InvalidArgument(
            f"{owner}: concentration must broadcast against loc without its last dimension",
            received=f"loc of shape {tuple(loc.shape)}, concentration of shape {tuple(kappa.shape)}",
            instead=f"concentration of shape {tuple(loc.shape[:-1])}",
        ) from None
    return loc.expand(*batch, -1), kappa.expand(batch)


def normalized(loc: Tensor) -> Tensor:
    """The direction of `loc`: exactly of norm 1, and with a gradient tangent to the sphere."""
    return loc / torch.linalg.vector_norm(loc, dim=-1, keepdim=True)


def place(polar: Tensor, equatorial: Tensor, direction: Tensor) -> Tensor:
    r"""The point at :math:`\langle\mu, x\rangle = \tanh(s/2)` whose equatorial part is a rotation of the one given.

    The rotation is Householder's reflection that takes :math:`e_1` to whichever of :math:`\pm\mu` lies farther from it:
    its denominator :math:`1 + |\mu_1|` is never small, so value and gradient are right at every direction.

    Args:
        polar: s, any real, in float64 where the concentration is large.
        equatorial: d - 1 independent normals; only their direction counts.
        direction: mu, of norm 1, shape (..., d).
    """
    head, rest = direction[..., :1], direction[..., 1:]
    side = torch.where(head < 0, -1.0, 1.0).to(direction)
    unit = equatorial / torch.linalg.vector_norm(equatorial, dim=-1, keepdim=True)
    along = (rest * unit).sum(-1, keepdim=True)
    tangent = torch.cat([(-side * along).expand(*unit.shape[:-1], 1), unit - rest * (along / (1 + side * head))], dim=-1)
    half = 0.5 * polar.unsqueeze(-1)
    return torch.tanh(half).to(direction) * direction + torch.cosh(half).reciprocal().to(direction) * tangent
