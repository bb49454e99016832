"""Location and scale: a standard variate, shifted and stretched."""

from __future__ import annotations

import math

import torch
from torch import distributions as td

from cases.row import EULER, Case, itself, t

CASES = [
    Case(
        "Normal",
        td.Normal,
        {"loc": t(0.5, -2.0), "scale": t(2.0, 0.3)},
        {
            "mean": (itself, lambda loc, scale: loc),
            "square": (torch.square, lambda loc, scale: loc**2 + scale**2),
            "wave": (torch.cos, lambda loc, scale: torch.cos(loc) * torch.exp(-(scale**2) / 2)),
        },
    ),
    Case(
        "LogNormal",
        td.LogNormal,
        {"loc": t(0.2, -1.0), "scale": t(0.5, 0.3)},
        {
            "mean": (itself, lambda loc, scale: torch.exp(loc + scale**2 / 2)),
            "log": (torch.log, lambda loc, scale: loc),
            "log square": (lambda x: x.log() ** 2, lambda loc, scale: loc**2 + scale**2),
        },
    ),
    Case(
        "Laplace",
        td.Laplace,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {
            "mean": (itself, lambda loc, scale: loc),
            "square": (torch.square, lambda loc, scale: loc**2 + 2 * scale**2),
            "wave": (torch.cos, lambda loc, scale: torch.cos(loc) / (1 + scale**2)),
        },
    ),
    Case(
        "Uniform",
        td.Uniform,
        {"low": t(-1.0, 2.0), "high": t(0.5, 7.0)},
        {
            "mean": (itself, lambda low, high: (low + high) / 2),
            "square": (torch.square, lambda low, high: (low**2 + low * high + high**2) / 3),
            "wave": (torch.cos, lambda low, high: (high.sin() - low.sin()) / (high - low)),
        },
    ),
    Case(
        "Exponential",
        td.Exponential,
        {"rate": t(0.5, 3.0)},
        {
            "mean": (itself, lambda rate: 1 / rate),
            "square": (torch.square, lambda rate: 2 / rate**2),
            "log": (torch.log, lambda rate: -EULER - rate.log()),
            "wave": (torch.cos, lambda rate: rate**2 / (1 + rate**2)),
        },
    ),
    Case(
        "Gumbel",
        td.Gumbel,
        {"loc": t(0.5, -2.0), "scale": t(0.7, 0.3)},
        {
            "mean": (itself, lambda loc, scale: loc + EULER * scale),
            "square": (torch.square, lambda loc, scale: (loc + EULER * scale) ** 2 + math.pi**2 / 6 * scale**2),
            "laplace": (lambda x: torch.exp(-x), lambda loc, scale: torch.exp(torch.lgamma(1 + scale) - loc)),
        },
    ),
    Case(
        "Cauchy",
        td.Cauchy,
        {"loc": t(0.5, -2.0), "scale": t(1.5, 0.3)},
        {
            "wave": (torch.cos, lambda loc, scale: torch.cos(loc) * torch.exp(-scale)),
            "double wave": (lambda x: torch.sin(2 * x), lambda loc, scale: torch.sin(2 * loc) * torch.exp(-2 * scale)),
        },
    ),
    Case(
        "HalfNormal",
        td.HalfNormal,
        {"scale": t(0.5, 3.0)},
        {
            "mean": (itself, lambda scale: scale * math.sqrt(2 / math.pi)),
            "square": (torch.square, lambda scale: scale**2),
            "log": (torch.log, lambda scale: scale.log() - (EULER + math.log(2)) / 2),
            "wave": (torch.cos, lambda scale: torch.exp(-(scale**2) / 2)),
        },
    ),
    Case(
        "HalfCauchy",
        td.HalfCauchy,
        {"scale": t(0.5, 3.0)},
        {
            "log": (torch.log, lambda scale: scale.log()),
            "log square": (lambda x: x.log() ** 2, lambda scale: scale.log() ** 2 + math.pi**2 / 4),
            "bell": (lambda x: 1 / (1 + x**2), lambda scale: 1 / (1 + scale)),
        },
    ),
]
