"""The unordered set: samples without replacement, whatever order they came in."""

from __future__ import annotations

import dataclasses
import itertools
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators.base import Draw, Estimator, require_samples
from reparam.estimators.score import refuse_boundary
from reparam.estimators.sum_and_sample import pick
from reparam.estimators.support import finite_support, require_finite
from reparam.noise import NoiseSource

# The ratios are sums over all subsets of the set: 2^k of them.
_LARGEST = 10


@dataclasses.dataclass(frozen=True)
class Unordered(Estimator):
    r"""Samples without replacement, weighed by their leave-one-out ratios.

    .. math:: E[f(x)] \approx \sum_{s \in S} p(s)\, R(S, s)\, f(s), \qquad R(S, s) = \frac{P(S \mid b_1 = s)}{P(S)}

    with S the set of k draws without replacement and :math:`b_1` the first of them. It is the mean of every estimator
    of ordered draws, the first draw alone included, given the set; each value is evaluated once. The gradient has the
    built-in baseline of the paper: the other members of the set, which estimate the mean cost given s came first.

    Args:
        samples: the size k of the set, from 2 to 10.
        budget: the largest support that is listed, in values for each batch element.

    Gradient:
        With respect to every parameter; unbiased, at every order; k evaluations, or as many as there are values if
        those are fewer: then it is `Enumerate`.

    Errors:
        `InvalidArgument` for an infinite support, one beyond the budget, and `probs` on the boundary.

    References:
        Kool, van Hoof and Welling, Estimating Gradients for Discrete Random Variables by Sampling without Replacement,
        ICLR 2020.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.tensor([4.0, 0.0, 0.0, 0.0], requires_grad=True)
        >>> loss = rp.expect(lambda k: k.float(), torch.distributions.Categorical(logits=logits), rp.Unordered(3))
        >>> torch.autograd.grad(loss, logits)[0].shape
        torch.Size([4])
    """

    unbiased: ClassVar[bool] = True
    coupled: ClassVar[bool] = True
    samples: int = 4
    budget: int = 2**16

    def __post_init__(self) -> None:
        require_samples("Unordered", self.samples, 2)
        require_samples("Unordered", self.budget, 1)
        if self.samples > _LARGEST:
            raise InvalidArgument(
                f"rp.Unordered sums over all subsets of its set, which is feasible up to {_LARGEST} values",
                received=f"samples = {self.samples}",
                instead=f"rp.Unordered({_LARGEST}), or rp.SumAndSample({self.samples})",
            )

    def evaluations(self, dist: Distribution) -> int:
        """`samples`, or the size of the support."""
        return min(self.samples, require_finite(dist, self.budget))

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """A set of distinct values and the weights that undo how it was chosen."""
        size = self.evaluations(dist)
        points, law = finite_support(dist)
        if size == law.shape[0]:
            return Draw(points, law)
        refuse_boundary(dist)
        race = noise.exponential(law.shape, law.dtype, law.device) / law.detach()
        chosen = race.topk(size, dim=0, largest=False).indices
        return Draw(pick(points, chosen), _weights(law.gather(0, chosen), _rest(law.detach(), chosen)))


def _rest(law: Tensor, chosen: Tensor) -> Tensor:
    """The probability outside the set, summed there: one minus the set's would lose its digits."""
    return law.scatter(0, chosen, 0.0).sum(0)


def _weights(chances: Tensor, rest: Tensor) -> Tensor:
    """Leave-one-out ratios times probabilities, centred by what the others say of the mean."""
    size = chances.shape[0]
    whole, first, pairs = _completions(chances.detach().double(), rest.double())
    # ratio[s] = R(S, s); second[s, r] = R(S, s, r), the same for the rest of the set, given that s came first.
    ratio = (first / whole).to(chances.dtype)
    place = {pair: i for i, pair in enumerate(itertools.combinations(range(size), 2))}
    index = [[place.get((min(s, r), max(s, r)), 0) for r in range(size)] for s in range(size)]
    eye = torch.eye(size, dtype=torch.bool, device=first.device).view(size, size, *[1] * (first.dim() - 1))
    second = torch.where(eye, 1.0, pairs[torch.tensor(index, device=first.device)] / first.unsqueeze(1))
    moved = chances - chances.detach()
    # What s moves is credited with its own cost less an estimate of the mean from the set, in which r has this share.
    share = chances.detach().unsqueeze(0) * second.to(chances.dtype)
    return chances * ratio - ((moved * ratio).unsqueeze(1) * share).sum(0)


def _completions(chances: Tensor, rest: Tensor) -> tuple[Tensor, ...]:
    """The probability that draws which began with A complete the set, for subsets A of no, one and two members.

    By size, from the whole set down: the next draw is one of the missing members, in proportion to its probability
    among all that is left.
    """
    size = chances.shape[0]
    # A value without probability comes last, when nothing else is left; its mass only has to be smaller than all.
    mass = chances.clamp(min=1e-30)
    completed = [torch.ones_like(mass[:1])]
    for known in range(size - 1, -1, -1):
        place = {subset: i for i, subset in enumerate(itertools.combinations(range(size), known + 1))}
        begun = list(itertools.combinations(range(size), known))
        missing = [[a for a in range(size) if a not in subset] for subset in begun]
        grown = [[place[tuple(sorted((*subset, a)))] for a in new] for subset, new in zip(begun, missing, strict=True)]
        new = mass[torch.tensor(missing, device=mass.device)]
        after = completed[0][torch.tensor(grown, device=mass.device)]
        completed.insert(0, (new * after).sum(1) / (rest + new.sum(1)))
    return completed[0][0], completed[1], completed[2]
