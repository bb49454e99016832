"""The Dirichlet law, drawn as normalised Gammas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet

from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(Dirichlet, kind="implicit", reference="normalised Gammas; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def dirichlet(dist: Dirichlet, noise: BoundNoise) -> Tensor:
    """The softmax of log-Gammas, which has a largest component even where every Gamma underflows."""
    return exp_in_range(torch.log_softmax(log_gamma(dist.concentration, noise), -1))
