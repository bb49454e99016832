"""Distribution functions and quantiles of torch's classes, where torch's own lose digits in a tail or a gradient.

The first table is of standard laws that are symmetric about 0, whose lower tails are right in relative terms. In the
second, torch cuts a removable singularity out, a logit or a concentration of 0, and its gradient there is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributions
from torch.distributions import Cauchy, ContinuousBernoulli, Distribution, Laplace, Normal

from reparam.distributions._normal import ndtr
from reparam.pathwise._tails import tails
from reparam.pathwise.continuous_bernoulli import mean_slope
from reparam.pathwise.pareto import log_exprel
from reparam.special._quadrature import nodes, unit_rule

_RULE = unit_rule(8)


def _laplace_cdf(z: Tensor) -> Tensor:
    half = 0.5 * torch.exp(-z.abs())
    return torch.where(z < 0, half, 1 - half)


def _laplace_icdf(p: Tensor) -> Tensor:
    half = 2 * torch.minimum(p, 1 - p)
    return torch.where(p < 0.5, half.log(), -half.log())


def _cauchy_cdf(z: Tensor) -> Tensor:
    # The angle from the nearer vertical, which atan(z) + pi / 2 loses in the tail.
    tail = torch.atan2(torch.ones_like(z), z.abs()) / torch.pi
    return torch.where(z < 0, tail, 1 - tail)


def _cauchy_icdf(p: Tensor) -> Tensor:
    return -1 / torch.tan(torch.pi * torch.where(p < 0.5, p, p - 1))


SYMMETRIC = {
    Normal: (ndtr, torch.special.ndtri),
    Laplace: (_laplace_cdf, _laplace_icdf),
    Cauchy: (_cauchy_cdf, _cauchy_icdf),
}
"""The standardised distribution function, right in relative terms in the lower tail, and the quantile function."""


def _continuous_bernoulli_cdf(dist: ContinuousBernoulli, x: Tensor) -> Tensor:
    return tails(dist, x).lower


def _continuous_bernoulli_icdf(dist: ContinuousBernoulli, p: Tensor) -> Tensor:
    return mean_slope(torch.logit(p), dist.logits)


def _generalized_pareto_cdf(dist, x: Tensor) -> Tensor:
    return -torch.expm1(-_log1p_ratio(dist.concentration, (x - dist.loc) / dist.scale))


def _generalized_pareto_icdf(dist, p: Tensor) -> Tensor:
    e = -torch.log1p(-p)
    return dist.loc + dist.scale * e * torch.exp(log_exprel(dist.concentration * e))


def _log1p_ratio(c: Tensor, y: Tensor) -> Tensor:
    r""":math:`\log(1 + c y) / c = \int_0^1 y / (1 + c y t) dt`, by Gauss and Legendre's rule where c y is small."""
    z = c * y
    small = z.abs() < 0.5
    points, weights = nodes(_RULE, z)
    near = torch.where(small, z, 0.0).unsqueeze(-1)
    integral = y * (weights / (1 + near * points)).sum(-1)
    return torch.where(small, integral, torch.log1p(torch.where(small, 1.0, z)) / torch.where(small, 1.0, c))


SINGULAR: dict[type[Distribution], tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    ContinuousBernoulli: (_continuous_bernoulli_cdf, _continuous_bernoulli_icdf),
}
"""The distribution function and the quantile function, each of the distribution and a number."""

if hasattr(distributions, "GeneralizedPareto"):  # torch 2.10 or later
    SINGULAR[distributions.GeneralizedPareto] = (_generalized_pareto_cdf, _generalized_pareto_icdf)
