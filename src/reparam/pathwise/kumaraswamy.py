"""The Kumaraswamy law; base noise as a tensor is standard exponential."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Kumaraswamy

from reparam.kernels.memory import within
from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range, log1mexp
from reparam.pathwise.registry import register


@register(Kumaraswamy, reference="quantile transform; Kumaraswamy, Journal of Hydrology, 1980")
@rounded_once
def kumaraswamy(dist: Kumaraswamy, noise: BoundNoise) -> Tensor:
    """`(1 - exp(-e / b))^(1/a)`, in logarithms.

    At (0.05, 0.05) a third of the law's mass lies within half a float32 unit of 1; those samples are the largest float
    below 1, because at 1 itself the density is infinite.
    """
    minus_t, eps = -noise.exponential() / dist.concentration0, torch.finfo(noise.like.dtype).eps
    if within(minus_t, -4, 0):  # 1 - exp(-t) has kept its distance from 1
        x = (-torch.expm1(minus_t)) ** dist.concentration1.reciprocal()
        if within(x, torch.finfo(x.dtype).tiny, 1 - eps):
            return x
    x = exp_in_range(log1mexp(-minus_t) / dist.concentration1)
    return x - (x - (1 - eps / 2)).detach().clamp(min=0)
