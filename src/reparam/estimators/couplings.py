r"""The derivative of one site's law as a difference of two laws that are sampled together.

For counts the two laws are one, shifted by a step. With X' of the shifted law named below,

=====================  ===============================================================  ========================
law                    derivative of E[f(X)]                                            X'
=====================  ===============================================================  ========================
Poisson, rate          :math:`E[f(X+1) - f(X)]`                                         X itself
Binomial, p            :math:`n\, E[f(X'+1) - f(X')]`                                   Binomial(n - 1, p)
Geometric, p           :math:`-p^{-2}\, E[f(X'+1) - f(X')]`                             the sum of two of them
NegativeBinomial, p    :math:`r (1-p)^{-2}\, E[f(X'+1) - f(X')]`                        r + 1 failures
NegativeBinomial, r    :math:`-\log(1-p)\, E[f(X+J) - f(X)]`                            J of a logarithmic series
Multinomial, p         :math:`n \sum_c dp_c\, E[f(X'+e_c)]`                             n - 1 trials
=====================  ===============================================================  ========================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators.score import log_ratio
from reparam.estimators.slope import slope
from reparam.estimators.support import is_logits
from reparam.kernels.implicit import watched
from reparam.noise import NoiseSource
from reparam.pathwise.sampling import sample, unit_vector


@dataclasses.dataclass(frozen=True)
class Move:
    """One evaluation of the cost beside the draw.

    Attributes:
        parameter: of shape `(*batch_shape)`, or broadcasting to the slope.
        point: the site's value there, of shape `(S, *batch_shape, *event_shape)`.
        slope: the derivative of that point's weight in the parameter, of shape `(S, *batch_shape)`; the draw itself has
            minus that. Carries the magic box of the law it is drawn from.
    """

    parameter: Tensor
    point: Tensor
    slope: Tensor


@dataclasses.dataclass(frozen=True)
class Coupling:
    """Draws of a site, and the moves beside each.

    Attributes:
        base: draws of the law, of shape `(S, *batch_shape, *event_shape)`.
        moves: what they are compared with.
        curvature: what is missing from the second derivative on of the draw's own weight, or None if nothing is.
    """

    base: Tensor
    moves: list[Move]
    curvature: Tensor | None = None


Couple = Callable[..., Coupling]


def _given(dist: Distribution) -> Tensor:
    return dist.logits if is_logits(dist) else dist.probs  # pyright: ignore[reportAttributeAccessIssue]


def _name(dist: Distribution) -> str:
    return "logits" if is_logits(dist) else "probs"


def _per_probability(dist: Distribution) -> Tensor:
    """How far p moves when the parameter that was given moves, without loss of digits where p is nearly 1."""
    theta = _given(dist)
    return torch.sigmoid(theta) * torch.sigmoid(-theta) if is_logits(dist) else torch.ones_like(theta)


def _box(dist: Distribution, points: Tensor) -> Tensor:
    ratio = log_ratio(dist, points)
    return points.new_ones(points.shape[: points.dim() - len(dist.event_shape)]) if ratio is None else ratio.exp()


def poisson(dist: td.Poisson, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """One event more."""
    x = sample(dist, draws, noise)
    return Coupling(x, [Move(dist.rate, x + 1, _box(dist, x))] if watched([dist.rate]) else [])


def binomial(dist: td.Binomial, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """The last trial reversed."""
    theta, n = _given(dist), dist.total_count
    fewer = td.Binomial((n - 1).clamp(min=0), **{_name(dist): theta}, validate_args=False)
    others = sample(fewer, draws, noise)
    last = sample(td.Bernoulli(**{_name(dist): theta}, validate_args=False), draws, noise)
    base, flipped = torch.minimum(others + last, n), torch.minimum(others + 1 - last, n)
    if not watched([theta]):
        return Coupling(base, [])
    change = n * (1 - 2 * last) * _per_probability(dist) * _box(fewer, others)
    return Coupling(base, [Move(theta, flipped, change)])


def bernoulli(dist: td.Bernoulli, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """The other value."""
    theta = _given(dist)
    b = sample(dist, draws, noise)
    moves = [Move(theta, 1 - b, (1 - 2 * b) * _per_probability(dist))] if watched([theta]) else []
    return Coupling(b, moves)


def geometric(dist: td.Geometric, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """The failures before the second success, and one failure more."""
    theta = _given(dist)
    x = sample(dist, draws, noise)
    if not watched([theta]):
        return Coupling(x, [])
    longer = x + sample(dist, draws, noise)
    if is_logits(dist):
        scale, law = -torch.exp(-theta), td.NegativeBinomial(2.0, logits=-theta, validate_args=False)
    else:
        scale, law = -theta.pow(-2), td.NegativeBinomial(2.0, probs=1 - theta, validate_args=False)
    change = scale * _box(law, longer)
    return Coupling(x, [Move(theta, longer + 1, change), Move(theta, longer, -change)])


def negative_binomial(dist: td.NegativeBinomial, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """In p: one more waiting time, and a step beyond. In the number of failures r: a step of a logarithmic series."""
    theta, r = _given(dist), dist.total_count
    x = sample(dist, draws, noise)
    moves: list[Move] = []
    if watched([theta]):
        if is_logits(dist):
            wait, scale = td.Geometric(logits=-theta, validate_args=False), torch.exp(theta)
        else:
            wait, scale = td.Geometric(probs=1 - theta, validate_args=False), (1 - theta).pow(-2)
        longer = x + sample(wait, draws, noise)
        change = r * scale * _box(td.NegativeBinomial(r + 1, **{_name(dist): theta}, validate_args=False), longer)
        moves += [Move(theta, longer + 1, change), Move(theta, longer, -change)]
    if watched([r]):
        moves.append(_more_failures(dist, x, draws, noise))
    return Coupling(x, moves)


def _more_failures(dist: td.NegativeBinomial, x: Tensor, draws: torch.Size, noise: NoiseSource) -> Move:
    # The series' law is a room that `rsample` and `expect` of other families never enter.
    from reparam.distributions import LogarithmicSeries

    theta = _given(dist)
    jumps = LogarithmicSeries(**{_name(dist): theta}, validate_args=False)
    jump = sample(jumps, draws, noise)
    scale = torch.nn.functional.softplus(theta) if is_logits(dist) else -torch.log1p(-theta)
    return Move(dist.total_count, x + jump, scale * _box(jumps, jump) * _box(dist, x))


def categorical(dist: td.Categorical, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """Every other category."""
    x = sample(dist, draws, noise)
    return Coupling(x, _other_categories(dist, x, lambda new: new, torch.ones_like(x, dtype=dist.probs.dtype)))


def one_hot(dist: td.OneHotCategorical, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """Every other category, as a unit vector."""
    size = dist.event_shape[0]
    x = sample(dist, draws, noise)

    def unit(index: Tensor) -> Tensor:
        return unit_vector(index, size).to(x.dtype)

    return Coupling(x, _other_categories(dist, x.argmax(-1), unit, torch.ones_like(x[..., 0])))


def multinomial(dist: td.Multinomial, draws: torch.Size, noise: NoiseSource) -> Coupling:
    """The last trial, moved to every other category."""
    n, size = dist.total_count, dist.event_shape[0]
    if n == 0:
        return Coupling(torch.zeros_like(dist.probs).expand(*draws, *dist.probs.shape), [])
    one = td.Categorical(probs=dist.probs.detach(), validate_args=False)
    last = sample(one, draws, noise)
    others = torch.zeros_like(dist.probs)
    if n > 1:
        others = sample(td.Multinomial(n - 1, probs=dist.probs.detach(), validate_args=False), draws, noise)

    def unit(index: Tensor) -> Tensor:
        return others + unit_vector(index, size).to(others.dtype)

    box = torch.ones_like(dist.probs[..., 0]).expand(*draws, *dist.batch_shape)
    if n > 1 and watched([dist.probs]):
        box = _box(td.Multinomial(n - 1, logits=dist.logits, validate_args=False), others)
    return Coupling(unit(last), _other_categories(dist, last, unit, n * box))


def _other_categories(dist: Distribution, last: Tensor, point: Callable[[Tensor], Tensor], slope: Tensor) -> list[Move]:
    probs: Tensor = dist.probs  # pyright: ignore[reportAttributeAccessIssue]
    if not watched([probs]):
        return []
    size = probs.shape[-1]
    moves: list[Move] = []
    for step in range(1, size):
        new = (last + step) % size
        chance = probs.expand(*last.shape, size).gather(-1, new.unsqueeze(-1)).squeeze(-1)
        # A category that stays impossible when the parameters move has no slope, and the cost need not know it.
        new = torch.where(chance.detach() == 0, last, new)
        moves.append(Move(chance, point(new), slope))
    return moves


def normal(dist: td.Normal, draws: torch.Size, noise: NoiseSource) -> Coupling:
    r"""Two Rayleigh steps apart for the location, a double-sided Maxwell variate against the normal for the scale.

    .. math:: \partial_\mu E f = \frac{E[f(\mu + \sigma R) - f(\mu - \sigma R)]}{\sigma \sqrt{2\pi}}, \qquad
              \partial_\sigma E f = \frac{E[f(\mu + \sigma M) - f(\mu + \sigma M U)]}{\sigma}

    with U uniform, so that the product M U is standard normal and serves as the draw.
    """
    loc, scale = dist.loc.detach(), dist.scale.detach()
    shape, dtype, device = (*draws, *loc.shape), loc.dtype, loc.device
    square = sum(noise.normal(shape, dtype, device).square() for _ in range(3))
    sign = torch.where(noise.uniform(shape, dtype, device) < 0.5, -1.0, 1.0).to(dtype)
    maxwell = torch.as_tensor(square).sqrt() * sign
    base = loc + scale * maxwell * noise.uniform(shape, dtype, device)
    moves: list[Move] = []
    if watched([dist.loc]):
        step = scale * (2 * noise.exponential(shape, dtype, device)).sqrt()
        change = torch.ones_like(step) / (scale * (2 * torch.pi) ** 0.5)
        moves += [Move(dist.loc, loc + step, change), Move(dist.loc, loc - step, -change)]
    if watched([dist.scale]):
        moves.append(Move(dist.scale, loc + scale * maxwell, torch.ones_like(base) / scale))
    return Coupling(base, moves, _curvature(dist, base) if moves else None)


def _curvature(dist: td.Normal, x: Tensor) -> Tensor:
    """The draw's magic box without its value and first derivative: the moves' laws have no scores of finite variance.

    So from the second derivative on in one site, the estimate is that of the score function.
    """
    ratio = log_ratio(dist, x)
    assert ratio is not None
    z = (x - dist.loc.detach()) / dist.scale.detach()
    first = slope(dist.loc, z / dist.scale.detach()) + slope(dist.scale, (z.square() - 1) / dist.scale.detach())
    return torch.expm1(ratio) - first


COUPLINGS: dict[type[Distribution], Couple] = {
    td.Bernoulli: bernoulli,
    td.Binomial: binomial,
    td.Categorical: categorical,
    td.Geometric: geometric,
    td.Multinomial: multinomial,
    td.NegativeBinomial: negative_binomial,
    td.Normal: normal,
    td.OneHotCategorical: one_hot,
    td.OneHotCategoricalStraightThrough: one_hot,
    td.Poisson: poisson,
}


def count_moves(dist: Distribution) -> int:
    """How many points stand beside each draw of a site: for parameters that need a gradient, or all if none does."""
    if isinstance(dist, (td.Categorical, td.OneHotCategorical, td.Multinomial)):
        return dist.param_shape[-1] - 1
    if isinstance(dist, td.Normal):
        moves = {dist.loc: 2, dist.scale: 1}
    elif isinstance(dist, td.NegativeBinomial):
        moves = {_given(dist): 2, dist.total_count: 1}
    else:
        return 2 if isinstance(dist, td.Geometric) else 1
    needed = [n for parameter, n in moves.items() if parameter.requires_grad]
    return sum(needed or moves.values())
