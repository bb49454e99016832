"""The Pareto law and its generalisation; base noise as a tensor is standard exponential."""

from __future__ import annotations

import math

import torch
from torch import Tensor, distributions
from torch.distributions import Pareto

from reparam.kernels.memory import within
from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range, log1mexp
from reparam.pathwise.registry import register
from reparam.special._quadrature import nodes, unit_rule

_QUANTILE = "quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986"
_MODERATE = 40.0
_RULE = unit_rule(8)


@register(Pareto, parameters=("scale", "alpha"), reference=_QUANTILE)
@rounded_once
def pareto(dist: Pareto, noise: BoundNoise) -> Tensor:
    """`scale exp(e / alpha)`; a sample beyond the largest float (41% at alpha = 0.01 in float32) is that float."""
    e = noise.exponential()
    x = dist.scale * torch.exp(e / dist.alpha)
    if within(x, 0, torch.finfo(x.dtype).max):
        return x
    x = exp_in_range(torch.addcdiv(dist.scale.log(), e, dist.alpha))
    # Rounding may put x one unit below the end of its support, where it has no density; the gradient is x's own.
    return x + (dist.scale.detach() - x.detach()).clamp(min=0)


def generalized_pareto(dist, noise: BoundNoise) -> Tensor:
    r"""`loc + scale e (exp(c e) - 1) / (c e)`, analytic in the concentration c, zero included."""
    e, c = noise.exponential(), dist.concentration
    z = c * e
    if within(z, 0, _MODERATE):  # no upper end of the support, and no overflow but by the scale
        x = torch.addcmul(dist.loc, dist.scale * e, _exprel(z))
        if within(x, -math.inf, torch.finfo(x.dtype).max):
            return x
    x = dist.loc + exp_in_range(dist.scale.log() + e.log() + log_exprel(z))
    with torch.no_grad():
        end = torch.where(c < 0, dist.loc - dist.scale / c, torch.inf)
        excess = (x - end).clamp(min=0)
    return x - excess


def log_exprel(z: Tensor) -> Tensor:
    r""":math:`\log\frac{e^z - 1}{z} = \log\int_0^1 e^{zt} dt`, with its derivatives right at and around zero.

    Near zero the integral is taken by Gauss and Legendre's rule, whose derivative is the rule for the derivative;
    8 points leave 1e-19 of :math:`|z| < 1`.
    """
    small = z.abs() < 1
    far = torch.where(small, 1.0, z)
    size = far.abs()
    return torch.where(
        small, _integral(torch.where(small, z, 0.0)).log(), far.clamp(min=0) + log1mexp(size) - size.log()
    )


def _exprel(z: Tensor) -> Tensor:
    r""":math:`(e^z - 1) / z` itself, for a positive z whose exponential is a float."""
    far = z.clamp(min=1)
    return torch.where(z < 1, _integral(z.clamp(max=1)), torch.expm1(far) / far)


def _integral(z: Tensor) -> Tensor:
    points, weights = nodes(_RULE, z)
    return (torch.exp(z.unsqueeze(-1) * points) * weights).sum(-1)


if hasattr(distributions, "GeneralizedPareto"):  # torch 2.10 or later
    register(distributions.GeneralizedPareto, parameters=("loc", "scale", "concentration"), reference=_QUANTILE)(
        rounded_once(generalized_pareto)
    )
