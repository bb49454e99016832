"""The radial rate of the von Mises-Fisher law against arbitrary precision and closed forms, both tails included."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath as mp
import pytest
import torch

from reparam.errors import InvalidArgument
from reparam.special.spherical import (
    von_mises_fisher_dangle_dconcentration,
    von_mises_fisher_dw_dconcentration,
    von_mises_fisher_log_normalizer,
)
from reparam.special.von_mises import von_mises_dx_dconcentration

# torch warns about its own forward-mode tables.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def one_minus_mean(dimension: int, kappa: float) -> Any:
    order = mp.mpf(dimension) / 2 - 1
    with mp.workdps(50):
        return 1 - mp.besseli(order + 1, kappa) / mp.besseli(order, kappa) if kappa else mp.mpf(1)


def exact_angle_derivative(dimension: int, kappa: float, angle: float, complement: Any) -> Any:
    """Score times density from the nearer pole over density, on panels that halve towards the point."""
    t, k = mp.mpf(angle), mp.mpf(kappa)
    sign = -1 if 2 * mp.sin(t / 2) ** 2 <= complement else 1
    reach = t if sign < 0 else mp.pi - t

    def integrand(distance):
        s = t + sign * distance
        fall = 2 * k * mp.sin((s + t) / 2) * mp.sin((s - t) / 2)
        score = sign * (2 * mp.sin(s / 2) ** 2 - complement)
        return score * mp.exp(-fall) * (mp.sin(s) / mp.sin(t)) ** (dimension - 2)

    panels = [0, *(reach * mp.mpf(2) ** -j for j in range(16, -1, -1))]
    return -mp.fsum(mp.quad(integrand, pair, maxdegree=3) for pair in itertools.pairwise(panels))


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 5.0, 300.0, 1e5])
@pytest.mark.parametrize("dimension", [2, 4, 30, 1000])
def test_angle_derivative_in_the_centre_and_in_both_tails(dimension, kappa):
    complement = one_minus_mean(dimension, kappa)
    centre, width = float(mp.acos(1 - complement)), 1 / math.sqrt(kappa + dimension)
    angles = [0.01 * centre, 0.8 * centre, centre + 0.5 * width, min(centre + 7 * width, 3.0), math.pi - 1e-3]
    got = von_mises_fisher_dangle_dconcentration(dimension, kappa, torch.tensor(angles, dtype=torch.float64))
    with mp.workdps(20):
        for angle, value in zip(angles, got.tolist(), strict=True):
            reference = exact_angle_derivative(dimension, kappa, angle, complement)
            assert abs(mp.mpf(value) / reference - 1) < 2e-12


def test_dimension_three_has_a_closed_form():
    # F(w) = (e^(k w) - e^-k) / (e^k - e^-k), differentiated by hand at 40 digits
    for kappa in (1e-3, 0.7, 9.0, 400.0, 1e5):
        above = torch.tensor([1e-6, 1e-3, 0.4, 1.3, 1.999], dtype=torch.float64)
        got = von_mises_fisher_dw_dconcentration(3, kappa, 1 - above, above)
        with mp.workdps(60):
            k = mp.mpf(kappa)
            for v, value in zip(above.tolist(), got.tolist(), strict=True):
                # 1 - F = (1 - e^(-k v)) / (1 - e^(-2k)), v = 1 - w
                v, tail = mp.mpf(v) if v < 1 else 1 - mp.mpf(1 - v), mp.exp(-2 * k)
                upper = -mp.expm1(-k * v) / (1 - tail)
                dv = (2 * tail * upper - v * mp.exp(-k * v)) / (k * mp.exp(-k * v))
                assert abs(value / -dv - 1) < 1e-12


def test_the_circle_is_the_von_mises_law():
    x = torch.linspace(0.01, 3.1, 9, dtype=torch.float64)
    circle = von_mises_fisher_dw_dconcentration(2, 4.0, x.cos(), 2 * (x / 2).sin() ** 2)
    torch.testing.assert_close(circle, -x.sin() * von_mises_dx_dconcentration(4.0, x), rtol=1e-13, atol=0)
    angle = von_mises_fisher_dangle_dconcentration(2, 4.0, x)
    torch.testing.assert_close(angle, von_mises_dx_dconcentration(4.0, x), rtol=1e-14, atol=0)


def test_one_minus_w_keeps_the_digits_that_w_has_lost():
    above = torch.tensor([1e-12, 1e-18], dtype=torch.float64)
    kappa = torch.tensor([1e12, 1e12], dtype=torch.float64)
    got = von_mises_fisher_dw_dconcentration(3, kappa, 1 - above, above)
    torch.testing.assert_close(got, above / kappa, rtol=1e-11, atol=0)  # 1 - w is exponential with rate kappa


def test_log_normalizer():
    for dimension in (2, 3, 16, 1000):
        for kappa in (0.0, 1e-3, 5.0, 1e4):
            with mp.workdps(40):
                half, k = mp.mpf(dimension) / 2, mp.mpf(kappa) or mp.mpf(10) ** -30
                reference = half * mp.log(2 * mp.pi) + (1 - half) * mp.log(k) + mp.log(mp.besseli(half - 1, k)) - k
            got = von_mises_fisher_log_normalizer(dimension, torch.tensor(kappa, dtype=torch.float64)).item()
            assert abs(got - reference) < 1e-13 * max(1, abs(reference))


def test_edges_and_dtypes():
    w = torch.tensor([-1.0, 1.0, 1.5, math.nan, 0.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, math.nan, math.nan, 0.5], dtype=torch.float64)
    torch.testing.assert_close(von_mises_fisher_dw_dconcentration(3, 0.0, w), expected, equal_nan=True)
    assert von_mises_fisher_dw_dconcentration(5, -1.0, 0.5).isnan()
    assert von_mises_fisher_dw_dconcentration(5, torch.ones(3, 1), torch.empty(0)).shape == (3, 0)
    angle = torch.linspace(0, 3, 13)
    single = von_mises_fisher_dangle_dconcentration(10, 50.0, angle)
    double = von_mises_fisher_dangle_dconcentration(10, 50.0, angle.double())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=0)
    half = von_mises_fisher_dangle_dconcentration(10, 50.0, angle.half())
    assert torch.equal(half, von_mises_fisher_dangle_dconcentration(10, 50.0, angle.half().float()).half())


@pytest.mark.parametrize("dimension", [1, 2.5, True])
def test_a_dimension_outside_the_domain_is_named(dimension):
    with pytest.raises(InvalidArgument, match="integer >= 2") as error:
        von_mises_fisher_log_normalizer(dimension, 1.0)
    assert repr(dimension) in str(error.value)
    assert "x.shape[-1]" in str(error.value)


@pytest.mark.parametrize("dimension", [2, 3, 20])
def test_derivatives_and_transforms(dimension):
    kappa = torch.tensor([0.4, 6.0, 300.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([-0.5, 0.7, 0.99], dtype=torch.float64, requires_grad=True)

    def f(kappa, w):
        return von_mises_fisher_dw_dconcentration(dimension, kappa, w)

    assert torch.autograd.gradcheck(f, (kappa, w))
    assert torch.autograd.gradgradcheck(f, (kappa, w))
    kappa, w = kappa.detach(), w.detach()
    slope = torch.func.vmap(torch.func.grad(f))(kappa, w)
    torch.testing.assert_close(torch.func.jvp(f, (kappa, w), (torch.ones(3).double(), w * 0))[1], slope)


def test_gradients_at_the_poles_are_finite():
    w = torch.tensor([-1.0, 1.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(von_mises_fisher_dw_dconcentration(3, 0.0, w).sum(), w)
    torch.testing.assert_close(slope, torch.tensor([1.0, -1.0], dtype=torch.float64))
