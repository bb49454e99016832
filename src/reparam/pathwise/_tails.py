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

from reparam.pathwise.pareto import log_exprel
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


def _inverse_gamma_log_density(dist: td.InverseGamma, x: Tensor) -> Tensor:
    # torch's own goes back through its transforms, whose slope leaves the floats as the square of x does.
    a, rate = dist.concentration, dist.rate
    return a * rate.log() - torch.lgamma(a) - (a + 1) * x.log() - rate / x


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


def _half_normal(dist: td.HalfNormal, x: Tensor) -> tuple[Tensor, Tensor]:
    z = x / dist.scale
    return torch.erf(z * math.sqrt(0.5)), torch.erfc(z * math.sqrt(0.5))


def _half_cauchy(dist: td.HalfCauchy, x: Tensor) -> tuple[Tensor, Tensor]:
    z = x / dist.scale
    one = torch.ones_like(z)
    return 2 * torch.atan2(z, one) / torch.pi, 2 * torch.atan2(one, z) / torch.pi


def _kumaraswamy(dist: td.Kumaraswamy, x: Tensor) -> tuple[Tensor, Tensor]:
    log_upper = dist.concentration0 * torch.log(-torch.expm1(dist.concentration1 * x.log()))
    return -torch.expm1(log_upper), torch.exp(log_upper)


def _kumaraswamy_log_density(dist: td.Kumaraswamy, x: Tensor) -> Tensor:
    # torch's own goes back through its transforms, and loses what is left of 1 - x.
    a, b = dist.concentration1, dist.concentration0
    return a.log() + b.log() + (a - 1) * x.log() + (b - 1) * torch.log(-torch.expm1(a * x.log()))


def _continuous_bernoulli(dist: td.ContinuousBernoulli, x: Tensor) -> tuple[Tensor, Tensor]:
    z, y = dist.logits, 1 - x
    below = x * torch.exp(log_exprel(z * x) - log_exprel(z))
    return below, y * torch.exp(log_exprel(-z * y) - log_exprel(-z))


def _continuous_bernoulli_log_density(dist: td.ContinuousBernoulli, x: Tensor) -> Tensor:
    return dist.logits * x - log_exprel(dist.logits)


def _fisher_snedecor(dist: td.FisherSnedecor, x: Tensor) -> tuple[Tensor, Tensor]:
    a, b = dist.df1 / 2, dist.df2 / 2
    below, above = dist.df1 * x, dist.df2
    low_side = below < above
    share = torch.where(low_side, below, above) / (below + above)
    # Of a Beta variate and of one minus it, only the smaller has digits left far from the middle.
    nearer = betainc(torch.where(low_side, a, b), torch.where(low_side, b, a), share)
    return torch.where(low_side, nearer, 1 - nearer), torch.where(low_side, 1 - nearer, nearer)


def _pareto(dist: td.Pareto, x: Tensor) -> tuple[Tensor, Tensor]:
    log_upper = dist.alpha * (dist.scale / x).clamp(max=1).log()
    return -torch.expm1(log_upper), torch.exp(log_upper)


def _pareto_log_density(dist: td.Pareto, x: Tensor) -> Tensor:
    log_density = dist.alpha.log() + dist.alpha * (dist.scale / x).log() - x.log()
    return torch.where(x < dist.scale, -torch.inf, log_density)


