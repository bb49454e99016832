"""The von Mises law on the circle.

Drawn by rejection where there are counters to draw from, else by inversion; base noise as a tensor is uniform.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import VonMises

from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._von_mises_quantile import standard_quantile
from reparam.pathwise.registry import register
from reparam.special.von_mises import von_mises_dx_dconcentration


@register(VonMises, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def von_mises(dist: VonMises, noise: BoundNoise) -> Tensor:
    """The location plus a standard sample, wrapped to [-pi, pi) as torch's; a cost must be a function on the circle."""
    kappa = dist.concentration
    x = noise.variate("von_mises", kappa.detach().expand(noise.shape))
    if x is None:
        x = standard_quantile(kappa, noise.uniform())
    x = attach(_slope, x, kappa)
    return torch.remainder(dist.loc + x + torch.pi, 2 * torch.pi) - torch.pi


def _slope(x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    return (von_mises_dx_dconcentration(parameters[0], x),)
