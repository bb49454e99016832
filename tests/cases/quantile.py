"""Laws drawn by their quantile function."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import EULER, Case, Moments, itself, t


def _gamma_of(x: Tensor) -> Tensor:
    return torch.exp(torch.lgamma(x))


def _kumaraswamy_power(n: int, a: Tensor, b: Tensor) -> Tensor:
    return b * torch.exp(torch.lgamma(1 + n / a) + torch.lgamma(b) - torch.lgamma(1 + n / a + b))


def _bernoulli_moments(logit_of) -> Moments:
    """Of the density s e^(s x) / (e^s - 1) on (0, 1)."""

    def mean(**parameters: Tensor) -> Tensor:
        s = logit_of(**parameters)
        return -1 / torch.expm1(-s) - 1 / s

    def square(**parameters: Tensor) -> Tensor:
        s = logit_of(**parameters)
        return -1 / torch.expm1(-s) - 2 / s * mean(**parameters)

    def wave(**parameters: Tensor) -> Tensor:
        s = logit_of(**parameters)
        one = torch.ones_like(s)
        return s * (s.exp() * (s * one.cos() + one.sin()) - s) / ((s**2 + 1) * torch.expm1(s))

    return {"mean": (itself, mean), "square": (torch.square, square), "wave": (torch.cos, wave)}


CASES = [
    Case(
        "Weibull",
        td.Weibull,
        {"scale": t(0.5, 3.0), "concentration": t(1.3, 4.0)},
        {
            "mean": (itself, lambda scale, concentration: scale * _gamma_of(1 + 1 / concentration)),
            "square": (torch.square, lambda scale, concentration: scale**2 * _gamma_of(1 + 2 / concentration)),
            "log": (torch.log, lambda scale, concentration: scale.log() - EULER / concentration),
        },
    ),
    Case(
        "Pareto",
        td.Pareto,
        {"scale": t(0.5, 3.0), "alpha": t(0.7, 5.0)},
        {
            "log": (torch.log, lambda scale, alpha: scale.log() + 1 / alpha),
            "log square": (
                lambda x: x.log() ** 2,
                lambda scale, alpha: (scale.log() + 1 / alpha) ** 2 + 1 / alpha**2,
            ),
            "inverse": (lambda x: 1 / x, lambda scale, alpha: alpha / (scale * (alpha + 1))),
        },
    ),
    Case(
        "Kumaraswamy",
        td.Kumaraswamy,
        {"concentration1": t(0.6, 2.0), "concentration0": t(1.5, 0.7)},
        {
            "mean": (
                itself,
                lambda concentration1, concentration0: _kumaraswamy_power(1, concentration1, concentration0),
            ),
            "square": (
                torch.square,
                lambda concentration1, concentration0: _kumaraswamy_power(2, concentration1, concentration0),
            ),
            "log": (
                torch.log,
                lambda concentration1, concentration0: -(EULER + torch.digamma(1 + concentration0)) / concentration1,
            ),
        },
    ),
    Case(
        "ContinuousBernoulli-probs",
        td.ContinuousBernoulli,
        {"probs": t(0.2, 0.52, 0.9)},
        _bernoulli_moments(lambda probs: torch.logit(probs)),
    ),
    Case(
        "ContinuousBernoulli-logits",
        lambda logits: td.ContinuousBernoulli(logits=logits),
        {"logits": t(-1.5, 0.08, 3.0)},
        _bernoulli_moments(lambda logits: logits),
    ),
]

if hasattr(td, "GeneralizedPareto"):  # torch has it from 2.10 on
    CASES.append(
        Case(
            "GeneralizedPareto",
            td.GeneralizedPareto,
            {"loc": t(0.5, -1.0, 0.0), "scale": t(0.5, 3.0, 1.0), "concentration": t(-0.3, 0.05, 0.0)},
            {
                "mean": (itself, lambda loc, scale, concentration: loc + scale / (1 - concentration)),
                "square": (
                    torch.square,
                    lambda loc, scale, concentration: (
                        (loc + scale / (1 - concentration)) ** 2
                        + scale**2 / ((1 - concentration) ** 2 * (1 - 2 * concentration))
                    ),
                ),
            },
        )
    )
