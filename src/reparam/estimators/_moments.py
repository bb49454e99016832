r"""Central moments of univariate discrete laws as functions of their parameters, without cancellation.

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
from reparam.estimators.surrogate import widened

Wide = Callable[[Tensor], Tensor]
Family = tuple[Tensor, Tensor, int, Tensor | float]
"""z, 1 + a z, a, and N."""


def mean_of(dist: Distribution) -> Tensor | None:
    """The mean as a function of the parameter that was given, or None where there is none."""
    family = _FAMILIES.get(type(dist))
    if family is not None:
        z, _, _, count = family(dist, widened)
        return count * z
    if type(dist) is td.Categorical:
        return central_moments(dist, 1)[0]
    try:
        mean = dist.mean
    except NotImplementedError:
        return None
    return mean if mean.shape == dist.batch_shape + dist.event_shape else None


def is_discrete(dist: Distribution) -> bool:
    """Whether the values of `dist` are isolated points."""
    try:
        support = dist.support
    except NotImplementedError:
        return False
    return support is not None and support.is_discrete


def central_moments(dist: Distribution, highest: int) -> list[Tensor]:
    """The mean and the central moments from the second to the highest, or an empty list where nobody knows them.

    In float32 at least, and beyond the second in float64.
    """
    wide = torch.Tensor.double if highest > 2 else widened
    if dist.event_shape:
        return []
    family = _FAMILIES.get(type(dist))
    if family is not None:
        return _of_cumulants(_cumulants(*family(dist, wide), highest))
    if highest <= 2 and type(dist) is not td.Categorical:
        return _declared(dist)
    return _enumerated(dist, wide, highest) if support_size(dist) is not None else []


def _declared(dist: Distribution) -> list[Tensor]:
    try:
        return [widened(dist.mean), widened(dist.variance)]
    except NotImplementedError:
        return []


def _enumerated(dist: Distribution, wide: Wide, highest: int) -> list[Tensor]:
    points, law = finite_support(dist)
    law = wide(law)
    points = points.to(law.dtype)
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


def _probabilities(dist: Distribution, wide: Wide) -> tuple[Tensor, Tensor]:
    """P and 1 - p."""
    if is_logits(dist):
        logits = wide(dist.logits)  # type: ignore[attr-defined]  # the families below have either
        return torch.sigmoid(logits), torch.sigmoid(-logits)
    p = wide(dist.probs)  # type: ignore[attr-defined]
    return p, 1 - p


def _poisson(dist: td.Poisson, wide: Wide) -> Family:
    rate = wide(dist.rate)
    return rate, torch.ones_like(rate), 0, 1.0


def _bernoulli(dist: td.Bernoulli, wide: Wide) -> Family:
    return (*_probabilities(dist, wide), -1, 1.0)


def _binomial(dist: td.Binomial, wide: Wide) -> Family:
    return (*_probabilities(dist, wide), -1, wide(dist.total_count))


def _negative_binomial(dist: td.NegativeBinomial, wide: Wide) -> Family:
    p, q = _probabilities(dist, wide)
    odds = wide(dist.logits).exp() if is_logits(dist) else p / q
    return odds, 1 + odds, 1, wide(dist.total_count)


def _geometric(dist: td.Geometric, wide: Wide) -> Family:
    p, q = _probabilities(dist, wide)
    odds = wide(-dist.logits).exp() if is_logits(dist) else q / p
    return odds, 1 + odds, 1, 1.0


_FAMILIES: dict[type[Distribution], Callable[..., Family]] = {
    td.Bernoulli: _bernoulli,
    td.Binomial: _binomial,
    td.Geometric: _geometric,
    td.NegativeBinomial: _negative_binomial,
    td.Poisson: _poisson,
}