def _uniform_log_density(dist: td.Uniform, x: Tensor) -> Tensor:
    # torch's own gives the upper end no density, and a sample may round to it.
    outside = (x < dist.low) | (x > dist.high)
    return torch.where(outside, -torch.inf, -(dist.high - dist.low).log())


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
    td.ContinuousBernoulli: _continuous_bernoulli,
    td.Exponential: _exponential,
    td.FisherSnedecor: _fisher_snedecor,
    td.Gamma: _gamma,
    td.Gumbel: _gumbel,
    td.HalfCauchy: _half_cauchy,
    td.HalfNormal: _half_normal,
    td.InverseGamma: _inverse_gamma,
    td.Kumaraswamy: _kumaraswamy,
    td.Laplace: _laplace,
    td.LogNormal: _log_normal,
    td.Normal: _normal,
    td.Pareto: _pareto,
    td.StudentT: _student_t,
    td.Uniform: _uniform,
    td.VonMises: _von_mises,
    td.Weibull: _weibull,
}
_LOG_DENSITIES: dict[type[Distribution], Callable[..., Tensor]] = {
    td.ContinuousBernoulli: _continuous_bernoulli_log_density,
    td.InverseGamma: _inverse_gamma_log_density,
    td.Kumaraswamy: _kumaraswamy_log_density,
    td.Pareto: _pareto_log_density,
    td.Uniform: _uniform_log_density,
    td.VonMises: _von_mises_log_density,
}
_ENDS_MOVE: set[type[Distribution]] = {td.Pareto, td.Uniform}
_IN_FLOAT64: set[type[Distribution]] = {
    # Their samples reach where the density, or the square of a sample, is no float32.
    td.FisherSnedecor,
    td.InverseGamma,
    td.LogNormal,
    td.Pareto,
    td.StudentT,
    td.Weibull,
}


def register_cdf(*classes: type[Distribution], ends_move: bool = False) -> None:
    r"""Let mixtures of these univariate classes carry a gradient to their weights, by their own `cdf` and `log_prob`.

    .. math:: dx = -\sum_k (dw_k F_k(x) + w_k\, dF_k(x)) / \sum_k w_k p_k(x)

    Both are differentiated, and taken in float64, where one minus the distribution function keeps enough digits; so
    `cls(**parameters, validate_args=False)` must build the distribution from what `arg_constraints` names, and outside
    its support `cdf` must be 0 or 1 and `log_prob` minus infinity.

    Args:
        classes: univariate classes of distributions.
        ends_move: whether the ends of the support are the parameters `low` and `high`, so that a mixture's quantile may
            jump; its weights then have a gradient only for one coordinate whose supports are seen to overlap.

    Example:
        >>> import torch, reparam as rp
        >>> from torch.distributions import Categorical, MixtureSameFamily, Normal
        >>> class Shifted(Normal):
        ...     pass
        >>> @rp.register(Shifted)
        ... def shifted(dist, noise):
        ...     return dist.loc + dist.scale * noise.normal()
        >>> register_cdf(Shifted)
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> components = Shifted(torch.tensor([0.0, 1.0]), 1.0)
        >>> x = rp.rsample(MixtureSameFamily(Categorical(logits=logits), components))
        >>> bool((torch.autograd.grad(x, logits)[0] != 0).all())
        True
    """
    for cls in classes:
        _LAWS[cls] = _by_cdf
        _IN_FLOAT64.add(cls)
        if ends_move:
            _ENDS_MOVE.add(cls)


def _by_cdf(dist: Distribution, x: Tensor) -> tuple[Tensor, Tensor]:
    lower = dist.cdf(x)
    return lower, 1 - lower


def has_tails(cls: type[Distribution]) -> bool:
    """Whether both tails of this class can be computed and differentiated."""
    return cls in _LAWS


def ends_move(dist: Distribution) -> bool:
    """Whether an end of the support, where the density jumps, is a parameter."""
    return type(dist) in _ENDS_MOVE


def in_float64(dist: Distribution) -> bool:
    """Whether the tails and the density are taken in float64, whatever the dtype of the parameters."""
    return type(dist) in _IN_FLOAT64


def tails(dist: Distribution, x: Tensor) -> Tails:
    """Both tails and the log-density of a univariate `dist` at x."""
    return Tails(*_LAWS[type(dist)](dist, x), log_density(dist, x))


def log_density(dist: Distribution, x: Tensor) -> Tensor:
    """The log-density of a univariate `dist` at x, as `tails` gives it."""
    own = _LOG_DENSITIES.get(type(dist))
    return dist.log_prob(x) if own is None else own(dist, x)


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
    # Of two parameters that say the same, a constructor takes one.
    names = ("logits",) if isinstance(dist, td.ContinuousBernoulli) else dist.arg_constraints
    return {name: getattr(dist, name).expand(dist.batch_shape) for name in names}
