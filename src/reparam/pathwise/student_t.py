"""Student's t law."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import StudentT

from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(StudentT, kind="implicit", reference="Normal over root Gamma; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def student_t(dist: StudentT, noise: BoundNoise) -> Tensor:
    """`loc + scale z sqrt(k / g)` with g a Gamma of concentration k = df / 2, its magnitude in logarithms."""
    z, k = noise.normal(), dist.df / 2
    log_size = z.abs().log() + dist.scale.log() + (k.log() - log_gamma(k, noise)) / 2
    return dist.loc + z.sign() * exp_in_range(log_size)
