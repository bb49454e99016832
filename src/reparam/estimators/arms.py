"""ARMS: any number of antithetic draws."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from reparam.estimators.antithetic import AntitheticEstimator, share_of_disagreement
from reparam.estimators.base import require_samples


@dataclasses.dataclass(frozen=True)
class ARMS(AntitheticEstimator):
    r"""Leave-one-out over draws that disagree as often as they can, divided by what the coupling adds.

    .. math:: \nabla_\phi E[f(b)] = E\left[\frac{1}{n - 1} \sum_i (f(b_i) - \bar f)\,
              \frac{b_i - \sigma(\phi)}{1 - \rho}\right]

    with :math:`\rho < 0` the correlation of two coins under a Dirichlet copula. Two draws are a `DisARM` pair.

    Args:
        samples: the number of draws n, at least two; in a program all its runs are one group.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli, Categorical and OneHotCategorical variables and `Independent`
        products of them; unbiased, at every order, because the weights are linear in each coin's probability, as the
        expectation is; n evaluations of a cost that may be a black box.

    Errors:
        `InvalidArgument` for another family, and for `probs` on the boundary.

    References:
        Dimitriev and Zhou, ARMS: Antithetic-REINFORCE-Multi-Sample Gradient for Binary Variables, ICML 2021.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> loss = rp.expect(lambda b: b + 100, torch.distributions.Bernoulli(logits=logits), rp.ARMS(4))
        >>> bool(torch.autograd.grad(loss.sum(), logits)[0].abs().max() < 1)
        True
    """

    samples: int = 4

    def __post_init__(self) -> None:
        require_samples("ARMS", self.samples, 2)

    def group(self, runs: int) -> int:
        """All of them."""
        require_samples("ARMS", runs, 2)
        return runs

    def coefficients(self, events: Tensor, uniforms: Tensor, rare: Tensor) -> Tensor:
        """One over the chance of a disagreement, for each that happened, averaged over the partners."""
        return share_of_disagreement(events, rare)
