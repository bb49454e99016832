r"""Rejection samplers on a counter-based stream, in torch operations: the definition that the kernels follow.

Every number of a draw has counters of its own: attempt t looks at the counter (place in the row, row, step, tag) under
the key of attempt t, so that a number depends on where it stands and on its parameters alone. The acceptance tests are
computed in float64, the kernels' in the draw's dtype: a candidate within rounding of its threshold may fall on either
side, about once in :math:`10^7` float32 numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reparam.noise.counter import as_word, philox4x32
from reparam.noise.quantile import exponential_quantile, normal_quantile, uniform_quantile

_WORD = 0xFFFFFFFF
_TWO_WORDS = (1 << 64) - 1
_ATTEMPT = 0xD1342543DE82EF95
_BOOST = _TWO_WORDS

# One attempt: the words of each number, (4, n), and its parameters; candidates, and which of them are kept.
Attempt = Callable[..., tuple[Tensor, Tensor]]


class Counters:
    """The counters of the numbers of one draw, in order.

    Args:
        rows: the row numbers, one for each row of the draw.
        length: numbers in a row.
        seed, step, tag: of the stream.
    """

    def __init__(self, rows: Tensor, length: int, seed: int, step: int | Tensor, tag: int) -> None:
        rows = rows.reshape(-1)
        self.rows = rows.repeat_interleave(length) & _WORD
        self.places = torch.arange(length, device=rows.device).repeat(len(rows))
        self.seed, self.step, self.tag = seed, step, tag

    def words(self, attempt: int, which: Tensor) -> Tensor:
        """The four words of these numbers at this attempt, of shape (4, n)."""
        columns = (self.places[which], self.rows[which], *(as_word(w, which.device) for w in (self.step, self.tag)))
        counters = torch.stack([(column & _WORD).expand(which.shape) for column in columns])
        key = self.seed ^ (attempt * _ATTEMPT & _TWO_WORDS)
        return philox4x32(counters, torch.tensor([key & _WORD, key >> 32], device=which.device))


def first_kept(attempt: Attempt, counters: Counters, parameters: Sequence[Tensor], valid: Tensor) -> Tensor:
    """The first candidate of each number that is kept; NaN where the parameters are out of range."""
    values = torch.full_like(parameters[0], torch.nan)
    pending = valid.nonzero().squeeze(-1)
    for number in itertools.count():
        if not len(pending):
            return values
        candidates, kept = attempt(counters.words(number, pending), *(p[pending] for p in parameters))
        values[pending[kept]] = candidates[kept].to(values.dtype)
        pending = pending[~kept]
    raise AssertionError("the count has no end")


def gamma(counters: Counters, concentration: Tensor) -> Tensor:
    """A standard Gamma variate (Marsaglia and Tsang, ACM TOMS, 2000)."""
    x, log_boost = _gamma_parts(counters, concentration)
    return x * log_boost.exp()


def log_gamma(counters: Counters, concentration: Tensor) -> Tensor:
    """The logarithm of a standard Gamma variate."""
    x, log_boost = _gamma_parts(counters, concentration)
    return x.log() + log_boost


def _gamma_parts(counters: Counters, a: Tensor) -> tuple[Tensor, Tensor]:
    """A variate of concentration a or, below 1, a + 1; then `log(U) / a` (Stuart, 1962)."""
    x = first_kept(_gamma_attempt, counters, [a], (a > 0) & (a < torch.inf))
    boost = counters.words(_BOOST, torch.arange(len(a), device=a.device))
    cells = _cells(boost, a.dtype)[0]
    return x, torch.where(a < 1, -exponential_quantile(cells, a.dtype) / a, 0.0)


def _gamma_attempt(words: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    normal, uniform = _cells(words, a.dtype)
    d = torch.where(a < 1, a + 1, a) - 1 / 3
    y = normal_quantile(normal, a.dtype) / (3 * d.sqrt())
    u, wide, depth = uniform_quantile(uniform, a.dtype).double(), y.double(), d.double()
    log_kept = 3 * depth * (torch.log1p(wide) - wide * (1 - wide * (0.5 - wide / 3)))
    return d * (y + 1) ** 3, (wide > -1) & (u.log() < log_kept)


def _cells(words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The integers of the normal and of the uniform candidate."""
    if dtype == torch.float64:
        return words[0] << 21 | words[1] >> 11, words[2] << 21 | words[3] >> 11
    return words[0], words[1]


def von_mises(counters: Counters, concentration: Tensor) -> Tensor:
    """The angle of a von Mises law at location 0 (Best and Fisher, Applied Statistics, 1979)."""
    valid = (concentration >= 0) & (concentration < torch.inf)
    return first_kept(_von_mises_attempt, counters, [concentration], valid)


def _von_mises_attempt(words: Tensor, concentration: Tensor) -> tuple[Tensor, Tensor]:
    u, v = _uniforms(words)
    kappa = concentration.double()
    # The envelope's constants and 1 - cos(angle), free of cancellation at either end of the concentration.
    r = torch.hypot(torch.ones_like(kappa), 2 * kappa)
    root = (1 + r).sqrt()
    total = root + math.sqrt(2)
    rho = 2 * kappa * root / ((r + 1) * total)
    half = torch.sin(torch.pi / 2 * u) ** 2
    complement = (1 - rho) ** 2 * 2 * half / (1 + rho**2 + 2 * rho * (1 - 2 * half))
    c = (r + 1) * total / (4 * root) * (1 - rho) ** 2 + kappa * complement
    kept = (c * (2 - c) > v) | ((c / v).log() + 1 - c >= 0)
    angle = 2 * torch.asin((complement / 2).clamp(max=1).sqrt())
    return torch.where(words[3] % 2 == 1, angle, -angle), kept


