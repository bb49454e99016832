r"""The pathwise derivative of a Gamma variate by the kernels' tables, in a fraction of the time of its integral.

Where x is small, by the recurrence :math:`h(a) = (x h(a + 1) + \psi(a + 1) - \log x) / a`, run backwards, all of whose
terms are positive; around the centre, by polynomials; in the far tails, by the integral of
:mod:`reparam.special._gamma_core`, with which all of these agree to rounding.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from reparam.kernels.gamma_table import LARGE, SMALL
from reparam.special import _gamma_core as core
from reparam.special._regions import Formula, Polynomial, by_regions

_STEPS = 15
_LARGEST = 1e150  # its square is a float


def dlogx_dconcentration(a: Tensor, mu: Tensor) -> Tensor:
    r""":math:`d\log x / da` at fixed probability, :math:`\mu = \log(x / a)`, without a derivative."""
    return by_regions(_region_of, _FORMULAS, a, mu)


def _region_of(a: Tensor, mu: Tensor) -> Tensor:
    log_x = mu + torch.log(a)
    region = torch.full_like(a, len(_FORMULAS) - 1, dtype=torch.int64)
    for k, chart in enumerate(_CHARTS):
        here = chart.concerns(a) & chart.reaches(log_x if k < len(SMALL) else mu)
        region = torch.where(here, 1 + k, region)
    region = torch.where(a > _LARGEST, len(_FORMULAS) - 1, region)
    return torch.where(log_x < torch.log(0.1 * a + 0.6), 0, region)


def _by_recurrence(a: Tensor, mu: Tensor) -> Tensor:
    x, log_x = a * torch.exp(mu), mu + torch.log(a)
    gap = torch.digamma(a + (_STEPS + 1)) - log_x
    beyond = 1 / (a + (_STEPS + 1))
    h = beyond * (gap + beyond)
    for k in range(_STEPS, -1, -1):
        r = 1 / (a + k)
        h = r * torch.addcmul(gap, x, h)
        gap = gap - r
    return h


def _in_log_x(chart: Polynomial, a: Tensor, mu: Tensor) -> Tensor:
    x = a * torch.exp(mu)
    return chart(a, mu + torch.log(a)) / (a * (a + 1) * (a + 2) * x)


def _in_log_ratio(chart: Polynomial, a: Tensor, mu: Tensor) -> Tensor:
    return chart(1 / a, mu) / (a + a * torch.exp(mu))


_CHARTS = [Polynomial(chart) for chart in (*SMALL, *LARGE)]
_FORMULAS: list[Formula] = [
    _by_recurrence,
    *(functools.partial(_in_log_x, chart) for chart in _CHARTS[: len(SMALL)]),
    *(functools.partial(_in_log_ratio, chart) for chart in _CHARTS[len(SMALL) :]),
    core.dlogx_dconcentration,
]
