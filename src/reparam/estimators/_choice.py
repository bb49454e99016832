"""Bernoulli, Categorical and OneHotCategorical as one thing: a choice among classes, as a unit vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators.sampling import sample
from reparam.estimators.score import refuse_boundary
from reparam.estimators.support import is_logits
from reparam.estimators.surrogate import SurrogateEstimator, cannot_serve, widened
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like
from reparam.pathwise.sampling import unit_vector

FAMILIES = "Bernoulli, Categorical and OneHotCategorical"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A law that chooses one of C classes.

    Attributes:
        dist: the law.
        logits: of shape `(*batch_shape, C)`, in float32 at least.
        index: the class as an integer, of a value of the law.
        value: a value of the law, relaxed or not, of a unit vector, relaxed or not.
    """

    dist: Distribution
    logits: Tensor
    index: Callable[[Tensor], Tensor]
    value: Callable[[Tensor], Tensor]

    def draw(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """A sample of the law as a unit vector, without gradient."""
        index = self.index(sample(self.dist, sample_shape, noise))
        return unit_vector(index, self.logits.shape[-1]).to(self.logits.dtype)

    def perturbed(self, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """Logits plus Gumbel noise: the largest is a sample of the law."""
        shape, dtype, device = sample_shape + self.logits.shape, self.logits.dtype, self.logits.device
        if type(self.dist) is td.Bernoulli:
            # The difference of two Gumbel variates is logistic, so one uniform number will do.
            logistic = torch.logit(noise.uniform(shape[:-1], dtype, device))
            return self.logits + torch.stack([torch.zeros_like(logistic), logistic], -1)
        return self.logits - noise.exponential(shape, dtype, device).log()

    def finish(self, unit: Tensor) -> Tensor:
        """The law's own value of a unit vector, in the dtype of its parameters."""
        return self.value(unit).to(parameter_like(self.dist).dtype)


def as_choice(estimator: SurrogateEstimator, dist: Distribution) -> Choice:
    """The law as a choice among classes, or an error that names those that can be one."""
    view = _VIEWS.get(type(dist))
    if view is None:
        raise cannot_serve(estimator, dist, FAMILIES)
    refuse_boundary(dist, "a gradient through logits")
    return view(dist)


def _bernoulli(dist: td.Bernoulli) -> Choice:
    if is_logits(dist):
        logits = torch.stack([torch.zeros_like(dist.logits), dist.logits], -1)
    else:
        logits = torch.stack([torch.log1p(-dist.probs), dist.probs.log()], -1)
    return Choice(dist, widened(logits), lambda x: x.long(), lambda unit: unit[..., 1])


def _categorical(dist: td.Categorical) -> Choice:
    logits = _log_weights(dist)
    places = torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    return Choice(dist, logits, lambda x: x, lambda unit: (unit * places).sum(-1))


def _one_hot(dist: td.OneHotCategorical) -> Choice:
    return Choice(dist, _log_weights(dist), lambda x: x.argmax(-1), lambda unit: unit)


def _log_weights(dist: td.Categorical | td.OneHotCategorical) -> Tensor:
    # torch clamps the probabilities that it makes logits of, and so loses the slope of a small one.
    return widened(dist.logits if is_logits(dist) else dist.probs.log())


_VIEWS: dict[type[Distribution], Callable[..., Choice]] = {
    td.Bernoulli: _bernoulli,
    td.Categorical: _categorical,
    td.OneHotCategorical: _one_hot,
    td.OneHotCategoricalStraightThrough: _one_hot,
}
