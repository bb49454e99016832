"""Laws on the sphere that are symmetric about a mean direction."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cases.row import Case, Moments, itself, t
from reparam.distributions import PowerSpherical, VonMisesFisher


def _moments(length, second) -> Moments:
    """From the mean of w = <mu, x> and of its square: across mu, the rest is spread evenly."""

    def cross(loc: Tensor, concentration: Tensor) -> Tensor:
        square, mu = second(concentration, loc.shape[-1]), normalize(loc, dim=-1)
        return mu[0] * mu[1] * (square - (1 - square) / (loc.shape[-1] - 1))

    def fourth(loc: Tensor, concentration: Tensor) -> Tensor:
        square, mu = second(concentration, loc.shape[-1]), normalize(loc, dim=-1)
        across = (1 - square) / (loc.shape[-1] - 1)
        return mu**2 * square + (1 - mu**2) * across

    return {
        "mean": (
            itself,
            lambda loc, concentration: length(concentration, loc.shape[-1]) * normalize(loc, dim=-1),
        ),
        "cross": (lambda x: x[..., 0] * x[..., 1], cross),
        "square": (torch.square, fourth),
    }


def _fisher_length(concentration: Tensor, d: int) -> Tensor:
    """Ratio of Bessel functions of orders d/2 and d/2 - 1: A_3 = coth k - 1/k, and A_(d+2) = 1/A_d - d/k."""
    k = concentration
    length = 1 / torch.tanh(k) - 1 / k if d % 2 else torch.special.i1e(k) / torch.special.i0e(k)
    for below in range(3 if d % 2 else 2, d, 2):
        length = 1 / length - below / k
    return length


def _fisher_second(concentration: Tensor, d: int) -> Tensor:
    return 1 - (d - 1) * _fisher_length(concentration, d) / concentration


def _power_length(concentration: Tensor, d: int) -> Tensor:
    return concentration / (concentration + d - 1)


def _power_second(concentration: Tensor, d: int) -> Tensor:
    a, b = concentration + (d - 1) / 2, (d - 1) / 2
    variance = 4 * a * b / ((a + b) ** 2 * (a + b + 1))
    return variance + _power_length(concentration, d) ** 2


KAPPA = torch.tensor(2.0, dtype=torch.float64)
DIRECTIONS = {
    2: t(0.6, -0.8),
    3: t(1.0, 2.0, -2.0) / 3,
    5: t(0.5, -0.5, 0.1, 0.7, 0.0),
}

# A mean direction that a finite difference moves off the sphere is normalised; the check would refuse it.
CASES = [
    Case(
        f"{cls.__name__}-{d}",
        functools.partial(cls, validate_args=False),
        {"loc": normalize(loc, dim=-1), "concentration": KAPPA},
        _moments(length, second),
        path=path,
        samples=4_000,
    )
    for cls, length, second, path in (
        (VonMisesFisher, _fisher_length, _fisher_second, "quantile"),
        (PowerSpherical, _power_length, _power_second, "moments"),
    )
    for d, loc in DIRECTIONS.items()
]
