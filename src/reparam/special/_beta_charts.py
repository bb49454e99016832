r"""The pathwise derivative of a Beta variate's logit by the kernels' formulas, in a fraction of its integral's time.

At large first concentrations, whatever the second, by trivariate polynomials; at small ones and in far tails by the
continued fraction of the distribution function, differentiated; at the ends of the floats by the integral of
:mod:`reparam.special._beta_tail`, with which all of these agree to rounding.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reparam.kernels.beta_table import CHARTS
from reparam.special import _beta_tail as tail
from reparam.special._beta_pieces import digamma_difference
from reparam.special._regions import Formula, Polynomial, by_regions

# Of the fraction: steps, and by how much each must shrink the error halfway down, where its numerators are positive,
# and where they are negative, there the first steps do more.
_DEPTHS = ((9, 0.03, 0.035), (14, 0.075, 0.15), (22, 0.2, 0.3), (36, 0.37, 0.45))


def dlogit_dconcentration1(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """The derivative of u = logit x in a at fixed probability, without a derivative."""
    return by_regions(_region_of, _FORMULAS, a, b, u)


def _region_of(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    total, x, y = a + b, torch.sigmoid(u), torch.sigmoid(-u)
    lower = _from_below(a, b, x, y)
    region = torch.full_like(a, len(_FORMULAS) - 1, dtype=torch.int64)
    fraction = (a > 1e-150) & (b > 1e-150) & (total < 1e12) & (x > 0)
    for k, depth in reversed(list(enumerate(_DEPTHS))):
        fraction = fraction & _converges(lower, a, b, x, y, *depth)
        region = torch.where(fraction, k, region)
    ell = torch.log(x * (total / a))
    for k, chart in enumerate(_CHARTS, start=len(_DEPTHS)):
        here = chart.concerns(a) & chart.reaches(ell) & (b > 1e-150) & (total < 1e150)
        region = torch.where(here, k, region)
    return region


def _from_below(a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Whether the distribution function is counted from below: in a tail that tail's, near the centre at x <= 1/2."""
    low, high = x * (b + 0.5), y * (a + 0.5)
    gap, total = 2 * (low - high), low + high
    right = gap > 0  # the two flanks differ: exponential, of rate a and b, and Gaussian or Gumbel
    rate_a, rate_b = torch.where(right, a + 1, a), torch.where(right, b, b + 1)
    central = gap * gap * rate_a * rate_b < (rate_a + rate_b) * total * total
    return torch.where(central, x <= y, ~right)


def _oriented(lower: Tensor, a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (torch.where(lower, a, b), torch.where(lower, b, a), torch.where(lower, x, y), torch.where(lower, y, x))


def _converges(
    lower: Tensor, a: Tensor, b: Tensor, x: Tensor, y: Tensor, steps: int, rate: float, rate_below: float
) -> Tensor:
    """Whether so many steps are enough: a step shrinks the error by r where d / c^2 is r/(1-r)^2 or -r/(1+r)^2."""
    p, q, x, y = _oriented(lower, a, b, x, y)
    p, m = p + 1, 0.5 * steps
    divisor, left = p + (2 * m - 1), q - m
    t = m * x * (left + torch.copysign(torch.ones_like(left), left))  # no smaller where q - m changes sign
    c = (p * y - (q - 1) * x + 2 * m) * divisor + 2 * t
    share = t * ((p + q - 1) * x * divisor - t) / (c * c)
    return (share <= rate / (1 - rate) ** 2) & (share >= -rate_below / (1 + rate_below) ** 2)


def _fraction(p: Tensor, q: Tensor, x: Tensor, y: Tensor, raised: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    r"""The ratio of distribution function and density of the logit, and its derivative in p where `raised`, else in q.

    With :math:`t_m = m (q - m) x / (p + 2m - 1)` it is :math:`1 / (c_0 + d_1 / (c_1 + d_2 / (c_2 + \dots)))`,
    :math:`c_m = p (1 - x) - (q - 1) x + 2m + t_m + t_{m+1}` and :math:`d_m = t_m ((p + q - 1) x - t_m)`, run backwards
    as a quotient of two solutions of its recurrence.
    """
    reach, start, start_slope = (p + q - 1) * x, p * y - (q - 1) * x, torch.where(raised, y, -x)
    t, t_slope = _term(p, q, x, raised, steps + 1)
    above = above_slope = below_slope = torch.zeros_like(x)
    below = torch.ones_like(x)
    for m in range(steps, -1, -1):
        low, low_slope = _term(p, q, x, raised, m)
        c, c_slope = (start + 2 * m) + (low + t), start_slope + (low_slope + t_slope)
        d, d_slope = t * (reach - t), t_slope * (reach - 2 * t) + t * x
        following = c * below + d * above
        following_slope = c * below_slope + (d * above_slope + (c_slope * below + d_slope * above))
        above, above_slope, below, below_slope = below, below_slope, following, following_slope
        t, t_slope = low, low_slope
    value = above / below
    return value, (above_slope - value * below_slope) / below


def _term(p: Tensor, q: Tensor, x: Tensor, raised: Tensor, m: int) -> tuple[Tensor, Tensor]:
    inverse = 1 / (p + (2 * m - 1))
    share = x * m * inverse
    low = share * (q - m)
    return low, torch.where(raised, -low * inverse, share)


def _by_fraction(steps: int, a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """The fraction at p + 1 and one step of a recurrence to p, where the terms for small p would cancel."""
    x, y, total = torch.sigmoid(u), torch.sigmoid(-u), a + b
    lower = _from_below(a, b, x, y)
    p, q, here, rest = _oriented(lower, a, b, x, y)
    value, slope = _fraction(p + 1, q, here, rest, lower, steps)
    score = logsigmoid(u) + digamma_difference(torch.where(lower, p + 1, q), torch.where(lower, q, p))
    product = total * here
    below = 1 / total - score - product * (score * value + slope)
    above = score * (product * value + 1) + here * (total * slope + value)
    return torch.where(lower, below, above) / p


def _by_chart(chart: Polynomial, a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    total, x = a + b, torch.sigmoid(u)
    share = a / total
    return chart(1 / a, share, torch.log(x / share)) / (a + total * x)


_CHARTS = [Polynomial(chart) for chart in CHARTS]
_FORMULAS: list[Formula] = [
    *(functools.partial(_by_fraction, steps) for steps, _, _ in _DEPTHS),
    *(functools.partial(_by_chart, chart) for chart in _CHARTS),
    tail.dlogit_dconcentration1,
]
