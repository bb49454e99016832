"""The Beta law."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma_pair
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register


@register(Beta, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def beta(dist: Beta, noise: BoundNoise) -> Tensor:
    """The sigmoid of a difference of log-Gammas, kept off 0 and 1, where the density may be infinite."""
    log_heads, log_tails = log_gamma_pair(dist.concentration1, dist.concentration0, noise)
    x = torch.sigmoid(log_heads - log_tails)
    limits = torch.finfo(x.dtype)
    return x.clamp(limits.tiny, 1 - limits.eps / 2)
