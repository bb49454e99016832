"""Families that are a location and a scale away from fixed noise, and the uniform and exponential laws beside them.

Base noise, for a user who passes it as a tensor: standard normal for Normal, uniform in (0, 1) for Uniform, Laplace and
Cauchy (each the quantile of its law), standard exponential for Exponential and Gumbel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Cauchy, Exponential, Gumbel, Laplace, Normal, Uniform

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register

_KINGMA = "Kingma and Welling, ICLR 2014"
_QUANTILE = "quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986"


@register(Normal, reference=_KINGMA)
@rounded_once
def normal(dist: Normal, noise: BoundNoise) -> Tensor:
    """`loc + scale * eps`: torch's own values for torch's own stream."""
    return noise.scaled_normal(dist.loc, dist.scale)


@register(Uniform, parameters=("low", "high"), reference=_QUANTILE)
@rounded_once
def uniform(dist: Uniform, noise: BoundNoise) -> Tensor:
    """`low + (high - low) u`."""
    return dist.low + noise.uniform() * (dist.high - dist.low)


@register(Exponential, reference=_QUANTILE)
@rounded_once
def exponential(dist: Exponential, noise: BoundNoise) -> Tensor:
    """`e / rate`."""
    return noise.exponential() / dist.rate


@register(Gumbel, parameters=("loc", "scale"), reference=_QUANTILE)
@rounded_once
def gumbel(dist: Gumbel, noise: BoundNoise) -> Tensor:
    """`loc - scale log e`: of an exponential, whose small values, the right tail here, keep their digits."""
    return dist.loc - dist.scale * noise.exponential().log()


@register(Laplace, reference=_QUANTILE)
@rounded_once
def laplace(dist: Laplace, noise: BoundNoise) -> Tensor:
    """`loc - scale sign(v) log(1 - 2|v|)` with `v = u - 1/2`."""
    v = noise.uniform() - 0.5
    return dist.loc - dist.scale * v.sign() * torch.log1p(-2 * v.abs())


@register(Cauchy, reference=_QUANTILE)
@rounded_once
def cauchy(dist: Cauchy, noise: BoundNoise) -> Tensor:
    """`loc - scale cot(pi u)`, with u folded into (-1/2, 1/2] so that both tails keep their digits."""
    u = noise.uniform()
    return dist.loc - dist.scale / torch.tan(torch.pi * torch.where(u < 0.5, u, u - 1))
