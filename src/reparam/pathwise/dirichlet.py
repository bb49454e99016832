"""The Dirichlet law, drawn as normalised Gammas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet

from reparam.kernels.implicit import drawn
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import gamma_slope, log_gamma, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(Dirichlet, kind="implicit", reference="normalised Gammas; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def dirichlet(dist: Dirichlet, noise: BoundNoise) -> Tensor:
    """Gammas over their sum; in logarithms, where there is a largest one even if every Gamma underflows."""
    standard = moderate_gamma(noise, dist.concentration)
    if standard is not None:
        x = drawn(standard, gamma_slope, dist.concentration)
        return x / x.sum(-1, keepdim=True)
    return exp_in_range(torch.log_softmax(log_gamma(dist.concentration, noise), -1))
