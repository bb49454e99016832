"""The Kumaraswamy law; base noise as a tensor is standard exponential."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Kumaraswamy

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
    x = exp_in_range(log1mexp(noise.exponential() / dist.concentration0) / dist.concentration1)
    top = 1 - torch.finfo(x.dtype).eps / 2
    return x - (x - top).detach().clamp(min=0)
