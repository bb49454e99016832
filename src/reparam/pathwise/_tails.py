"""Both tails and the density of the laws a mixture may have as components, differentiable in x and the parameters.

Near the upper end of a law `1 - F` has no digits left, and the implicit gradient to a mixture's weights is made of
differences of such numbers: so each law says how its upper tail is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.special.bessel import log_reduced_ive
from reparam.special.beta import betainc, betaincc
from reparam.special.gamma import gammainc, gammaincc
from reparam.special.student_t import stdtr
from reparam.special.von_mises import von_mises_cdf


class Tails(NamedTuple):
    """The distribution function, its complement, and the logarithm of the density at a point."""

    lower: Tensor
    upper: Tensor
    log_density: Tensor


def _normal(dist: td.Normal, x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - dist.loc) / dist.scale
    return torch.special.ndtr(z), torch.special.ndtr(-z)


def _log_normal(dist: td.LogNormal, x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x.log() - dist.loc) / dist.scale
    return torch.special.ndtr(z), torch.special.ndtr(-z)


def _student_t(dist: td.StudentT, x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - dist.loc) / dist.scale
    return stdtr(dist.df, z), stdtr(dist.df, -z)


def _gamma(dist: td.Gamma, x: Tensor) -> tuple[Tensor, Tensor]:
    z = dist.rate * x
    return gammainc(dist.concentration, z), gammaincc(dist.concentration, z)


def _inverse_gamma(dist: td.InverseGamma, x: Tensor) -> tuple[Tensor, Tensor]:
    z = dist.rate / x
    return gammaincc(dist.concentration, z), gammainc(dist.concentration, z)


def _beta(dist: td.Beta, x: Tensor) -> tuple[Tensor, Tensor]:
    a, b = dist.concentration1, dist.concentration0
    return betainc(a, b, x), betaincc(a, b, x)


def _exponential(dist: td.Exponential, x: Tensor) -> tuple[Tensor, Tensor]:
    return -torch.expm1(-dist.rate * x), torch.exp(-dist.rate * x)


def _weibull(dist: td.Weibull, x: Tensor) -> tuple[Tensor, Tensor]:
    hazard = (x / dist.scale) ** dist.concentration
    return -torch.expm1(-hazard), torch.exp(-hazard)


def _gumbel(dist: td.Gumbel, x: Tensor) -> tuple[Tensor, Tensor]:
    rate = torch.exp((dist.loc - x) / dist.scale)
    return torch.exp(-rate), -torch.expm1(-rate)


def _laplace(dist: td.Laplace, x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - dist.loc) / dist.scale
    tail = torch.exp(-z.abs()) / 2
    return torch.where(z < 0, tail, 1 - tail), torch.where(z < 0, 1 - tail, tail)


def _cauchy(dist: td.Cauchy, x: Tensor) -> tuple[Tensor, Tensor]:
    z = (x - dist.loc) / dist.scale
    one = torch.ones_like(z)
    return torch.atan2(one, -z) / torch.pi, torch.atan2(one, z) / torch.pi


def _uniform(dist: td.Uniform, x: Tensor) -> tuple[Tensor, Tensor]:
    width = dist.high - dist.low
    return ((x - dist.low) / width).clamp(0, 1), ((dist.high - x) / width).clamp(0, 1)


def _von_mises(dist: td.VonMises, x: Tensor) -> tuple[Tensor, Tensor]:
    # On the line, from the cut at -pi, where the mixture's samples are wrapped: there nothing moves.
    start, here, end = (_unwrapped_cdf(dist, y) for y in (-torch.pi, x, torch.pi))
    return here - start, end - here


def _unwrapped_cdf(dist: td.VonMises, x: Tensor | float) -> Tensor:
    angle = x - dist.loc
    turns = torch.floor((angle.detach() + torch.pi) / (2 * torch.pi))
    inside = (angle - 2 * torch.pi * turns).clamp(-torch.pi, torch.pi)
    return von_mises_cdf(inside, dist.concentration) + turns


def _von_mises_log_density(dist: td.VonMises, x: Tensor) -> Tensor:
    # torch's own rests on polynomials good to seven digits.
    sin2 = torch.sin((x - dist.loc) / 2) ** 2
    return -2 * dist.concentration * sin2 - log_reduced_ive(0, dist.concentration) - math.log(2 * math.pi)


_LAWS: dict[type[Distribution], Callable[..., tuple[Tensor, Tensor]]] = {
    td.Beta: _beta,
    td.Cauchy: _cauchy,
    td.Chi2: _gamma,
    td.Exponential: _exponential,
    td.Gamma: _gamma,
    td.Gumbel: _gumbel,
    td.InverseGamma: _inverse_gamma,
    td.Laplace: _laplace,
    td.LogNormal: _log_normal,
    td.Normal: _normal,
    td.StudentT: _student_t,
    td.Uniform: _uniform,
    td.VonMises: _von_mises,
    td.Weibull: _weibull,
}


def has_tails(cls: type[Distribution]) -> bool:
    """Whether both tails of this class can be computed and differentiated."""
    return cls in _LAWS


def tails(dist: Distribution, x: Tensor) -> Tails:
    """Both tails and the log-density of a univariate `dist` at x."""
    return Tails(*_LAWS[type(dist)](dist, x), log_density(dist, x))


def log_density(dist: Distribution, x: Tensor) -> Tensor:
    """The log-density of a univariate `dist` at x, as `tails` gives it."""
    return _von_mises_log_density(dist, x) if type(dist) is td.VonMises else dist.log_prob(x)


def rebuilt(dist: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """The same law with each parameter passed through `change`, and no validation."""
    changed = {name: change(value) for name, value in parameters(dist).items()}
    return _constructor(dist)(**changed, validate_args=False)


def _constructor(dist: Distribution) -> Callable[..., Distribution]:
    # Not a `cast`, through which the compiler cannot see which class is built.
    return type(dist)


def columns(dist: Distribution) -> list[Distribution]:
    """The laws of the last batch dimension, one by one."""
    cls: Callable[..., Distribution] = type(dist)
    names, values = zip(*parameters(dist).items(), strict=True)
    rows = zip(*(value.unbind(-1) for value in values), strict=True)
    return [cls(**dict(zip(names, row, strict=True)), validate_args=False) for row in rows]


def parameters(dist: Distribution) -> dict[str, Tensor]:
    """The parameters of a univariate law by name, broadcast to its batch shape."""
    names = dist.arg_constraints
    return {name: getattr(dist, name).expand(dist.batch_shape) for name in names}
