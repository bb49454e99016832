r"""One abstraction: every estimator proposes points and *differentiable weights*.

.. math:: E[f(x)] \approx \sum_k w_k(\theta) f(x_k)

The value of the sum estimates the expectation; its gradient, through the weights, the points, or both, and through the
cost's own parameters, estimates the gradient of the expectation.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like

Cost = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Draw:
    """Points and their weights.

    Attributes:
        points: shape `(K, *batch_shape, *event_shape)`.
        weights: shape `(K, *batch_shape)`, differentiable where the points are not.
    """

    points: Tensor
    weights: Tensor


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a single-draw estimator contributes to the shared particle axis of a program.

    Attributes:
        points: shape `(*axes, *batch_shape, *event_shape)`.
        log_ratio: `log p(x) - stop(log p(x))`, zero in value, whose derivative is the score; None where the points
            carry the gradient themselves.
    """

    points: Tensor
    log_ratio: Tensor | None


class Estimator(abc.ABC):
    """How to estimate the gradient of an expectation: a frozen value that declares what it is.

    Attributes:
        unbiased: whether value and gradient are right on average.
        coupled: whether its points are to be compared with each other: what a program draws after them, given them,
            is then drawn with common random numbers.
    """

    unbiased: ClassVar[bool]
    coupled: ClassVar[bool] = False

    @property
    def weighs(self) -> bool:
        """Whether the estimate is the weighted sum of the costs, as programs need it: not where `combine` does more."""
        return True

    @abc.abstractmethod
    def evaluations(self, dist: Distribution) -> int:
        """How many times the cost is evaluated for each batch element of `dist`."""

    def resized(self, samples: int) -> Estimator:
        """The same with another number of draws, for those that draw as many as they are told."""
        settings: Any = self
        if "samples" not in {field.name for field in dataclasses.fields(settings)}:
            raise InvalidArgument(
                f"{type(self).__name__} decides by itself how many points it needs",
                received=f"samples={samples}",
                instead=f"rp.expect(f, dist, rp.{type(self).__name__}()) without samples",
            )
        return dataclasses.replace(settings, samples=samples)

    @abc.abstractmethod
    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """Propose points and weights."""

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """Join costs and weights, by their weighted sum unless the estimator needs more of `f`."""
        return (draw.weights * costs).sum(0)


@dataclasses.dataclass(frozen=True)
class ParticleEstimator(Estimator):
    """An estimator of independent draws; in a program it lives on the particle axis that all variables share.

    Attributes:
        samples: how many draws; in a program the program's own `samples` counts instead.
        centred: whether the other draws serve as a baseline.
    """

    samples: int = 1
    centred: ClassVar[bool] = False

    @abc.abstractmethod
    def propose(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Proposal:
        """Draw points of shape `sample_shape + batch_shape + event_shape`."""

    def evaluations(self, dist: Distribution) -> int:
        """One for each draw."""
        return self.samples

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """The program of one variable: propose, then weigh."""
        proposal = self.propose(dist, torch.Size((self.samples,)), noise)
        box = proposal.log_ratio
        if box is None:
            like = proposal.points if proposal.points.is_floating_point() else parameter_like(dist)
            weights = like.new_full((self.samples, *dist.batch_shape), 1 / self.samples)
        elif self.centred:
            weights = particle_weights(self.samples, None, box, 0)
        else:
            weights = particle_weights(self.samples, box, None, 0)
        return Draw(proposal.points, weights)


def particle_weights(count: int, plain: Tensor | None, centred: Tensor | None, dim: int) -> Tensor:
    r"""Weights of `count` particles from the joint log-ratios of what was drawn.

    With :math:`A = \exp(\text{plain})` for variables without a baseline, and
    :math:`c = A\,(\exp(\text{centred}) - 1)` for those whose baseline is the mean cost of the other particles,

    .. math:: w = \frac{A}{K} + \frac{c - \bar c}{K - 1}

    which is the leave-one-out estimator written as weights, because it is linear in the cost. The value is 1/K. Every
    derivative of the baseline's part has mean zero, whatever its order: it multiplies costs of *other* particles.

    Args:
        count: the number of particles K.
        plain: summed log-ratios of variables without a baseline, or None.
        centred: summed log-ratios of variables with the leave-one-out baseline, or None.
        dim: the particle dimension of the log-ratios.
    """
    if centred is None:
        assert plain is not None
        return plain.exp() / count
    if plain is None:
        control = torch.expm1(centred)
        return 1 / count + (control - control.mean(dim, keepdim=True)) / (count - 1)
    box = plain.exp()
    control = box * torch.expm1(centred)
    return box / count + (control - control.mean(dim, keepdim=True)) / (count - 1)


def require_samples(name: str, samples: int, least: int) -> None:
    """Raise unless `samples` is an integer of at least `least`."""
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < least:
        raise InvalidArgument(
            f"{name} needs samples to be an integer of at least {least}",
            received=f"samples = {samples!r}",
            instead=f"rp.{name}({max(least, 4)})",
        )
