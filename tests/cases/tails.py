"""Tails heavier or lighter than a normal's, and the circle: implicit in a shape that has no quantile."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, itself, over_line, t
from reparam.distributions import GeneralizedNormal, HalfStudentT, InverseGaussian
from reparam.special import stdtr, von_mises_cdf

SAMPLES = 4_000


def _line_wave(cls):
    """E cos x under a density of the line, which the class's own log_prob states."""

    def wave(**parameters: Tensor) -> Tensor:
        law = cls(**{name: value.unsqueeze(-1) for name, value in parameters.items()})
        return over_line(torch.cos, lambda x: law.log_prob(x).exp())

    return wave


def _generalized_wave(loc: Tensor, scale: Tensor, power: Tensor) -> Tensor:
    """By the trapezoidal rule in log |z|, where |z|^power is smooth at its centre too."""
    v = torch.linspace(-40, 4, 2001, dtype=torch.float64)
    z, (spread, shape) = v.exp(), (p.unsqueeze(-1) for p in (scale, power))
    mass = torch.exp(-(z**shape) - torch.lgamma(1 + 1 / shape)) * z
    return loc.cos() * (torch.cos(spread * z) * mass).sum(-1) * (v[1] - v[0])


def _half_student_mean(df: Tensor, scale: Tensor) -> Tensor:
    ratio = torch.exp(torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2))
    return 2 * scale * torch.sqrt(df / math.pi) * ratio / (df - 1)


def _half_student_log(df: Tensor, scale: Tensor) -> Tensor:
    half = torch.full_like(df, 0.5)
    return scale.log() + (df.log() + torch.digamma(half) - torch.digamma(df / 2)) / 2


def _laplace_of_inverse_gaussian(loc: Tensor, concentration: Tensor) -> Tensor:
    return torch.exp(concentration / loc * (1 - torch.sqrt(1 + 2 * loc**2 / concentration)))


def _length(concentration: Tensor) -> Tensor:
    return torch.special.i1e(concentration) / torch.special.i0e(concentration)


def _double_length(concentration: Tensor) -> Tensor:
    return 1 - 2 * _length(concentration) / concentration


def _circle_cdf(x: Tensor, loc: Tensor, concentration: Tensor) -> Tensor:
    return von_mises_cdf(torch.remainder(x - loc + math.pi, 2 * math.pi) - math.pi, concentration)


CASES = [
    Case(
        "StudentT",
        td.StudentT,
        {"df": t(9.0, 30.0), "loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {
            "mean": (itself, lambda df, loc, scale: loc),
            "square": (torch.square, lambda df, loc, scale: loc**2 + scale**2 * df / (df - 2)),
            "wave": (torch.cos, _line_wave(td.StudentT)),
        },
        path="cdf",
        cdf=lambda x, df, loc, scale: stdtr(df, (x - loc) / scale),
        samples=SAMPLES,
    ),
    Case(
        "HalfStudentT",
        HalfStudentT,
        {"df": t(9.0, 30.0), "scale": t(1.5, 0.3)},
        {
            "mean": (itself, _half_student_mean),
            "square": (torch.square, lambda df, scale: scale**2 * df / (df - 2)),
            "log": (torch.log, _half_student_log),
        },
        path="cdf",
        cdf=lambda x, df, scale: 2 * stdtr(df, x / scale) - 1,
        samples=SAMPLES,
    ),
    Case(
        "GeneralizedNormal",
        GeneralizedNormal,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3), "power": t(1.3, 5.0)},
        {
            "mean": (itself, lambda loc, scale, power: loc),
            "square": (
                torch.square,
                lambda loc, scale, power: (
                    loc**2 + scale**2 * torch.exp(torch.lgamma(3 / power) - torch.lgamma(1 / power))
                ),
            ),
            "wave": (torch.cos, _generalized_wave),
        },
        path="cdf",
        samples=SAMPLES,
    ),
    Case(
        "InverseGaussian",
        InverseGaussian,
        {"loc": t(1.3, 0.4), "concentration": t(2.0, 5.0)},
        {
            "mean": (itself, lambda loc, concentration: loc),
            "square": (torch.square, lambda loc, concentration: loc**2 + loc**3 / concentration),
            "inverse": (lambda x: 1 / x, lambda loc, concentration: 1 / loc + 1 / concentration),
            "laplace": (lambda x: torch.exp(-x), _laplace_of_inverse_gaussian),
        },
        path="cdf",
        samples=SAMPLES,
    ),
    Case(
        "VonMises",
        td.VonMises,
        {"loc": t(0.4, -1.0, 2.0), "concentration": t(0.5, 3.0, 100.0)},
        {
            "cosine": (torch.cos, lambda loc, concentration: loc.cos() * _length(concentration)),
            "sine": (torch.sin, lambda loc, concentration: loc.sin() * _length(concentration)),
            "double cosine": (
                lambda x: torch.cos(2 * x),
                lambda loc, concentration: torch.cos(2 * loc) * _double_length(concentration),
            ),
        },
        path="cdf",
        cdf=_circle_cdf,
        samples=SAMPLES,
    ),
]
