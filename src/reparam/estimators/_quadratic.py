r"""The finite-order slopes of the exponential families whose variance is a quadratic function of their mean.

Poisson, Binomial and NegativeBinomial have mean :math:`N z` and variance :math:`N z w` with :math:`w = 1 + a z` and a
of 0, -1 and 1. Their orthogonal polynomials :math:`\Phi_n` (Charlier, Krawtchouk, Meixner) have the generating function
:math:`\sum_n \Phi_n(x) s^n = (1 + w s)^x (1 + a z s)^{-x - a N}` and the norms
:math:`H_n = E[\Phi_n^2] = \frac{(z w)^n}{n!} \prod_{i<n} (N + a i)`.

The least-norm slope of order D is :math:`\sum_{n<D} c_n \Phi_n / H_n`, where :math:`c_n` is what the slope must give
for a cost whose derivative is :math:`\Phi_n`. With the measure-valued identities :math:`\partial_z E f = N E[f(X' + 1)
- f(X')]` and :math:`\partial_N E f = \log w \, E[f(X + J) - f(X)]` (X' of N + a; J of the logarithmic law) these have
generating functions in closed form:

.. math:: \sum_n c_n s^n = \frac{N s}{\log(1 + w s) - \log(1 + a z s)} \ \text{ in z}, \qquad
          \frac{\log(1 + z s)}{\log(1 + w s) - \log(1 + z s)} \ \text{ in N, for } a = 1.

For the Poisson they are Gregory's coefficients 1, 1/2, -1/12, 1/24, ...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators.support import is_logits
from reparam.estimators.surrogate import moved

Wide = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """z, w = 1 + a z to its own last digit, a, and N, of which z and N carry the parameters' derivatives."""

    z: Tensor
    w: Tensor
    a: int
    count: Tensor | float = 1.0

    @property
    def mean(self) -> Tensor:
        """N z."""
        return self.count * self.z

    @property
    def variance(self) -> Tensor:
        """N z w."""
        return self.count * self.z * self.w


def quadratic(dist: Distribution, wide: Wide) -> Quadratic | None:
    """`dist` as a member, in the precision that `wide` converts to, or None where it is none."""
    view = _FAMILIES.get(type(dist))
    return None if view is None else view(dist, wide)


def quadratic_slope(x: Tensor, law: Quadratic, order: int) -> Tensor:
    """The slope at x times the change of z, and of N where it can change: zero, with a derivative."""
    count = law.count.detach() if isinstance(law.count, Tensor) else law.count
    still = Quadratic(law.z.detach(), law.w.detach(), law.a, count)
    polynomials = _scaled_polynomials(x.to(still.z.dtype), still, order)
    in_z = _reciprocal(still, order)
    slope = moved(law.z) * count * _combined(in_z, polynomials)
    if law.a != 1 or not isinstance(law.count, Tensor):
        return slope
    log = [(-1) ** k * still.z ** (k + 1) / (k + 1) for k in range(order)]
    in_count = [_convolved(log, in_z, n) for n in range(order)]
    return slope + moved(law.count) * _combined(in_count, polynomials)


def _scaled_polynomials(x: Tensor, law: Quadratic, order: int) -> list[Tensor]:
    """Phi_n / H_n, n below the order."""
    phi = _by_recurrence(x, law, order)
    if order > 2:
        # Below a variance of one the recurrence takes differences of near neighbours, and above it the sum does.
        pairs = zip(_by_sum(x, law, order), phi, strict=True)
        phi = [torch.where(law.variance < 1, low, high) for low, high in pairs]
    norms = [torch.ones_like(law.z)]
    for n in range(order - 1):
        norms.append(norms[-1] * law.z * law.w * (law.count + law.a * n) / (n + 1))
    return [value / norm for value, norm in zip(phi, norms, strict=True)]


def _by_sum(x: Tensor, law: Quadratic, order: int) -> list[Tensor]:
    """The product of the two binomial series of the generating function."""
    high, low = [torch.ones_like(x)], [torch.ones_like(x)]
    for k in range(order - 1):
        high.append(high[-1] * (x - k) * law.w / (k + 1))
        low.append(-low[-1] * law.z * (law.count + law.a * (x + k)) / (k + 1))
    return [_convolved(high, low, n) for n in range(order)]


def _by_recurrence(x: Tensor, law: Quadratic, order: int) -> list[Tensor]:
    """In three terms, which the generating function's logarithmic derivative gives."""
    phi = [torch.ones_like(x)]
    for n in range(order - 1):
        step = (x - n) - law.mean - 2 * law.a * n * law.z
        drop = law.z * law.w * (law.count + law.a * (n - 1)) * phi[n - 1] if n else 0.0
        phi.append((step * phi[n] - drop) / (n + 1))
    return phi


def _reciprocal(law: Quadratic, order: int) -> list[Tensor]:
    """The coefficients of s / (log(1 + w s) - log(1 + a z s)), where w - a z = 1."""
    low = law.a * law.z
    # (w^(k + 1) - low^(k + 1)) / (w - low), without the difference.
    sums = [torch.ones_like(law.z)]
    for _ in range(1, order):
        sums.append(sums[-1] * law.w + low ** len(sums))
    series = [(-1) ** k * total / (k + 1) for k, total in enumerate(sums)]
    inverse = [torch.ones_like(law.z)]
    for n in range(1, order):
        inverse.append(-_convolved(series[1:], inverse, n - 1))
    return inverse


def _convolved(left: list[Tensor], right: list[Tensor], n: int) -> Tensor:
    return torch.stack([left[k] * right[n - k] for k in range(n + 1)]).sum(0)


def _combined(coefficients: list[Tensor], polynomials: list[Tensor]) -> Tensor:
    total = torch.zeros_like(polynomials[0])
    for coefficient, polynomial in zip(coefficients, polynomials, strict=True):
        total = total + coefficient * polynomial
    return total


def _probabilities(dist: Distribution, wide: Wide) -> tuple[Tensor, Tensor]:
    """P and 1 - p."""
    if is_logits(dist):
        logits = wide(dist.logits)  # type: ignore[attr-defined]  # the families below have either
        return torch.sigmoid(logits), torch.sigmoid(-logits)
    p = wide(dist.probs)  # type: ignore[attr-defined]
    return p, 1 - p


def _poisson(dist: td.Poisson, wide: Wide) -> Quadratic:
    rate = wide(dist.rate)
    return Quadratic(rate, torch.ones_like(rate), 0)


def _bernoulli(dist: td.Bernoulli, wide: Wide) -> Quadratic:
    return Quadratic(*_probabilities(dist, wide), -1)


def _binomial(dist: td.Binomial, wide: Wide) -> Quadratic:
    return Quadratic(*_probabilities(dist, wide), -1, wide(dist.total_count))


def _negative_binomial(dist: td.NegativeBinomial, wide: Wide) -> Quadratic:
    p, q = _probabilities(dist, wide)
    odds = wide(dist.logits).exp() if is_logits(dist) else p / q
    return Quadratic(odds, 1 + odds, 1, wide(dist.total_count))


def _geometric(dist: td.Geometric, wide: Wide) -> Quadratic:
    p, q = _probabilities(dist, wide)
    odds = wide(-dist.logits).exp() if is_logits(dist) else q / p
    return Quadratic(odds, 1 + odds, 1)


_FAMILIES: dict[type[Distribution], Callable[..., Quadratic]] = {
    td.Bernoulli: _bernoulli,
    td.Binomial: _binomial,
    td.Geometric: _geometric,
    td.NegativeBinomial: _negative_binomial,
    td.Poisson: _poisson,
}
