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
    return torch.lerp(dist.low, dist.high, noise.uniform())


@register(Exponential, reference=_QUANTILE)
@rounded_once
def exponential(dist: Exponential, noise: BoundNoise) -> Tensor:
    """`e / rate`."""
    return noise.exponential() / dist.rate


@register(Gumbel, parameters=("loc", "scale"), reference=_QUANTILE)
@rounded_once
def gumbel(dist: Gumbel, noise: BoundNoise) -> Tensor:
    """`loc - scale log e`: of an exponential, whose small values, the right tail here, keep their digits."""
    return torch.addcmul(dist.loc, dist.scale, noise.exponential().log(), value=-1)


@register(Laplace, reference=_QUANTILE)
@rounded_once
def laplace(dist: Laplace, noise: BoundNoise) -> Tensor:
    """`loc - scale sign(v) log(1 - |v|)` with v uniform in (-1, 1)."""
    # One step inside -1 keeps the logarithm finite.
    v = noise.filled(Tensor.uniform_, torch.finfo(noise.like.dtype).eps / 2 - 1, 1)
    if v is None:
        v = 2 * noise.uniform() - 1
    return torch.addcmul(dist.loc, dist.scale, torch.copysign(torch.log1p(-v.abs()), v))


@register(Cauchy, reference=_QUANTILE)
@rounded_once
def cauchy(dist: Cauchy, noise: BoundNoise) -> Tensor:
    """`loc - scale cot(pi u)`."""
    return torch.addcmul(dist.loc, dist.scale, standard_cauchy(noise))


def standard_cauchy(noise: BoundNoise) -> Tensor:
    """Standard Cauchy noise, from torch's own sampler where it serves, else from a uniform."""
    x = noise.filled(Tensor.cauchy_)
    if x is not None:
        return x
    u = noise.uniform()
    # Folded into (-1/2, 1/2], so that both tails keep their digits.
    return -1 / torch.tan(torch.pi * (u - u.round()))
