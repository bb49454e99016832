"""Enumeration: evaluate the cost everywhere; nothing is left to chance."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch.distributions import Distribution

from reparam.estimators.base import Draw, Estimator, require_samples
from reparam.estimators.support import finite_support, require_finite
from reparam.noise import NoiseSource


@dataclasses.dataclass(frozen=True)
class Enumerate(Estimator):
    r"""Sum over the whole support: the expectation itself, and so every derivative of it.

    .. math:: E[f(x)] = \sum_x p(x; \theta) f(x)

    Args:
        budget: the largest support that is listed, in values for each batch element.

    Gradient:
        With respect to every parameter; exact, at every order; as many evaluations as there are values. `Independent`
        lists the Cartesian product of its sites. Probabilities come from the parameter that was given, so value and
        gradient are exact at `probs` 0 and 1 too, where torch's `log_prob` is clamped.

    Errors:
        `InvalidArgument` for an infinite support or one beyond the budget.

    Example:
        >>> import torch, reparam as rp
        >>> probs = torch.tensor(0.25, requires_grad=True)
        >>> loss = rp.expect(lambda b: (b - 0.45) ** 2, torch.distributions.Bernoulli(probs), rp.Enumerate())
        >>> round(torch.autograd.grad(loss, probs)[0].item(), 6)  # f(1) - f(0)
        0.1
    """

    unbiased: ClassVar[bool] = True
    budget: int = 2**16

    def __post_init__(self) -> None:
        require_samples("Enumerate", self.budget, 1)

    def evaluations(self, dist: Distribution) -> int:
        """The size of the support."""
        return require_finite(dist, self.budget)

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """Every value with its probability; the noise is not touched."""
        require_finite(dist, self.budget)
        return Draw(*finite_support(dist))
