"""Score-function estimators: the points stay, their probabilities move."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.autograd import forward_ad
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from reparam.checks import all_true, summary, wants_validation, wrapped
from reparam.errors import InvalidArgument
from reparam.estimators.base import Cost, Draw, ParticleEstimator, Proposal, require_samples
from reparam.estimators.baselines import Baseline
from reparam.estimators.support import is_logits
from reparam.estimators.training import descend, trainable
from reparam.noise import NoiseSource
from reparam.pathwise.sampling import sample


def log_ratio(dist: Distribution, points: Tensor) -> Tensor | None:
    r"""`log p(x) - stop(log p(x))`: value zero, first derivative the score, right at every order once exponentiated.

    None where nobody differentiates, so that evaluation under `no_grad` computes no density.
    """
    if not torch.is_grad_enabled() and not _forward_mode():
        return None
    log_prob = _log_law(dist, points)
    return log_prob - log_prob.detach()


def _log_law(dist: Distribution, points: Tensor) -> Tensor:
    """`log_prob` up to a constant, where torch's own writes under a mask of values, which `vmap` forbids."""
    if isinstance(dist, td.Independent):
        law = _log_law(dist.base_dist, points)
        return law.sum(tuple(range(-dist.reinterpreted_batch_ndims, 0))) if dist.reinterpreted_batch_ndims else law
    if type(dist) is td.Geometric:
        if is_logits(dist):
            return logsigmoid(dist.logits) + points * logsigmoid(-dist.logits)
        return dist.probs.log() + points * torch.log1p(-dist.probs)
    if type(dist) is td.Multinomial:
        # Impossible categories do not occur, and must not make 0 * inf.
        return (points * torch.where(points == 0, 0.0, dist.logits)).sum(-1)
    return dist.log_prob(points)


def _forward_mode() -> bool:
    return forward_ad._current_level >= 0


def refuse_boundary(dist: Distribution, what: str = "a score-function gradient") -> None:
    """Raise where `probs` lies on the boundary: values that are never drawn have a slope that no score can see."""
    # A multinomial also holds a binomial of its own making, whose probs nobody gave.
    for inner in [dist._categorical] if isinstance(dist, td.Multinomial) else wrapped(dist):
        refuse_boundary(inner, what)
    probs = dist.__dict__.get("probs")
    if not isinstance(probs, Tensor) or is_logits(dist) or not probs.requires_grad or not wants_validation(dist):
        return
    inside = probs > 0
    if dist.arg_constraints["probs"] is not constraints.simplex:
        inside = inside & (probs < 1)
    if not all_true(inside):
        raise InvalidArgument(
            f"{type(dist).__name__}: {what} does not exist where probs is 0 or 1",
            received=f"probs = {summary(probs)}",
            instead="rp.Enumerate(), which is exact there, or logits, whose score always exists",
        )


