"""The table: every continuous distribution with parameter points and exact moments. Adding a row adds its tests."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch import distributions as td

Moments = Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]]
EULER = 0.5772156649015329


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Case:
    """One distribution at one parameter point.

    `moments` maps a name to a statistic of the sample and its exact expectation as a function of the parameters.
    """

    name: str
    make: Callable[..., td.Distribution]
    parameters: Mapping[str, Tensor]
    moments: Moments


def _square(x: Tensor) -> Tensor:
    return x * x


def _transformed_normal(loc: Tensor, scale: Tensor, shift: Tensor, stretch: Tensor) -> td.Distribution:
    return td.TransformedDistribution(td.Normal(loc, scale), [td.AffineTransform(shift, stretch), td.ExpTransform()])


def _mvn_moments(covariance: Callable[..., Tensor]) -> Moments:
    def cross(loc: Tensor, **kw: Tensor) -> Tensor:
        return covariance(**kw)[0, 1] + loc[0] * loc[1]

    def wave(loc: Tensor, **kw: Tensor) -> Tensor:
        a = t(0.7, -0.4)
        return torch.cos(a @ loc) * torch.exp(-(a @ covariance(**kw) @ a) / 2)

    return {
        "cross": (lambda x: x[..., 0] * x[..., 1], cross),
        "wave": (lambda x: torch.cos(x @ t(0.7, -0.4)), wave),
    }


_SPD = t((1.5, 0.4), (0.4, 0.8))

LOCATION_SCALE = [
    Case(
        "Normal",
        td.Normal,
        {"loc": t(0.5, -2.0), "scale": t(2.0, 0.3)},
        {
            "mean": (lambda x: x, lambda loc, scale: loc),
            "square": (_square, lambda loc, scale: loc**2 + scale**2),
            "wave": (torch.cos, lambda loc, scale: torch.cos(loc) * torch.exp(-(scale**2) / 2)),
        },
    ),
    Case(
        "LogNormal",
        td.LogNormal,
        {"loc": t(0.2, -1.0), "scale": t(0.5, 0.3)},
        {
            "mean": (lambda x: x, lambda loc, scale: torch.exp(loc + scale**2 / 2)),
            "log": (torch.log, lambda loc, scale: loc),
            "log square": (lambda x: x.log() ** 2, lambda loc, scale: loc**2 + scale**2),
        },
    ),
    Case(
        "Laplace",
        td.Laplace,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {
            "mean": (lambda x: x, lambda loc, scale: loc),
            "square": (_square, lambda loc, scale: loc**2 + 2 * scale**2),
            "wave": (torch.cos, lambda loc, scale: torch.cos(loc) / (1 + scale**2)),
        },
    ),
    Case(
        "Uniform",
        td.Uniform,
        {"low": t(-1.0, 2.0), "high": t(0.5, 7.0)},
        {
            "mean": (lambda x: x, lambda low, high: (low + high) / 2),
            "square": (_square, lambda low, high: (low**2 + low * high + high**2) / 3),
            "wave": (torch.cos, lambda low, high: (high.sin() - low.sin()) / (high - low)),
        },
    ),
    Case(
        "Exponential",
        td.Exponential,
        {"rate": t(0.5, 3.0)},
        {
            "mean": (lambda x: x, lambda rate: 1 / rate),
            "square": (_square, lambda rate: 2 / rate**2),
            "log": (torch.log, lambda rate: -EULER - rate.log()),
            "wave": (torch.cos, lambda rate: rate**2 / (1 + rate**2)),
        },
    ),
    Case(
        "Gumbel",
        td.Gumbel,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {
            "mean": (lambda x: x, lambda loc, scale: loc + EULER * scale),
            "square": (_square, lambda loc, scale: (loc + EULER * scale) ** 2 + math.pi**2 / 6 * scale**2),
        },
    ),
    Case(
        "Cauchy",
        td.Cauchy,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {"wave": (torch.cos, lambda loc, scale: torch.cos(loc) * torch.exp(-scale))},
    ),
]

MULTIVARIATE_NORMAL = [
    Case(
        f"MultivariateNormal-{name}",
        # torch's own check of a matrix looks at values and cannot run under vmap.
        functools.partial(td.MultivariateNormal, validate_args=False),
        {"loc": t(0.5, -1.0), name: value},
        _mvn_moments(covariance),
    )
    for name, value, covariance in (
        ("covariance_matrix", _SPD, lambda covariance_matrix: (covariance_matrix + covariance_matrix.mT) / 2),
        # The derivative is along symmetric matrices: torch factorises the lower triangle of a symmetric argument.
        (
            "precision_matrix",
            _SPD,
            lambda precision_matrix: torch.linalg.inv((precision_matrix + precision_matrix.mT) / 2),
        ),
        ("scale_tril", torch.linalg.cholesky(_SPD), lambda scale_tril: scale_tril @ scale_tril.mT),
    )
]

COMPOSITE = [
    Case(
        "Independent",
        lambda loc, scale: td.Independent(td.Normal(loc, scale), 1),
        {"loc": t(0.5, -2.0), "scale": t(2.0, 0.3)},
        {"square of sum": (lambda x: x.sum(-1) ** 2, lambda loc, scale: loc.sum() ** 2 + (scale**2).sum())},
    ),
    Case(
        "TransformedDistribution",
        _transformed_normal,
        {"loc": t(0.1), "scale": t(0.4), "shift": t(-0.3), "stretch": t(0.8)},
        {
            "mean": (
                lambda x: x,
                lambda loc, scale, shift, stretch: torch.exp(shift + stretch * loc + (stretch * scale) ** 2 / 2),
            ),
            "log square": (
                lambda x: x.log() ** 2,
                lambda loc, scale, shift, stretch: (shift + stretch * loc) ** 2 + (stretch * scale) ** 2,
            ),
        },
    ),
]

CASES = [*LOCATION_SCALE, *MULTIVARIATE_NORMAL, *COMPOSITE]
