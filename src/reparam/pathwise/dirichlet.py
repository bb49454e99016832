"""The Dirichlet law, drawn as normalised Gammas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet

from reparam.kernels.flows import dirichlet_flows
from reparam.kernels.implicit import DrawnShares
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.gamma import gamma_dx_dconcentration

_drawn_dirichlet = DrawnShares(gamma_dx_dconcentration, dirichlet_flows)


@register(Dirichlet, kind="implicit", reference="normalised Gammas; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def dirichlet(dist: Dirichlet, noise: BoundNoise) -> Tensor:
    """Gammas over their sum; in logarithms, where there is a largest one even if every Gamma underflows."""
    standard = moderate_gamma(noise, dist.concentration)
    if standard is not None:
        return _drawn_dirichlet(standard, dist.concentration)
    return exp_in_range(torch.log_softmax(log_gamma(dist.concentration, noise), -1))
