"""Matrices: Wishart and its inverse, matrix normal, and the Cholesky factor of a correlation matrix."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, Moments, t
from cases.vector import SPD, from_tril, symmetric
from reparam.distributions import InverseWishart, MatrixNormal

SAMPLES = 4_000
WEIGHT = t((0.7, -0.4), (0.2, 0.5))
HALVES = t(0.0, 0.5)


def _det(x: Tensor) -> Tensor:
    return x[..., 0, 0] * x[..., 1, 1] - x[..., 0, 1] * x[..., 1, 0]


def _cross(df: Tensor, s: Tensor) -> Tensor:
    """E W00 W01 of a Wishart: E[W_ij W_kl] = n^2 S_ij S_kl + n (S_ik S_jl + S_il S_jk)."""
    return df * (df + 2) * s[0, 0] * s[0, 1]


def _wishart_moments(scale: Callable[..., Tensor]) -> Moments:
    def log_det(df: Tensor, **p: Tensor) -> Tensor:
        return torch.digamma(df / 2 - HALVES).sum() + 2 * math.log(2) + _det(scale(**p)).log()

    return {
        "cross": (lambda x: x[..., 0, 0] * x[..., 0, 1], lambda df, **p: _cross(df, scale(**p))),
        "log det": (lambda x: _det(x).log(), log_det),
    }


def _inverse_wishart_moments(scale: Callable[..., Tensor]) -> Moments:
    """Of the inverse, a Wishart of the inverse scale."""

    def log_det(df: Tensor, **p: Tensor) -> Tensor:
        return _det(scale(**p)).log() - torch.digamma(df / 2 - HALVES).sum() - 2 * math.log(2)

    return {
        "mean": (lambda x: x, lambda df, **p: scale(**p) / (df - 3)),
        "cross of the inverse": (
            lambda x: -x[..., 1, 1] * x[..., 0, 1] / _det(x) ** 2,
            lambda df, **p: _cross(df, torch.linalg.inv(scale(**p))),
        ),
        "log det": (lambda x: _det(x).log(), log_det),
    }


def _matrix_wave(loc: Tensor, row_scale_tril: Tensor, column_scale_tril: Tensor) -> Tensor:
    spread = (row_scale_tril.mT @ WEIGHT @ column_scale_tril).square().sum()
    return torch.cos((WEIGHT * loc).sum()) * torch.exp(-spread / 2)


def _matrix_cross(loc: Tensor, row_scale_tril: Tensor, column_scale_tril: Tensor) -> Tensor:
    rows, columns = from_tril(row_scale_tril), from_tril(column_scale_tril)
    return loc[0, 0] * loc[1, 1] + rows[0, 1] * columns[0, 1]


def _corner(factor: Tensor) -> Tensor:
    """The correlation of the last two of three variables."""
    return (factor[..., 2, :] * factor[..., 1, :]).sum(-1)


def _mean_log_gap(concentration: Tensor) -> Tensor:
    """E log(1 - rho^2), with (1 + rho) / 2 ~ Beta(h, h) and h = concentration + 1/2 in three dimensions."""
    half = concentration + 0.5
    return math.log(4) + 2 * (torch.digamma(half) - torch.digamma(2 * half))


CASES = [
    *(
        Case(
            f"Wishart-{name}",
            functools.partial(td.Wishart, validate_args=False),
            {"df": torch.tensor(4.5, dtype=torch.float64), name: value},
            _wishart_moments(scale),
            path="quantile",
            samples=SAMPLES,
            unmapped=("df",),
        )
        for name, value, scale in (
            ("covariance_matrix", SPD, lambda covariance_matrix: symmetric(covariance_matrix)),
            ("precision_matrix", SPD, lambda precision_matrix: torch.linalg.inv(symmetric(precision_matrix))),
            ("scale_tril", torch.linalg.cholesky(SPD), from_tril),
        )
    ),
    *(
        Case(
            f"InverseWishart-{name}",
            functools.partial(InverseWishart, validate_args=False),
            {"df": torch.tensor(14.0, dtype=torch.float64), name: value},
            _inverse_wishart_moments(scale),
            path="quantile",
            samples=SAMPLES,
        )
        for name, value, scale in (
            ("scale_tril", torch.linalg.cholesky(SPD), from_tril),
            ("scale_matrix", SPD, lambda scale_matrix: symmetric(scale_matrix)),
        )
    ),
    Case(
        "MatrixNormal",
        functools.partial(MatrixNormal, validate_args=False),
        {
            "loc": t((0.5, -1.0), (0.3, 0.8)),
            "row_scale_tril": torch.linalg.cholesky(SPD),
            "column_scale_tril": t((0.7, 0.0), (0.9, 1.1)),
        },
        {
            "cross": (lambda x: x[..., 0, 0] * x[..., 1, 1], _matrix_cross),
            "wave": (lambda x: torch.cos((WEIGHT * x).sum((-2, -1))), _matrix_wave),
        },
    ),
    Case(
        "LKJCholesky",
        functools.partial(td.LKJCholesky, 3, validate_args=False),
        {"concentration": torch.tensor(1.3, dtype=torch.float64)},
        {
            "square": (lambda x: _corner(x) ** 2, lambda concentration: 1 / (2 * concentration + 2)),
            "log": (lambda x: torch.log1p(-(_corner(x) ** 2)), _mean_log_gap),
        },
        path="moments",
        samples=SAMPLES,
        emptiable=False,
    ),
]
