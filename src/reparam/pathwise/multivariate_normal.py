"""The multivariate normal, under each of torch's three parameterisations."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import MultivariateNormal

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register


@register(
    MultivariateNormal,
    parameters=("loc", "covariance_matrix", "precision_matrix", "scale_tril"),
    reference="Cholesky factor times noise; Kingma and Welling, ICLR 2014",
)
@rounded_once
def multivariate_normal(dist: MultivariateNormal, noise: BoundNoise) -> Tensor:
    """`loc + L eps`; torch's constructor computes L differentiably from the covariance or the precision."""
    eps = noise.normal()
    return dist.loc + (dist._unbroadcasted_scale_tril @ eps.unsqueeze(-1)).squeeze(-1)
