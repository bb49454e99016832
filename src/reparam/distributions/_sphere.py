"""What the laws on the unit sphere share: constraint, area, moments, and the placement of a point about a direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import ReparamDistribution, described
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


def normalized(loc: Tensor) -> Tensor:
    """The direction of `loc`: exactly of norm 1, and with a gradient tangent to the sphere."""
    return loc / torch.linalg.vector_norm(loc, dim=-1, keepdim=True)


def uniform_direction(normals: Tensor) -> Tensor:
    """Normals over their norm; any direction where all are 0, as one float32 normal in twenty million is."""
    length = torch.linalg.vector_norm(normals, dim=-1, keepdim=True)
    return normalized(torch.where(length > 0, normals, 1.0))


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
    unit = uniform_direction(equatorial)
    along = (rest * unit).sum(-1, keepdim=True)
    tangent = torch.cat(
        [(-side * along).expand(*unit.shape[:-1], 1), unit - rest * (along / (1 + side * head))], dim=-1
    )
    half = 0.5 * polar.unsqueeze(-1)
    return torch.tanh(half).to(direction) * direction + torch.cosh(half).reciprocal().to(direction) * tangent


class Directional(ReparamDistribution):
    """A law on the sphere that is symmetric about a mean direction, with a concentration about it."""

    arg_constraints = {"loc": unit_vector, "concentration": constraints.nonnegative}  # noqa: RUF012
    support = unit_vector
    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Tensor, concentration: Tensor | float, validate_args: bool | None = None) -> None:
        name = type(self).__name__
        if not isinstance(loc, Tensor) or loc.dim() < 1 or loc.shape[-1] < 2:
            raise InvalidArgument(
                f"{name}: loc must be a vector in two dimensions or more",
                received=described("loc", loc),
                instead="a tensor loc of shape batch_shape + (d,) with d >= 2",
            )
        # A number takes loc's dtype; a tensor keeps its own, so that a mixture is seen and refused.
        kappa = concentration if isinstance(concentration, Tensor) else loc.new_tensor(concentration)
        try:
            batch = torch.broadcast_shapes(loc.shape[:-1], kappa.shape)
        except RuntimeError:
            raise InvalidArgument(
                f"{name}: concentration must broadcast against loc without its last dimension",
                received=f"loc of shape {tuple(loc.shape)}, concentration of shape {tuple(kappa.shape)}",
                instead=f"concentration of shape {tuple(loc.shape[:-1])}",
            ) from None
        self.loc, self.concentration = loc.expand(*batch, -1), kappa.expand(batch)
        super().__init__(batch, loc.shape[-1:], validate_args)

    @property
    def dimension(self) -> int:
        """The dimension d of the space around the sphere."""
        return self._event_shape[0]

    def _entropy(self) -> Tensor:
        """The differential entropy, in float64: the divergence from the uniform law is a difference of two."""
        raise NotImplementedError

    def _length(self) -> Tensor:
        """The mean of w, the cosine of the angle to the mean direction, in float64."""
        raise NotImplementedError

    def _spread(self) -> tuple[Tensor, Tensor]:
        """The variance along the mean direction and in each direction across it, in float64."""
        raise NotImplementedError

    def _squared_distance(self, value: Tensor) -> Tensor:
        """`2 (1 - w)`, which unlike w is insensitive to a rounding of either norm."""
        return (value - normalized(self.loc)).square().sum(-1)

    def entropy(self) -> Tensor:
        """The differential entropy with respect to the sphere's area."""
        return self._entropy().to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The mean of w times the mean direction: inside the sphere."""
        return (self._length().unsqueeze(-1) * normalized(self.loc.double())).to(self.loc.dtype)

    @property
    def mode(self) -> Tensor:
        """The mean direction."""
        return normalized(self.loc)

    @property
    def variance(self) -> Tensor:
        """The variance of each coordinate."""
        along, across = (value.unsqueeze(-1) for value in self._spread())
        return (across + (along - across) * normalized(self.loc.double()).square()).to(self.loc.dtype)

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance of the coordinates, shape (*batch_shape, d, d)."""
        along, across = (value[..., None, None] for value in self._spread())
        direction = normalized(self.loc.double()).unsqueeze(-1)
        outer, identity = direction @ direction.mT, torch.eye(self.dimension).to(direction)
        return (across * identity + (along - across) * outer).to(self.loc.dtype)


def same_sphere(p: ReparamDistribution, q: ReparamDistribution) -> None:
    """Refuse two laws that do not live in one dimension."""
    if p.event_shape != q.event_shape:
        raise InvalidArgument(
            f"kl_divergence({type(p).__name__}, {type(q).__name__}): both must live on the same sphere",
            received=f"event shapes {tuple(p.event_shape)} and {tuple(q.event_shape)}",
            instead="two laws of one dimension",
        )