def poisson(counters: Counters, rate: Tensor) -> Tensor:
    """A Poisson count (Hörmann, Insurance: Mathematics and Economics, 1993; below a rate of 10, by inversion)."""
    return first_kept(_poisson_attempt, counters, [rate], (rate >= 0) & (rate < 2**52))


def _poisson_attempt(words: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    u, v = _uniforms(words)
    rate = rate.double()
    small, wide = rate < 10, rate.clamp(min=10)
    by_inversion = _inverted(u, torch.exp(-rate.clamp(max=10)), lambda k: rate / k, torch.full_like(rate, 200))
    b = 0.931 + 2.53 * wide.sqrt()
    a = -0.059 + 0.02483 * b
    centred, us = u - 0.5, 0.5 - (u - 0.5).abs()
    k = torch.floor((2 * a / us + b) * centred + wide + 0.43)
    left = v.log() + (1.1239 + 1.1328 / (b - 3.4)).log() - (a / us**2 + b).log()
    kept = (left <= _log_poisson(k.clamp(min=0), wide)) & (k >= 0) & ((us >= 0.013) | (v <= us))
    kept = kept | ((us >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2)))
    return torch.where(small, by_inversion, k), small | kept


def _log_poisson(k: Tensor, rate: Tensor) -> Tensor:
    """The logarithm of the mass, in the deviation from the mean, which a sum of logarithms would lose."""
    e, many = (k - rate) / rate, k.clamp(min=10)
    r = 1 / many
    correction = r * (1 / 12 - r**2 * (1 / 360 - r**2 * (1 / 1260 - r**2 / 1680)))
    far = -rate * ((1 + e) * torch.log1p(e) - e) - 0.5 * (2 * torch.pi * many).log() - correction
    return torch.where(k < 10, k * rate.log() - rate - torch.lgamma(k + 1), far)


def binomial(counters: Counters, total_count: Tensor, probs: Tensor) -> Tensor:
    """A binomial count (Hörmann, J. Statist. Comput. Simulation, 1993; by inversion below a mean of 10)."""
    whole = (total_count >= 0) & (total_count < 2**52) & (total_count == total_count.floor())
    return first_kept(_binomial_attempt, counters, [total_count, probs], whole & (probs >= 0) & (probs <= 1))


def _binomial_attempt(words: Tensor, total_count: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
    u, v = _uniforms(words)
    n, probs = total_count.double(), probs.double()
    p = torch.where(probs < 0.5, probs, 1 - probs)
    small, odds = n * p < 10, p / (1 - p)
    mass = torch.where(small, torch.exp(n * torch.log1p(-p)), 1.0)
    by_inversion = _inverted(u, mass, lambda k: (n - k + 1) / k * odds, n.clamp(max=200))
    spread = (n * p * (1 - p)).sqrt().clamp(min=2)
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centred, us = u - 0.5, 0.5 - (u - 0.5).abs()
    k = torch.floor((2 * a / us + b) * centred + n * p + 0.5)
    inside = (k >= 0) & (k <= n)
    at, mode = torch.where(inside, k, 0.0), torch.floor((n + 1) * p)
    bound = torch.lgamma(mode + 1) + torch.lgamma(n - mode + 1) - torch.lgamma(at + 1) - torch.lgamma(n - at + 1)
    bound = bound + torch.where(small, 0.0, (at - mode) * odds.log())
    log_v = (v * (2.83 + 5.1 / b) * spread / (a / us**2 + b)).log()
    kept = ((us >= 0.07) & (v <= 0.92 - 4.2 / b)) | (inside & (log_v <= bound))
    k = torch.where(small, by_inversion, k)
    return torch.where(probs < 0.5, k, n - k), small | kept


def _inverted(u: Tensor, mass: Tensor, ratio: Callable[[int], Tensor], most: Tensor) -> Tensor:
    """The count at which the masses, each `ratio(k)` times the one before, add up to u."""
    count = torch.zeros_like(u)
    # Rounding may keep the masses of all counts from reaching u; no uniform lies beyond the 200th at a mean below 10.
    for k in range(1, 201):
        going = (u > mass) & (count < most)
        if not going.any():
            break
        u, count = torch.where(going, u - mass, u), torch.where(going, count + 1, count)
        mass = torch.where(going, mass * ratio(k), mass)
    return count


def _uniforms(words: Tensor) -> tuple[Tensor, Tensor]:
    first = ((words[0] << 21 | words[1] >> 11).double() + 0.5) * 2.0**-53
    return first.clamp(max=1 - 2.0**-53), (words[2].double() + 0.5) * 2.0**-32


LAWS: dict[str, Callable[..., Tensor]] = {
    "gamma": gamma,
    "log_gamma": log_gamma,
    "von_mises": von_mises,
    "poisson": poisson,
    "binomial": binomial,
}
