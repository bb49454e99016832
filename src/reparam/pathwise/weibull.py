"""The Weibull law; base noise as a tensor is standard exponential."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Weibull

from reparam.kernels.memory import within
from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(Weibull, reference="quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986")
@rounded_once
def weibull(dist: Weibull, noise: BoundNoise) -> Tensor:
    """`scale e^(1/k)`, in logarithms where it must: at k = 0.01 a float32 spans only one sample in two."""
    e = noise.exponential()
    x = dist.scale * e ** dist.concentration.reciprocal()
    limits = torch.finfo(x.dtype)
    if within(x, limits.tiny, limits.max):
        return x
    return exp_in_range(torch.addcdiv(dist.scale.log(), e.log(), dist.concentration))
