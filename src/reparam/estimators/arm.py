"""ARM: augment, reinforce, merge."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from reparam.estimators.antithetic import AntitheticEstimator, require_even
from reparam.estimators.base import require_samples


@dataclasses.dataclass(frozen=True)
class ARM(AntitheticEstimator):
    r"""The augment-REINFORCE-merge estimator: an antithetic pair, weighted by the uniform it was drawn from.

    .. math:: \nabla_\phi E[f(b)] = E_u\left[\left(f(1_{u > \sigma(-\phi)}) - f(1_{u < \sigma(\phi)})\right)
              \left(u - \tfrac12\right)\right]

    `DisARM` is this with the uniform integrated out, and never has a larger variance.

    Args:
        samples: the number of evaluations, an even number: pairs are averaged.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli, Categorical and OneHotCategorical variables and `Independent`
        products of them; unbiased, at every order, because the weights are linear in each coin's probability, as the
        expectation is. Categories are the leaves of a binary tree of coins. The cost may be a black box.

    Errors:
        `InvalidArgument` for an odd number of samples, another family, and `probs` on the boundary.

    References:
        Yin and Zhou, ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks, ICLR 2019.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> loss = rp.expect(lambda b: b + 100, torch.distributions.Bernoulli(logits=logits), rp.ARM())
        >>> bool(torch.autograd.grad(loss.sum(), logits)[0].abs().max() <= 0.5)
        True
    """

    samples: int = 2

    def __post_init__(self) -> None:
        require_samples("ARM", self.samples, 2)
        require_even("ARM", self.samples)

    def group(self, runs: int) -> int:
        """Pairs."""
        require_even("ARM", runs)
        return 2

    def coefficients(self, events: Tensor, uniforms: Tensor, rare: Tensor) -> Tensor:
        """Linear in the uniform. The clamp is for coins that never show their rarer side, whose movement is zero."""
        tiny = torch.finfo(rare.dtype).tiny
        # With room for the cost, which multiplies this before the movement makes it small again; float16 has none.
        least = tiny**0.5 if tiny < 1e-30 else tiny
        return (1 - 2 * uniforms) / (rare * (1 - rare)).clamp(min=least)
