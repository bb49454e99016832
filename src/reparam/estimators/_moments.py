"""Means and central moments of discrete laws, as functions of their parameters."""

from __future__ import annotations

from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.estimators._quadratic import quadratic
from reparam.estimators.support import finite_support, support_size
from reparam.estimators.surrogate import widened


def is_discrete(dist: Distribution) -> bool:
    """Whether the values of `dist` are isolated points."""
    try:
        support = dist.support
    except NotImplementedError:
        return False
    return support is not None and support.is_discrete


def mean_of(dist: Distribution) -> Tensor | None:
    """The mean as a function of the parameter that was given, or None where there is none."""
    law = quadratic(dist, widened)
    if law is not None:
        return law.mean
    if type(dist) is td.Categorical:
        return _enumerated(dist, 1)[0]
    try:
        mean = dist.mean
    except NotImplementedError:
        return None
    return mean if mean.shape == dist.batch_shape + dist.event_shape else None


def central_moments(dist: Distribution, highest: int) -> list[Tensor]:
    """The mean and the central moments from the second to the highest, or an empty list where nobody knows them."""
    if dist.event_shape:
        return []
    if highest <= 2 and type(dist) is not td.Categorical:
        try:
            return [widened(dist.mean), widened(dist.variance)]
        except NotImplementedError:
            return []
    return _enumerated(dist, highest) if support_size(dist) is not None else []


def _enumerated(dist: Distribution, highest: int) -> list[Tensor]:
    """In float64 beyond the second, where the equations for a slope lose digits."""
    points, law = finite_support(dist)
    law = law.double() if highest > 2 else widened(law)
    points = points.to(law.dtype)
    mean = (law * points).sum(0)
    return [mean, *((law * (points - mean) ** n).sum(0) for n in range(2, highest + 1))]
