"""Laws on the simplex, their logarithms, and the relaxations of discrete ones."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from cases.row import Case, Moments, itself, t
from reparam.distributions import ExpDirichlet

psi = torch.digamma
CONCENTRATION = t(0.3, 1.2, 2.0)


def _cross(concentration: Tensor) -> Tensor:
    total = concentration.sum()
    return concentration[0] * concentration[2] / (total * (total + 1))


def _mean_log(concentration: Tensor) -> Tensor:
    return psi(concentration) - psi(concentration.sum())


def _mean_log_square(concentration: Tensor) -> Tensor:
    """Of the last component."""
    total = concentration.sum()
    return torch.polygamma(1, concentration[2]) - torch.polygamma(1, total) + _mean_log(concentration)[2] ** 2


def _logistic_moments(statistic, logit_of) -> Moments:
    """Of y = (logit + L) / temperature for standard logistic L, which the statistic recovers from the sample."""

    def square(temperature: Tensor, **p: Tensor) -> Tensor:
        return (logit_of(**p) ** 2 + math.pi**2 / 3) / temperature**2

    def wave(temperature: Tensor, **p: Tensor) -> Tensor:
        turn = math.pi / temperature
        return torch.cos(logit_of(**p) / temperature) * turn / torch.sinh(turn)

    return {
        "mean": (statistic, lambda temperature, **p: logit_of(**p) / temperature),
        "square": (lambda x: statistic(x) ** 2, square),
        "wave": (lambda x: torch.cos(statistic(x)), wave),
    }


def _of_logits(value: Tensor) -> Tensor:
    return value


def _contrast_moments(log_of, logits_of) -> Moments:
    """The difference of two of the Gumbels is logistic; two differences that share one have covariance -pi^2 / 6."""

    def cross(temperature: Tensor, **p: Tensor) -> Tensor:
        a = logits_of(**p)
        return ((a[0] - a[1]) * (a[1] - a[2]) - math.pi**2 / 6) / temperature**2

    def differences(x: Tensor) -> Tensor:
        y = log_of(x)
        return (y[..., 0] - y[..., 1]) * (y[..., 1] - y[..., 2])

    def first(x: Tensor) -> Tensor:
        y = log_of(x)
        return y[..., 0] - y[..., 1]

    one = _logistic_moments(first, lambda **p: logits_of(**p)[0] - logits_of(**p)[1])
    return {**one, "cross": (differences, cross)}


def _relaxed() -> list[Case]:
    rows = []
    for name, value, to_logits in (
        ("probs", torch.sigmoid, torch.logit),
        ("logits", _of_logits, _of_logits),
    ):
        binary = {"temperature": t(0.7, 2.0), name: value(t(0.3, -1.0))}
        rows += [
            Case(
                f"{cls.__name__}-{name}",
                cls,
                binary,
                _logistic_moments(recover, lambda f=to_logits, **p: f(*p.values())),
            )
            for cls, recover in ((LogitRelaxedBernoulli, itself), (td.RelaxedBernoulli, torch.logit))
        ]
    for name, value, to_logits in (
        ("probs", lambda a: torch.softmax(a, -1), torch.log),
        ("logits", _of_logits, _of_logits),
    ):
        several = {"temperature": torch.tensor(0.8, dtype=torch.float64), name: value(t(0.3, -1.0, 0.5))}
        rows += [
            Case(
                f"{cls.__name__}-{name}",
                cls,
                several,
                _contrast_moments(log_of, lambda f=to_logits, **p: f(*p.values())),
                emptiable=False,
            )
            for cls, log_of in ((ExpRelaxedCategorical, itself), (td.RelaxedOneHotCategorical, torch.log))
        ]
    return rows


def _first_logit(x: Tensor) -> Tensor:
    return x[..., 0].log() - torch.log1p(-x[..., 0])


def _second_logit(x: Tensor) -> Tensor:
    return x[..., 1].log() - x[..., 2].log()


CASES = [
    Case(
        "Dirichlet",
        functools.partial(td.Dirichlet, validate_args=False),  # whose check cannot take an empty batch
        {"concentration": CONCENTRATION},
        {
            "cross": (lambda x: x[..., 0] * x[..., 2], _cross),
            "log": (torch.log, _mean_log),
            "log square": (lambda x: x[..., 2].log() ** 2, _mean_log_square),
        },
        path="quantile",
        samples=4_000,
    ),
    Case(
        "ExpDirichlet",
        ExpDirichlet,
        {"concentration": CONCENTRATION},
        {
            "cross of exp": (lambda x: torch.exp(x[..., 0] + x[..., 2]), _cross),
            "mean": (itself, _mean_log),
            "square": (lambda x: x[..., 2] ** 2, _mean_log_square),
        },
        path="quantile",
        samples=4_000,
    ),
    Case(
        "LogisticNormal",
        td.LogisticNormal,
        {"loc": t(0.3, -0.5), "scale": t(0.8, 0.4)},
        {
            "logit": (_first_logit, lambda loc, scale: loc[0] - math.log(2)),
            "square": (lambda x: _first_logit(x) ** 2, lambda loc, scale: (loc[0] - math.log(2)) ** 2 + scale[0] ** 2),
            "cross": (lambda x: _first_logit(x) * _second_logit(x), lambda loc, scale: (loc[0] - math.log(2)) * loc[1]),
        },
    ),
    *_relaxed(),
]
