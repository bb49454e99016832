"""Gamma and Beta, and the laws that are one of them in disguise."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, itself, t
from reparam.distributions import ExpGamma, LogitBeta
from reparam.special import betainc, gammainc, gammaincc

psi = torch.digamma
SAMPLES = 4_000


def trigamma(x: Tensor) -> Tensor:
    return torch.polygamma(1, x)


def _gamma_wave(concentration: Tensor, rate: Tensor) -> Tensor:
    return (1 + rate**-2) ** (-concentration / 2) * torch.cos(concentration * torch.atan(1 / rate))


def _beta_square(concentration1: Tensor, concentration0: Tensor) -> Tensor:
    total = concentration1 + concentration0
    return concentration1 * (concentration1 + 1) / (total * (total + 1))


def _log_odds(df1: Tensor, df2: Tensor) -> Tensor:
    return psi(df1 / 2) - psi(df2 / 2) + (df2 / df1).log()


def _fisher_cdf(x: Tensor, df1: Tensor, df2: Tensor) -> Tensor:
    return betainc(df1 / 2, df2 / 2, df1 * x / (df1 * x + df2))


CASES = [
    Case(
        "Gamma",
        td.Gamma,
        {"concentration": t(0.2, 5.0, 300.0), "rate": t(2.0, 0.7, 30.0)},
        {
            "mean": (itself, lambda concentration, rate: concentration / rate),
            "square": (torch.square, lambda concentration, rate: concentration * (concentration + 1) / rate**2),
            "log": (torch.log, lambda concentration, rate: psi(concentration) - rate.log()),
            "wave": (torch.cos, _gamma_wave),
        },
        path="cdf",
        cdf=lambda x, concentration, rate: gammainc(concentration, rate * x),
        samples=SAMPLES,
    ),
    Case(
        "Chi2",
        td.Chi2,
        {"df": t(0.6, 7.0)},
        {
            "mean": (itself, lambda df: df),
            "square": (torch.square, lambda df: df * (df + 2)),
            "log": (torch.log, lambda df: psi(df / 2) + torch.tensor(2.0).log()),
            "wave": (torch.cos, lambda df: _gamma_wave(df / 2, torch.full_like(df, 0.5))),
        },
        path="cdf",
        cdf=lambda x, df: gammainc(df / 2, x / 2),
        samples=SAMPLES,
    ),
    Case(
        "InverseGamma",
        td.InverseGamma,
        {"concentration": t(0.4, 9.0), "rate": t(2.0, 5.0)},
        {
            "log": (torch.log, lambda concentration, rate: rate.log() - psi(concentration)),
            "inverse": (lambda x: 1 / x, lambda concentration, rate: concentration / rate),
            "inverse square": (
                lambda x: x**-2,
                lambda concentration, rate: concentration * (concentration + 1) / rate**2,
            ),
        },
        path="cdf",
        cdf=lambda x, concentration, rate: gammaincc(concentration, rate / x),
        samples=SAMPLES,
    ),
    Case(
        "ExpGamma",
        ExpGamma,
        {"concentration": t(0.3, 6.0), "rate": t(2.0, 0.5)},
        {
            "mean": (itself, lambda concentration, rate: psi(concentration) - rate.log()),
            "square": (
                torch.square,
                lambda concentration, rate: trigamma(concentration) + (psi(concentration) - rate.log()) ** 2,
            ),
            "exp": (torch.exp, lambda concentration, rate: concentration / rate),
        },
        path="cdf",
        cdf=lambda x, concentration, rate: gammainc(concentration, rate * x.exp()),
        samples=SAMPLES,
    ),
    Case(
        "Beta",
        functools.partial(td.Beta, validate_args=False),  # torch's check of its Dirichlet cannot take an empty batch
        {"concentration1": t(0.3, 5.0, 2.0), "concentration0": t(0.4, 0.7, 400.0)},
        {
            "mean": (itself, lambda concentration1, concentration0: concentration1 / (concentration1 + concentration0)),
            "square": (torch.square, _beta_square),
            "log": (
                torch.log,
                lambda concentration1, concentration0: psi(concentration1) - psi(concentration1 + concentration0),
            ),
        },
        path="cdf",
        cdf=lambda x, concentration1, concentration0: betainc(concentration1, concentration0, x),
        samples=SAMPLES,
    ),
    Case(
        "LogitBeta",
        LogitBeta,
        {"concentration1": t(0.3, 5.0), "concentration0": t(0.4, 0.7)},
        {
            "mean": (itself, lambda concentration1, concentration0: psi(concentration1) - psi(concentration0)),
            "square": (
                torch.square,
                lambda concentration1, concentration0: (
                    trigamma(concentration1)
                    + trigamma(concentration0)
                    + (psi(concentration1) - psi(concentration0)) ** 2
                ),
            ),
            "sigmoid": (
                torch.sigmoid,
                lambda concentration1, concentration0: concentration1 / (concentration1 + concentration0),
            ),
        },
        path="cdf",
        cdf=lambda x, concentration1, concentration0: betainc(concentration1, concentration0, torch.sigmoid(x)),
        samples=SAMPLES,
    ),
    Case(
        "FisherSnedecor",
        td.FisherSnedecor,
        {"df1": t(1.5, 8.0), "df2": t(3.0, 20.0)},
        {
            "log": (torch.log, _log_odds),
            "log square": (
                lambda x: x.log() ** 2,
                lambda df1, df2: _log_odds(df1, df2) ** 2 + trigamma(df1 / 2) + trigamma(df2 / 2),
            ),
        },
        path="cdf",
        cdf=_fisher_cdf,
        samples=SAMPLES,
    ),
]
