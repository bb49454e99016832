r"""Central moments of univariate discrete laws as functions of their parameters, in float64, without cancellation.

Poisson, Binomial and NegativeBinomial are exponential families whose variance is a quadratic function of the mean: with
:math:`V(z) = z (1 + a z)` their cumulants are :math:`\kappa_1 = N z`, :math:`\kappa_{n+1} = V \, d\kappa_n / dz`, so
that :math:`\kappa_n = N\, V(z)\, R_n(z)` with polynomials :math:`R_n` of small integer coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators.support import finite_support, is_logits, support_size

Family = tuple[Tensor, Tensor, int, Tensor | float]
"""z, 1 + a z, a, and N."""


def mean_of(dist: Distribution) -> Tensor | None:
    """The mean as a function of the parameter that was given, or None where there is none."""
    family = _FAMILIES.get(type(dist))
    if family is not None:
        z, _, _, count = family(dist)
        return count * z
    if type(dist) is td.Categorical:
        return central_moments(dist, 1)[0]
    try:
        mean = dist.mean
    except NotImplementedError:
        return None
    return mean if mean.shape == dist.batch_shape + dist.event_shape else None


def central_moments(dist: Distribution, highest: int) -> list[Tensor]:
    """The mean and the central moments from the second to the highest, or an empty list where nobody knows them."""
    if dist.event_shape:
        return []
    family = _FAMILIES.get(type(dist))
    if family is not None:
        return _of_cumulants(_cumulants(*family(dist), highest))
    if highest <= 2 and type(dist) is not td.Categorical:
        return _declared(dist)
    return _enumerated(dist, highest) if support_size(dist) is not None else []


def _declared(dist: Distribution) -> list[Tensor]:
    try:
        return [dist.mean.double(), dist.variance.double()]
    except NotImplementedError:
        return []


def _enumerated(dist: Distribution, highest: int) -> list[Tensor]:
    points, law = (x.double() for x in finite_support(dist))
    mean = (law * points).sum(0)
    return [mean, *((law * (points - mean) ** n).sum(0) for n in range(2, highest + 1))]


def _cumulants(z: Tensor, w: Tensor, a: int, count: Tensor | float, highest: int) -> list[Tensor]:
    cumulants, polynomial = [count * z], [1]
    for _ in range(2, highest + 1):
        value = torch.zeros_like(z)
        for coefficient in reversed(polynomial):
            value = value * z + coefficient
        cumulants.append(count * z * w * value)
        polynomial = _next(polynomial, a)
    return cumulants


def _next(polynomial: list[int], a: int) -> list[int]:
    """V' R + V R', of coefficients from the constant upwards."""
    grown = [0] * (len(polynomial) + 1)
    for k, coefficient in enumerate(polynomial):
        grown[k] += (k + 1) * coefficient
        grown[k + 1] += (k + 2) * a * coefficient
    return grown if a else grown[:-1]


def _of_cumulants(cumulants: list[Tensor]) -> list[Tensor]:
    """Central moments: mu_n is the sum over k of binomial(n - 1, k) kappa_(n - k) mu_k, where mu_1 = 0."""
    mean = cumulants[0]
    moments = [torch.ones_like(mean), torch.zeros_like(mean)]
    for n in range(2, len(cumulants) + 1):
        terms = [math.comb(n - 1, k) * cumulants[n - k - 1] * moments[k] for k in range(n - 1)]
        moments.append(torch.stack(terms).sum(0))
    return [mean, *moments[2:]]


def _probabilities(dist: Distribution) -> tuple[Tensor, Tensor]:
    """P and 1 - p."""
    if is_logits(dist):
        logits = dist.logits.double()  # type: ignore[attr-defined]  # the families below have either
        return torch.sigmoid(logits), torch.sigmoid(-logits)
    p = dist.probs.double()  # type: ignore[attr-defined]
    return p, 1 - p


def _poisson(dist: td.Poisson) -> Family:
    rate = dist.rate.double()
    return rate, torch.ones_like(rate), 0, 1.0


def _bernoulli(dist: td.Bernoulli) -> Family:
    return (*_probabilities(dist), -1, 1.0)


def _binomial(dist: td.Binomial) -> Family:
    return (*_probabilities(dist), -1, dist.total_count.double())


def _negative_binomial(dist: td.NegativeBinomial) -> Family:
    p, q = _probabilities(dist)
    odds = dist.logits.double().exp() if is_logits(dist) else p / q
    return odds, 1 + odds, 1, dist.total_count.double()


def _geometric(dist: td.Geometric) -> Family:
    p, q = _probabilities(dist)
    odds = (-dist.logits.double()).exp() if is_logits(dist) else q / p
    return odds, 1 + odds, 1, 1.0


_FAMILIES: dict[type[Distribution], Callable[..., Family]] = {
    td.Bernoulli: _bernoulli,
    td.Binomial: _binomial,
    td.Geometric: _geometric,
    td.NegativeBinomial: _negative_binomial,
    td.Poisson: _poisson,
}
