"""The uniform distribution on the unit sphere, the prior of spherical variational autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import register_kl

from reparam.distributions._base import ReparamDistribution, at_value
from reparam.distributions._sphere import Directional, log_area, same_sphere, uniform_direction, unit_vector
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._precision import rounded_once

if TYPE_CHECKING:
    from typing_extensions import Self


class HypersphericalUniform(ReparamDistribution):
    r"""The uniform distribution on the unit sphere in `dimension` dimensions.

    .. math:: p(x) = \frac{\Gamma(d/2)}{2 \pi^{d/2}}, \qquad \lVert x \rVert = 1

    Args:
        dimension: d >= 2, that of the space around the sphere (its surface has one less).
        batch_shape: shape of independent copies.
        dtype: dtype of the samples; torch's default unless given.
        device: device of the samples.
        validate_args: whether to check the values given to `log_prob`.

    Shapes and dtypes:
        `event_shape` is `(dimension,)`. There is no parameter, so dtype and device are arguments. Half precision is
        computed in float32 and rounded once.

    Gradient:
        None to be had: the law has no parameter. A sample is a normalised normal vector, which is its base noise.

    Errors:
        `InvalidArgument` for a dimension that is not an integer of at least 2, and for values off the sphere.

    References:
        Muller, A Note on a Method for Generating Points Uniformly on N-Dimensional Spheres, CACM 1959. Davidson,
        Falorsi, De Cao, Kipf and Tomczak, Hyperspherical Variational Auto-Encoders, UAI 2018.

    Example:
        >>> prior = HypersphericalUniform(3)
        >>> prior.log_prob(prior.sample((2,)))  # one over 4 pi
        tensor([-2.5310, -2.5310])
    """

    arg_constraints = {}  # noqa: RUF012  # torch's own convention
    support = unit_vector

    def __init__(
        self,
        dimension: int,
        batch_shape: Sequence[int] = (),
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 2:
            raise InvalidArgument(
                "HypersphericalUniform: dimension must be an integer of at least 2",
                received=f"dimension = {dimension!r}",
                instead="HypersphericalUniform(3) for the sphere in three dimensions",
            )
        self._like = torch.empty((), dtype=dtype, device=device)
        super().__init__(torch.Size(batch_shape), torch.Size((dimension,)), validate_args)

    def __repr__(self) -> str:
        return f"HypersphericalUniform(dimension: {self.dimension})"

    @property
    def dimension(self) -> int:
        """The dimension of the space around the sphere."""
        return self._event_shape[0]

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """A view of the same law with a larger batch shape."""
        new: Any = self._get_checked_instance(HypersphericalUniform, _instance)
        new._like = self._like
        return super().expand(batch_shape, new)

    def _dtype(self) -> torch.dtype:
        return self._like.dtype

    def _cast(self, dtype: torch.dtype) -> Self:
        new = self.expand(self.batch_shape)
        new._like = self._like.to(dtype)
        return new

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density with respect to the sphere's area: a constant."""
        shape = torch.broadcast_shapes(value.shape[:-1], self._batch_shape)
        return value.new_full(shape, -log_area(self.dimension))

    def entropy(self) -> Tensor:
        """The logarithm of the sphere's area."""
        return self._like.new_full(self._batch_shape, log_area(self.dimension))

    @property
    def mean(self) -> Tensor:
        """The origin."""
        return self._like.new_zeros(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        """`1 / d` in every coordinate; distinct coordinates are uncorrelated."""
        return self._like.new_full(self._extended_shape(), 1 / self.dimension)


@register(HypersphericalUniform, parameters=(), reference="normalised normal; Muller, CACM 1959")
@rounded_once
def hyperspherical_uniform(dist: HypersphericalUniform, noise: BoundNoise) -> Tensor:
    """A normal vector over its norm."""
    return uniform_direction(noise.normal())


def kl_to_uniform(p: Directional, q: HypersphericalUniform) -> Tensor:
    """The divergence of a law on the sphere from the uniform one: the log-area less its entropy."""
    same_sphere(p, q)
    entropy = p._entropy()
    divergence = (log_area(q.dimension) - entropy).to(p.loc.dtype)
    return divergence.expand(torch.broadcast_shapes(entropy.shape, q.batch_shape))


@register_kl(HypersphericalUniform, HypersphericalUniform)
def _kl_uniform_uniform(p: HypersphericalUniform, q: HypersphericalUniform) -> Tensor:
    same_sphere(p, q)
    return p._like.new_zeros(torch.broadcast_shapes(p.batch_shape, q.batch_shape))
