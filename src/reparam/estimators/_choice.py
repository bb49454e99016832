"""Bernoulli, Categorical and OneHotCategorical as one thing: a choice among classes.

What relaxes a choice is written once, in the operations below: on a unit vector and C logits, or, for a coin, on one
number and one logit.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators.score import refuse_boundary
from reparam.estimators.support import is_logits
from reparam.estimators.surrogate import SurrogateEstimator, cannot_serve, cooled, moved, widened
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like
from reparam.pathwise.sampling import sample, unit_vector

FAMILIES = "Bernoulli, Categorical and OneHotCategorical"


@dataclasses.dataclass(frozen=True)
class Choice(abc.ABC):
    """A law that chooses one of several classes.

    Attributes:
        dist: the law.
        logits: in float32 at least.
    """

    dist: Distribution
    logits: Tensor

    @property
    def move(self) -> Tensor:
        """Zero, with the derivative of the logits that are finite."""
        return moved(torch.where(torch.isfinite(self.logits), self.logits, 0.0))

    def draw(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """A choice, without gradient."""
        return sample(self.dist, sample_shape, noise).to(self.logits.dtype)

    @abc.abstractmethod
    def perturbed(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """Logits plus Gumbel noise."""

    @abc.abstractmethod
    def perturbed_given(self, chosen: Tensor, count: int, noise: NoiseSource) -> Tensor:
        """As many of them, along a new first dimension, all of which make the given choice."""

    @abc.abstractmethod
    def hard(self, keys: Tensor) -> Tensor:
        """The choice of the largest key."""

    @abc.abstractmethod
    def soft(self, keys: Tensor, temperature: float = 1.0) -> Tensor:
        """The choice of the largest key, relaxed: the probabilities, of logits at temperature 1."""

    @abc.abstractmethod
    def slope(self, probabilities: Tensor, move: Tensor) -> Tensor:
        """How probabilities move with their logits."""

    def value(self, chosen: Tensor) -> Tensor:
        """The law's own value of a choice, relaxed or not."""
        return chosen

    def finish(self, chosen: Tensor) -> Tensor:
        """The value in the dtype of the law's parameters."""
        return self.value(chosen).to(parameter_like(self.dist).dtype)


class Coin(Choice):
    """A Bernoulli. Of its two Gumbel variates only the difference counts, which is logistic."""

    def perturbed(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """The logit plus logistic noise."""
        shape = sample_shape + self.logits.shape
        return self.logits + torch.logit(noise.uniform(shape, self.logits.dtype, self.logits.device))

    def perturbed_given(self, chosen: Tensor, count: int, noise: NoiseSource) -> Tensor:
        """By the quantile, on one side of zero: a key beyond t has probability sigmoid(logit - t)."""
        shape = (*chosen.shape, count)
        u = noise.uniform(shape, self.logits.dtype, self.logits.device).movedim(-1, 0)
        side = 2 * chosen - 1
        return self.logits - side * torch.logit(u * torch.sigmoid(side * self.logits))

    def hard(self, keys: Tensor) -> Tensor:
        """Whether it is positive."""
        return keys > 0

    def soft(self, keys: Tensor, temperature: float = 1.0) -> Tensor:
        """A sigmoid."""
        return torch.sigmoid(cooled(keys, temperature))

    def slope(self, probabilities: Tensor, move: Tensor) -> Tensor:
        """The variance times the logit's move."""
        return probabilities * (1 - probabilities) * move


class UnitVector(Choice):
    """A OneHotCategorical."""

    def perturbed(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """Minus the logarithms of standard exponentials over the weights."""
        shape = sample_shape + self.logits.shape
        return self.logits - noise.exponential(shape, self.logits.dtype, self.logits.device).log()

    def perturbed_given(self, chosen: Tensor, count: int, noise: NoiseSource) -> Tensor:
        """With E exponential and the weights summing to 1: -log E_i of the winner, -log(E_j / weight_j + E_i) else."""
        shape = (*chosen.shape, count)
        waiting = noise.exponential(shape, self.logits.dtype, self.logits.device).log().movedim(-1, 0)
        won = chosen > 0
        first = torch.where(won, waiting, 0.0).sum(-1, keepdim=True)
        return -torch.where(won, first, torch.logaddexp(waiting - torch.log_softmax(self.logits, -1), first))

    def hard(self, keys: Tensor) -> Tensor:
        """The unit vector of the largest."""
        return unit_vector(keys.argmax(-1), keys.shape[-1])

    def soft(self, keys: Tensor, temperature: float = 1.0) -> Tensor:
        """A softmax, of keys at most zero: what is divided by a low temperature is zero for the winner."""
        return torch.softmax(cooled(keys - keys.detach().amax(-1, keepdim=True), temperature), -1)

    def slope(self, probabilities: Tensor, move: Tensor) -> Tensor:
        """The covariance times the logits' move."""
        return probabilities * (move - (probabilities * move).sum(-1, keepdim=True))


class Index(UnitVector):
    """A Categorical, whose value is the place of the unit vector's one."""

    def draw(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """A unit vector."""
        index = sample(self.dist, sample_shape, noise)
        return unit_vector(index, self.logits.shape[-1]).to(self.logits.dtype)

    def value(self, chosen: Tensor) -> Tensor:
        """The mean place, of a relaxed vector."""
        places = torch.arange(chosen.shape[-1], dtype=chosen.dtype, device=chosen.device)
        return (chosen * places).sum(-1)


def as_choice(estimator: SurrogateEstimator, dist: Distribution) -> Choice:
    """The law as a choice among classes, or an error that names those that can be one."""
    view = _VIEWS.get(type(dist))
    if view is None:
        raise cannot_serve(estimator, dist, FAMILIES)
    refuse_boundary(dist, "a gradient through logits")
    return view(dist)


def _coin(dist: td.Bernoulli) -> Choice:
    if is_logits(dist):
        return Coin(dist, widened(dist.logits))
    # torch clamps the probabilities that it makes logits of, and so loses the slope of a small one.
    return Coin(dist, widened(dist.probs.log() - torch.log1p(-dist.probs)))


def _unit_vector(dist: td.OneHotCategorical) -> Choice:
    return UnitVector(dist, _log_weights(dist))


def _index(dist: td.Categorical) -> Choice:
    return Index(dist, _log_weights(dist))


def _log_weights(dist: td.Categorical | td.OneHotCategorical) -> Tensor:
    return widened(dist.logits if is_logits(dist) else dist.probs.log())


_VIEWS: dict[type[Distribution], Callable[..., Choice]] = {
    td.Bernoulli: _coin,
    td.Categorical: _index,
    td.OneHotCategorical: _unit_vector,
    td.OneHotCategoricalStraightThrough: _unit_vector,
}