@dataclasses.dataclass(frozen=True)
class ScoreFunction(ParticleEstimator):
    r"""The score-function estimator, also called REINFORCE or the likelihood-ratio method.

    .. math:: \nabla_\theta E[f(x)] = E[f(x)\, \nabla_\theta \log p(x; \theta)], \qquad
              w_k = \frac{1}{K} \exp(\log p(x_k) - \operatorname{stop} \log p(x_k))

    Args:
        samples: the number of draws K.
        baseline: what is subtracted from the cost, such as `rp.MovingAverage()` or `rp.LearnedBaseline(network)`.

    Gradient:
        With respect to every parameter `log_prob` depends on; unbiased, at every order of differentiation; K
        evaluations of a cost that may be a black box. The variance is high; `LeaveOneOut` adds a baseline that needs no
        state. One with a state is not for programs, where a variable's own cost is not known.

    Errors:
        `InvalidArgument` where `probs` lies on the boundary of its simplex, where no score exists.

    References:
        Williams, Machine Learning 8, 1992. Foerster et al., DiCE, ICML 2018 (the weight that is right at every order).

    Example:
        >>> import torch, reparam as rp
        >>> rate = torch.tensor(4.0, requires_grad=True)
        >>> loss = rp.expect(lambda x: x**2, torch.distributions.Poisson(rate), rp.ScoreFunction(64))
        >>> torch.autograd.grad(loss, rate)[0].shape
        torch.Size([])
    """

    unbiased: ClassVar[bool] = True
    baseline: Baseline | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_samples(type(self).__name__, self.samples, 1)
        if not isinstance(self.baseline, Baseline | None):
            raise InvalidArgument(
                "a baseline must be a module that expects a cost before the draw is made",
                received=f"baseline = {self.baseline!r}",
                instead="rp.MovingAverage(), or rp.LearnedBaseline(network)",
            )

    @property
    def weighs(self) -> bool:
        """Whether there is no baseline with a state, which only the cost of one variable can teach."""
        return self.baseline is None

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the baseline, for an optimiser."""
        return iter(()) if self.baseline is None else self.baseline.parameters()

    def state_dict(self) -> dict[str, Any]:
        """That of the baseline."""
        return {} if self.baseline is None else self.baseline.state_dict()

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """Ask the baseline, then draw."""
        draw = super().draw(dist, noise)
        return draw if self.baseline is None else ExpectedDraw(draw.points, draw.weights, self.baseline(dist))

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The weighted sum of what differs from the baseline; the baseline then learns."""
        total = super().combine(draw, costs, f)
        if not isinstance(draw, ExpectedDraw) or self.baseline is None or not torch.is_grad_enabled():
            return total
        weight = draw.weights.sum(0)
        total = total - (weight - weight.detach()) * draw.expected.detach().to(weight.dtype)
        error = self.baseline.learn(draw.expected, costs) if self.baseline.training else None
        return total if error is None else descend(total, error, trainable(self.baseline))

    def propose(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Proposal:
        """Detached points and their log-ratio."""
        refuse_boundary(dist)
        points = sample(dist, sample_shape, noise)
        return Proposal(points, log_ratio(dist, points))


@dataclasses.dataclass(frozen=True)
class ExpectedDraw(Draw):
    """Points and weights, and what the baseline expected."""

    expected: Tensor


@dataclasses.dataclass(frozen=True)
class LeaveOneOut(ScoreFunction):
    r"""The score function with the mean cost of the *other* draws as baseline (RLOO, VarGrad, NVIL's multi-sample kin).

    .. math:: \frac{1}{K-1} \sum_k \left(f(x_k) - \bar f\right) \nabla_\theta \log p(x_k), \qquad
              w_k = \frac{1}{K} + \frac{e_k - \bar e}{K - 1}, \quad
              e_k = \exp(\log p(x_k) - \operatorname{stop} \log p(x_k)) - 1

    Args:
        samples: the number of draws K, at least two.

    Gradient:
        With respect to every parameter `log_prob` depends on; unbiased, at every order; K evaluations. A constant added
        to the cost changes nothing, which a bare score function cannot say.

    Errors:
        `InvalidArgument` for fewer than two draws, for another baseline, and where `probs` lies on the boundary.

    References:
        Mnih and Rezende, Variational Inference for Monte Carlo Objectives, ICML 2016. Kool, van Hoof and Welling, Buy 4
        REINFORCE Samples, Get a Baseline for Free!, ICLR 2019 workshop.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> loss = rp.expect(lambda b: b + 100, torch.distributions.Bernoulli(logits=logits), rp.LeaveOneOut(4))
        >>> bool(torch.autograd.grad(loss.sum(), logits)[0].abs().max() < 1)
        True
    """

    centred: ClassVar[bool] = True
    samples: int = 2

    def __post_init__(self) -> None:
        require_samples(type(self).__name__, self.samples, 2)
        if self.baseline is not None:
            raise InvalidArgument(
                "rp.LeaveOneOut has a baseline of its own",
                received=f"baseline = {self.baseline!r}",
                instead="rp.ScoreFunction(samples, baseline)",
            )
