"""Mixtures: sum over the components, estimate within each."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from reparam.errors import InvalidArgument
from reparam.estimators.base import Draw, Estimator
from reparam.estimators.pathwise import Pathwise
from reparam.estimators.support import is_logits
from reparam.noise import NoiseSource


@dataclasses.dataclass(frozen=True)
class Components(Estimator):
    r"""A mixture's expectation is the weighted sum of its components' expectations.

    .. math:: E[f(x)] = \sum_c \pi_c\, E[f(x) \mid c]

    The gradient to the mixing weights is then that of a sum, where the implicit gradient of a mixture's sample has a
    variance that grows without bound as the modes separate.

    Args:
        within: how each component's expectation is estimated.

    Gradient:
        With respect to the mixing weights and every parameter of the components; unbiased if `within` is, at every
        order that `within` supports; as many evaluations as `within` makes, for each component.

    Errors:
        `InvalidArgument` for what is not a `MixtureSameFamily`, and for a `within` that needs the cost itself.

    Example:
        >>> import torch, reparam as rp
        >>> td = torch.distributions
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> mixture = td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(torch.tensor([-5.0, 5.0]), 0.1))
        >>> bool(torch.autograd.grad(rp.expect(lambda x: x > 0, mixture, rp.Components()), logits)[0][1] == 0.25)
        True
    """

    unbiased: ClassVar[bool] = True
    within: Estimator = dataclasses.field(default_factory=Pathwise)

    def __post_init__(self) -> None:
        if not isinstance(self.within, Estimator) or not self.within.weighs:
            raise InvalidArgument(
                "rp.Components weighs the points of another estimator, which must be one that proposes weights",
                received=f"within = {self.within!r}",
                instead="rp.Components(rp.Pathwise()), or rp.Components(rp.LeaveOneOut(4))",
            )

    @property
    def samples(self) -> int | None:
        """How many draws `within` makes, None where it has no such setting."""
        return getattr(self.within, "samples", None)

    def resized(self, samples: int) -> Components:
        """The same with another number of draws of each component."""
        return Components(self.within.resized(samples))

    def evaluations(self, dist: Distribution) -> int:
        """Those of `within`, for each component."""
        mixture = _mixture(dist)
        return mixture._num_component * self.within.evaluations(mixture.component_distribution)

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """The draws of each component, with its weight."""
        mixture = _mixture(dist)
        inner = self.within.draw(mixture.component_distribution, noise)
        place = 1 + len(dist.batch_shape)
        weights = inner.weights * mixture.mixture_distribution.probs
        points = _possible(inner.points, mixture, place)
        return Draw(points.movedim(place, 1).flatten(0, 1), weights.movedim(place, 1).flatten(0, 1))


def _mixture(dist: Distribution) -> MixtureSameFamily:
    if not isinstance(dist, MixtureSameFamily):
        raise InvalidArgument(
            "rp.Components serves mixtures",
            received=f"{dist}",
            instead="torch.distributions.MixtureSameFamily(Categorical(...), components)",
        )
    return dist


def _possible(points: Tensor, mixture: MixtureSameFamily, place: int) -> Tensor:
    """A component that stays impossible when the weights move lends its place to the likeliest: no `0 * inf`."""
    if not is_logits(mixture.mixture_distribution):
        return points
    chances = mixture.mixture_distribution.probs.detach()
    trailing = [1] * (points.dim() - place - 1)
    best = chances.argmax(-1, keepdim=True).expand(*points.shape[:place], 1)
    likeliest = points.gather(
        place, best.reshape(*best.shape, *trailing).expand(*best.shape, *points.shape[place + 1 :])
    )
    return torch.where((chances == 0).reshape(*chances.shape, *trailing), likeliest, points)
