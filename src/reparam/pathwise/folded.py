"""The positive halves of the Normal and the Cauchy law.

Base noise, for a user who passes it as a tensor: standard normal for HalfNormal, uniform in (0, 1) for HalfCauchy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import HalfCauchy, HalfNormal

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register


@register(HalfNormal, reference="absolute value of a Normal; Kingma and Welling, ICLR 2014")
@rounded_once
def half_normal(dist: HalfNormal, noise: BoundNoise) -> Tensor:
    """`scale |eps|`."""
    return dist.scale * noise.normal().abs()


@register(HalfCauchy, reference="quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986")
@rounded_once
def half_cauchy(dist: HalfCauchy, noise: BoundNoise) -> Tensor:
    """`scale cot(pi u / 2)`: the upper tail is at u = 0, where floats are dense."""
    x = noise.filled(Tensor.cauchy_)
    if x is None:
        return dist.scale / torch.tan(noise.uniform() * (torch.pi / 2))
    return dist.scale * x.abs_()
