"""Normals that are bent, squashed or cut, and the triangle."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, Moments, itself, over_interval, over_normal, t
from reparam.distributions import JohnsonSU, SinhArcsinh, TanhNormal, Triangular, Truncated, TruncatedNormal


def _through_normal(transform) -> Moments:
    """Moments of a transform of a standard normal variate, which has its own last place."""

    def expectation(statistic):
        return lambda **p: over_normal(lambda z: statistic(transform(z, **{k: v.unsqueeze(-1) for k, v in p.items()})))

    return {
        name: (statistic, expectation(statistic))
        for name, statistic in (("mean", itself), ("square", torch.square), ("wave", torch.cos))
    }


def _within(density) -> Moments:
    """Moments on [low, high] of a density known up to a factor."""

    def expectation(statistic):
        def exact(low: Tensor, high: Tensor, **p: Tensor) -> Tensor:
            inner = {k: v.unsqueeze(-1) for k, v in p.items()}
            return over_interval(statistic, lambda x: density(x, **inner), low, high)

        return exact

    return {
        name: (statistic, expectation(statistic))
        for name, statistic in (("mean", itself), ("square", torch.square), ("wave", torch.cos))
    }


def _sinh_arcsinh(z: Tensor, loc: Tensor, scale: Tensor, skewness: Tensor, tailweight: Tensor) -> Tensor:
    unit = 2 * scale / torch.sinh(tailweight * math.asinh(2.0))
    return loc + unit * torch.sinh((torch.asinh(z) + skewness) * tailweight)


def _triangle_wave(low: Tensor, high: Tensor, peak: Tensor) -> Tensor:
    sides = (high - peak) * low.cos() - (high - low) * peak.cos() + (peak - low) * high.cos()
    return -2 * sides / ((high - low) * (peak - low) * (high - peak))


CASES = [
    Case(
        "JohnsonSU",
        JohnsonSU,
        {"skewness": t(0.3, -1.0), "tailweight": t(2.0, 4.0), "loc": t(0.5, -2.0), "scale": t(1.5, 0.5)},
        _through_normal(
            lambda z, skewness, tailweight, loc, scale: loc + scale * torch.sinh((z - skewness) / tailweight)
        ),
    ),
    Case(
        "SinhArcsinh",
        SinhArcsinh,
        {"loc": t(0.5, -2.0), "scale": t(0.7, 0.5), "skewness": t(0.2, -0.4), "tailweight": t(0.7, 1.2)},
        _through_normal(_sinh_arcsinh),
    ),
    Case(
        "TanhNormal",
        TanhNormal,
        {"loc": t(0.3, -1.0), "scale": t(0.7, 0.4), "low": t(-1.0, 2.0), "high": t(1.5, 7.0)},
        _through_normal(lambda z, loc, scale, low, high: low + (high - low) * (1 + torch.tanh(loc + scale * z)) / 2),
    ),
    Case(
        "TruncatedNormal",
        TruncatedNormal,
        {"loc": t(0.5, 0.0), "scale": t(2.0, 0.3), "low": t(-1.0, 1.5), "high": t(2.5, 2.0)},
        _within(lambda x, loc, scale: torch.exp(-(((x - loc) / scale) ** 2) / 2)),
    ),
    Case(
        "Truncated-Weibull",
        lambda low, high, scale, concentration: Truncated(td.Weibull(scale, concentration), low, high),
        {"low": t(0.2, 1.0), "high": t(1.5, 5.0), "scale": t(0.8, 3.0), "concentration": t(1.5, 3.0)},
        _within(lambda x, scale, concentration: x ** (concentration - 1) * torch.exp(-((x / scale) ** concentration))),
    ),
    Case(
        "Triangular",
        Triangular,
        {"low": t(-1.0, 2.0), "high": t(0.5, 7.0), "peak": t(0.2, 3.0)},
        {
            "mean": (itself, lambda low, high, peak: (low + high + peak) / 3),
            "square": (
                torch.square,
                lambda low, high, peak: (low**2 + high**2 + peak**2 + low * high + low * peak + high * peak) / 6,
            ),
            "wave": (torch.cos, _triangle_wave),
        },
    ),
]
