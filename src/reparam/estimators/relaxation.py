r"""A discrete draw as a threshold of continuous noise, and the same noise drawn again given where it fell.

Bernoulli: :math:`b = 1[z > 0]` with :math:`z = \phi + \operatorname{logit} u`. Categorical: the argmax of z, the logits
plus Gumbel noise. The second relaxation :math:`\tilde z` has the law of z given b, as a smooth function of the logits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, softplus

from reparam.checks import all_true, innermost, wants_validation
from reparam.errors import InvalidArgument
from reparam.estimators.score import refuse_boundary
from reparam.noise import NoiseSource
from reparam.pathwise.sampling import unit_vector


@dataclasses.dataclass(frozen=True)
class Relaxed:
    """Draws and their two relaxations.

    Attributes:
        logits: what the relaxations are differentiated in: the very tensor that `log_prob` is computed from.
        hard: the draws, of shape `(K, *batch_shape, *event_shape)`, without gradient.
        free: z, differentiable; with a last dimension for the categories, if there are any.
        given: z drawn again given the draw, differentiable, of the same shape.
        soften: from z and a temperature to a point between the values, or None where no such point exists.
    """

    logits: Tensor
    hard: Tensor
    free: Tensor
    given: Tensor
    soften: Callable[[Tensor, float], Tensor] | None


def relax(dist: Distribution, noise: NoiseSource, estimator: str, samples: int = 1) -> Relaxed:
    """Draw, or raise an error that names what would serve `dist`."""
    base = innermost(dist)
    rule = _RULES.get(type(base))
    if rule is None:
        raise InvalidArgument(
            f"rp.{estimator} relaxes Bernoulli, Categorical, OneHotCategorical, and Independent of them",
            received=f"{dist}",
            instead="rp.LeaveOneOut(4), or rp.MeasureValued() for counts",
        )
    refuse_boundary(dist)
    logits: Tensor = base.logits  # pyright: ignore[reportAttributeAccessIssue]
    if wants_validation(dist) and not all_true(torch.isfinite(logits)):
        raise InvalidArgument(
            f"rp.{estimator} differentiates through the logits, which must be finite",
            received="infinite logits",
            instead="rp.Enumerate() or rp.LeaveOneOut(4), for which a value may be impossible",
        )
    return rule(base, noise, samples)


def _bernoulli(dist: td.Bernoulli, noise: NoiseSource, samples: int) -> Relaxed:
    logits = dist.logits
    u, v = (noise.uniform((samples, *logits.shape), logits.dtype, logits.device) for _ in range(2))
    free = logits + torch.logit(u)
    hard = (free.detach() > 0).to(logits.dtype)
    up = softplus(torch.logit(v) - logsigmoid(-logits))
    down = -softplus(torch.logit(v) - logsigmoid(logits))
    return Relaxed(logits, hard, free, torch.where(hard > 0, up, down), lambda z, t: torch.sigmoid(z / t))


def _gumbels(logits: Tensor, noise: NoiseSource, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which category won, and both relaxations."""
    e, again = (noise.exponential((samples, *logits.shape), logits.dtype, logits.device) for _ in range(2))
    free = logits - e.log()
    winner = unit_vector(free.detach().argmax(-1), logits.shape[-1])
    # The winner's time is that of the whole race; each loser's is its own, begun when the winner came in. In
    # logarithms, because the time of a category that never wins is infinite.
    first = (again * winner).sum(-1, keepdim=True).log()
    given = -torch.where(winner, first, torch.logaddexp(again.log() - logits, first))
    return winner, free, given


def _one_hot(dist: td.OneHotCategorical, noise: NoiseSource, samples: int) -> Relaxed:
    winner, free, given = _gumbels(dist.logits, noise, samples)
    return Relaxed(dist.logits, winner.to(free.dtype), free, given, lambda z, t: torch.softmax(z / t, -1))


def _categorical(dist: td.Categorical, noise: NoiseSource, samples: int) -> Relaxed:
    winner, free, given = _gumbels(dist.logits, noise, samples)
    return Relaxed(dist.logits, winner.int().argmax(-1), free, given, None)


_RULES: dict[type[Distribution], Callable[..., Relaxed]] = {
    td.Bernoulli: _bernoulli,
    td.Categorical: _categorical,
    td.OneHotCategorical: _one_hot,
    td.OneHotCategoricalStraightThrough: _one_hot,
}
