"""The multivariate normal whose covariance is a low-rank matrix plus a diagonal."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import LowRankMultivariateNormal

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register


@register(LowRankMultivariateNormal, reference="factor times noise plus noise; Kingma and Welling, ICLR 2014")
@rounded_once
def low_rank_normal(dist: LowRankMultivariateNormal, noise: BoundNoise) -> Tensor:
    """`loc + W eps + sqrt(D) eps'`: the covariance is never formed."""
    factor = dist._unbroadcasted_cov_factor
    common = noise.normal((*noise.shape[:-1], factor.shape[-1]))
    own = noise.normal() * dist._unbroadcasted_cov_diag.sqrt()
    return dist.loc + (factor @ common.unsqueeze(-1)).squeeze(-1) + own
