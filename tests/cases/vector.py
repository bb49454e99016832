"""Vectors: the multivariate normal under each parameterisation, and Student's t."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, Moments, over_line, t
from reparam.distributions import MultivariateStudentT

DIRECTION = t(0.7, -0.4)
SPD = t((1.5, 0.4), (0.4, 0.8))


def symmetric(matrix: Tensor) -> Tensor:
    """The derivative is along symmetric matrices: torch factorises the lower triangle of a symmetric argument."""
    return (matrix + matrix.mT) / 2


def product(x: Tensor) -> Tensor:
    return x[..., 0] * x[..., 1]


def wave(x: Tensor) -> Tensor:
    return torch.cos(x @ DIRECTION)


def _normal_moments(covariance: Callable[..., Tensor]) -> Moments:
    def cross(loc: Tensor, **p: Tensor) -> Tensor:
        return covariance(**p)[0, 1] + loc[0] * loc[1]

    def wave_of(loc: Tensor, **p: Tensor) -> Tensor:
        return torch.cos(DIRECTION @ loc) * torch.exp(-(DIRECTION @ covariance(**p) @ DIRECTION) / 2)

    return {"cross": (product, cross), "wave": (wave, wave_of)}


def _student_moments(covariance: Callable[..., Tensor]) -> Moments:
    def cross(df: Tensor, loc: Tensor, **p: Tensor) -> Tensor:
        return covariance(**p)[0, 1] * df / (df - 2) + loc[0] * loc[1]

    def wave_of(df: Tensor, loc: Tensor, **p: Tensor) -> Tensor:
        along = td.StudentT(df, DIRECTION @ loc, (DIRECTION @ covariance(**p) @ DIRECTION).sqrt())
        return over_line(torch.cos, lambda x: along.log_prob(x).exp())

    return {"cross": (product, cross), "wave": (wave, wave_of)}


def from_tril(scale_tril: Tensor) -> Tensor:
    return scale_tril @ scale_tril.mT


def _low_rank(cov_factor: Tensor, cov_diag: Tensor) -> Tensor:
    return cov_factor @ cov_factor.mT + torch.diag(cov_diag)


# torch's own check of a matrix looks at values and cannot run under vmap.
CASES = [
    *(
        Case(
            f"MultivariateNormal-{name}",
            functools.partial(td.MultivariateNormal, validate_args=False),
            {"loc": t(0.5, -1.0), name: value},
            _normal_moments(covariance),
        )
        for name, value, covariance in (
            ("covariance_matrix", SPD, lambda covariance_matrix: symmetric(covariance_matrix)),
            ("precision_matrix", SPD, lambda precision_matrix: torch.linalg.inv(symmetric(precision_matrix))),
            ("scale_tril", torch.linalg.cholesky(SPD), from_tril),
        )
    ),
    Case(
        "LowRankMultivariateNormal",
        functools.partial(td.LowRankMultivariateNormal, validate_args=False),
        {"loc": t(0.5, -1.0), "cov_factor": t((0.8,), (-0.5,)), "cov_diag": t(0.3, 0.6)},
        _normal_moments(_low_rank),
    ),
    *(
        Case(
            f"MultivariateStudentT-{name}",
            functools.partial(MultivariateStudentT, validate_args=False),
            {"df": torch.tensor(9.0, dtype=torch.float64), "loc": t(0.5, -1.0), name: value},
            _student_moments(covariance),
            path="quantile",
            samples=4_000,
        )
        for name, value, covariance in (
            ("scale_tril", torch.linalg.cholesky(SPD), from_tril),
            ("scale_matrix", SPD, lambda scale_matrix: symmetric(scale_matrix)),
        )
    ),
]
