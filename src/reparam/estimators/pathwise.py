"""The pathwise estimator: differentiate the sample itself."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.estimators.base import Cost, Draw, ParticleEstimator, Proposal, require_samples
from reparam.noise import NoiseSource
from reparam.pathwise import draw


@dataclasses.dataclass(frozen=True)
class Pathwise(ParticleEstimator):
    r"""The reparameterization trick: the gradient runs through the sample.

    .. math:: \nabla_\theta E[f(x)] = E\left[\nabla f(x)\, \frac{dx}{d\theta}\right]

    Args:
        samples: the number of draws K.

    Gradient:
        With respect to every parameter; unbiased for a cost that is continuous where the samples fall (`E[sign z]` has
        pathwise gradient zero and a true gradient that is not); K evaluations.

    Errors:
        `NoPathwiseGradient` for a distribution without a rule.

    References:
        Kingma and Welling, ICLR 2014. Rezende, Mohamed and Wierstra, ICML 2014.

    Example:
        >>> import torch, reparam as rp
        >>> loc = torch.zeros(3, requires_grad=True)
        >>> loss = rp.expect(lambda z: 2 * z, torch.distributions.Normal(loc, 1.0), rp.Pathwise(8))
        >>> torch.autograd.grad(loss.sum(), loc)[0]
        tensor([2., 2., 2.])
    """

    unbiased: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_samples("Pathwise", self.samples, 1)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The mean: the weights are all 1/K, and a step of training need not multiply by them."""
        return costs.squeeze(0) if costs.shape[0] == 1 else costs.mean(0)

    def propose(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Proposal:
        """Points that carry the gradient."""
        return Proposal(draw(dist, noise, sample_shape), None)
