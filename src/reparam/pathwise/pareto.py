"""The Pareto law and its generalisation; base noise as a tensor is standard exponential."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.distributions import Pareto

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range, log1mexp
from reparam.pathwise.registry import register
from reparam.special._quadrature import gauss_legendre

_QUANTILE = "quantile transform; Devroye, Non-Uniform Random Variate Generation, 1986"
_NODES, _WEIGHTS = gauss_legendre(8)


@register(Pareto, parameters=("scale", "alpha"), reference=_QUANTILE)
@rounded_once
def pareto(dist: Pareto, noise: BoundNoise) -> Tensor:
    """`scale exp(e / alpha)`; a sample beyond the largest float (41% at alpha = 0.01 in float32) is that float."""
    x = exp_in_range(dist.scale.log() + noise.exponential() / dist.alpha)
    # Rounding may put x one unit below the end of its support, where it has no density; the gradient is x's own.
    return x + (dist.scale - x).detach().clamp(min=0)


def generalized_pareto(dist, noise: BoundNoise) -> Tensor:
    r"""`loc + scale e (exp(c e) - 1) / (c e)`, analytic in the concentration c, zero included."""
    e, c = noise.exponential(), dist.concentration
    x = dist.loc + exp_in_range(dist.scale.log() + e.log() + log_exprel(c * e))
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
    points, weights = _NODES.to(z), _WEIGHTS.to(z)
    near = (torch.exp(torch.where(small, z, 0.0).unsqueeze(-1) * ((points + 1) / 2)) * (weights / 2)).sum(-1)
    far = torch.where(small, 1.0, z)
    size = far.abs()
    return torch.where(small, near.log(), far.clamp(min=0) + log1mexp(size) - size.log())


if hasattr(distributions, "GeneralizedPareto"):  # torch 2.10 or later
    register(distributions.GeneralizedPareto, parameters=("loc", "scale", "concentration"), reference=_QUANTILE)(
        rounded_once(generalized_pareto)
    )
