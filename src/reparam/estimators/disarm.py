"""DisARM: the antithetic pair with the uniform integrated out."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from reparam.estimators.antithetic import AntitheticEstimator, require_even, share_of_disagreement
from reparam.estimators.base import require_samples


@dataclasses.dataclass(frozen=True)
class DisARM(AntitheticEstimator):
    r"""The difference of the cost over an antithetic pair, where the pair differs. Also found as U2G.

    .. math:: \nabla_\phi E[f(b)] = E\left[\tfrac12 (f(b) - f(b'))\, (-1)^{b'}\, 1_{b \ne b'}\, \sigma(|\phi|)\right]

    with :math:`b = 1_{u < \sigma(\phi)}` and :math:`b' = 1_{1 - u < \sigma(\phi)}`.

    Args:
        samples: the number of evaluations, an even number: pairs are averaged.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli, Categorical and OneHotCategorical variables and `Independent`
        products of them; unbiased, at every order, because the weights are linear in each coin's probability, as the
        expectation is. Categories are the leaves of a binary tree of coins. The cost may be a black box. A constant
        added to the cost changes nothing; one Bernoulli site at probability 1/2 has no variance at all.

    Errors:
        `InvalidArgument` for an odd number of samples, another family, and `probs` on the boundary.

    References:
        Dong, Mnih and Tucker, DisARM: An Antithetic Gradient Estimator for Binary Latent Variables, NeurIPS 2020. Yin,
        Ho, Yan, Qian and Zhou, Probabilistic Best Subset Selection via Gradient-Based Optimization, 2020 (U2G). Dong,
        Mnih and Tucker, Coupled Gradient Estimators for Discrete Latent Variables, NeurIPS 2021 (trees of categories).

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> loss = rp.expect(lambda b: (b - 0.45) ** 2, torch.distributions.Bernoulli(logits=logits), rp.DisARM())
        >>> torch.autograd.grad(loss.sum(), logits)[0]
        tensor([0.0250, 0.0250, 0.0250, 0.0250, 0.0250])
    """

    samples: int = 2

    def __post_init__(self) -> None:
        require_samples("DisARM", self.samples, 2)
        require_even("DisARM", self.samples)

    def group(self, runs: int) -> int:
        """Pairs."""
        require_even("DisARM", runs)
        return 2

    def coefficients(self, events: Tensor, uniforms: Tensor, rare: Tensor) -> Tensor:
        """One over the chance of the disagreement that happened."""
        return share_of_disagreement(events, rare)
