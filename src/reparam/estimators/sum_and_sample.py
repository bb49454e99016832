"""Sum over what is likely, sample the rest."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.estimators.base import Draw, Estimator, require_samples
from reparam.estimators.score import refuse_boundary
from reparam.estimators.support import finite_support, require_finite
from reparam.noise import NoiseSource


@dataclasses.dataclass(frozen=True)
class SumAndSample(Estimator):
    r"""The likeliest values with their probabilities, and one draw from the others for all of these.

    .. math:: E[f(x)] = \sum_{x \in T} p(x) f(x) + p(\bar T)\, E[f(x) \mid x \notin T]

    with T the likeliest `samples - 1` values. The weights are centred by the mean cost over T, so that a constant
    added to the cost changes nothing.

    Args:
        samples: the number of evaluations, at least two.
        budget: the largest support that is listed, in values for each batch element.

    Gradient:
        With respect to every parameter; unbiased, at every order; `samples` evaluations, or as many as there are values
        if those are fewer: then it is `Enumerate`. The variance is that of the draw from the tail, times the tail's
        probability: small where few values carry most of the law.

    Errors:
        `InvalidArgument` for an infinite support, one beyond the budget, and `probs` on the boundary.

    References:
        Liu, Regier, Tripuraneni, Jordan and McAuliffe, Rao-Blackwellized Stochastic Gradients for Discrete
        Distributions, ICML 2019.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.tensor([4.0, 0.0, 0.0, 0.0], requires_grad=True)
        >>> loss = rp.expect(lambda k: k.float(), torch.distributions.Categorical(logits=logits), rp.SumAndSample(2))
        >>> torch.autograd.grad(loss, logits)[0].shape
        torch.Size([4])
    """

    unbiased: ClassVar[bool] = True
    coupled: ClassVar[bool] = True
    samples: int = 4
    budget: int = 2**16

    def __post_init__(self) -> None:
        require_samples("SumAndSample", self.samples, 2)
        require_samples("SumAndSample", self.budget, 1)

    def evaluations(self, dist: Distribution) -> int:
        """`samples`, or the size of the support."""
        return min(self.samples, require_finite(dist, self.budget))

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """The top of the law, and one of the rest weighed for all of it."""
        count = self.evaluations(dist)
        points, law = finite_support(dist)
        if count == law.shape[0]:
            return Draw(points, law)
        refuse_boundary(dist)
        chances = law.detach()
        top = chances.topk(count - 1, dim=0).indices
        rest = chances.scatter(0, top, 0.0)
        one = _categorical(rest, noise)
        tail = rest.sum(0, keepdim=True)
        chosen = law.gather(0, one)
        # The tail's law may have no mass at all; then the draw stands for nothing, and weighs nothing.
        share = torch.where(tail > 0, tail / chosen.detach().clamp(min=torch.finfo(law.dtype).tiny), 0.0)
        weights = torch.cat([law.gather(0, top), share * chosen])
        return Draw(pick(points, torch.cat([top, one])), _centred(weights, count - 1))


def _categorical(rates: Tensor, noise: NoiseSource) -> Tensor:
    """The winner of an exponential race, along the first dimension, which is kept."""
    return (noise.exponential(rates.shape, rates.dtype, rates.device) / rates).argmin(0, keepdim=True)


def _centred(weights: Tensor, count: int) -> Tensor:
    """The cost less its mean over the first `count` points, which were not chosen by chance, as weights."""
    moved = weights.sum(0, keepdim=True)
    top = weights[:count].detach()
    share = top / top.sum(0, keepdim=True)
    return weights - torch.cat([share * (moved - moved.detach()), torch.zeros_like(weights[count:])])


def pick(points: Tensor, index: Tensor) -> Tensor:
    """Of a support, the values at an index of shape `(n, *batch_shape)`."""
    extra = points.dim() - index.dim()
    return points.gather(0, index.view(*index.shape, *[1] * extra).expand(*index.shape, *points.shape[index.dim() :]))
