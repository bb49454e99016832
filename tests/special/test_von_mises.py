"""The von Mises distribution function and its pathwise derivative against arbitrary precision."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath as mp
import pytest
import torch

from reparam.special.von_mises import von_mises_cdf, von_mises_dx_dconcentration

# torch warns about its own forward-mode tables, and about how its own compiler looks at a Function.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

KAPPAS = [1e-3, 1.0, 5.0, 300.0, 1e5]


def exact_cdf(x: float, kappa: float) -> Any:
    size, k = mp.mpf(abs(x)), mp.mpf(kappa)
    panels = [0, *((mp.pi - size) * mp.mpf(2) ** -j for j in range(14, -1, -1))]

    def integrand(distance):
        return mp.exp(-2 * k * mp.sin(size + distance / 2) * mp.sin(distance / 2))

    outer = mp.fsum(mp.quad(integrand, pair, maxdegree=3) for pair in itertools.pairwise(panels))
    tail = outer * mp.exp(k * mp.cos(size)) / (2 * mp.pi * mp.besseli(0, k))
    return tail if x < 0 else 1 - tail


@pytest.mark.parametrize("kappa", KAPPAS)
def test_cdf_keeps_its_relative_accuracy_in_the_lower_tail(kappa):
    width = 1 / math.sqrt(kappa + 1)
    points = [-7 * width, -2 * width, -0.9 * width, -0.01 * width, 1.5 * width, 3.1]
    points = [max(x, -3.141) for x in points]
    got = von_mises_cdf(torch.tensor(points, dtype=torch.float64), kappa)
    with mp.workdps(20):
        for x, value in zip(points, got.tolist(), strict=True):
            assert abs(mp.mpf(value) / exact_cdf(x, kappa) - 1) < 1e-13


@pytest.mark.parametrize("kappa", KAPPAS)
def test_derivative_of_the_quantile(kappa):
    # Independently of any formula for the derivative: the cdf itself, differenced at 40 digits.
    step = mp.mpf(kappa) * mp.mpf(10) ** -12
    width = 1 / math.sqrt(kappa + 1)
    for x in (-2.5 * width, -0.5 * width, 1.2 * width):
        with mp.workdps(32):
            rise = exact_cdf(x, kappa + step) - exact_cdf(x, kappa - step)
            density = mp.exp(kappa * mp.cos(x)) / (2 * mp.pi * mp.besseli(0, kappa))
            reference = -rise / (2 * step) / density
        got = von_mises_dx_dconcentration(kappa, torch.tensor(x, dtype=torch.float64)).item()
        assert abs(got / reference - 1) < 1e-11


def test_the_derivative_is_odd_and_vanishes_at_the_mode_and_opposite():
    x = torch.tensor([0.0, 1e-9, 0.3, math.pi - 1e-6, math.pi], dtype=torch.float64)
    for kappa in (0.0, 2.0, 1e4):
        value = von_mises_dx_dconcentration(kappa, x)
        assert torch.equal(value, -von_mises_dx_dconcentration(kappa, -x))
        assert value[0] == 0
        assert abs(value[4]) < 1e-14
        rest = von_mises_dx_dconcentration(kappa, torch.tensor(0.0, dtype=torch.float64))
        assert rest == 0
    # slopes -(1 - A) at 0 and 1 + A opposite
    mean = float(mp.besseli(1, 2) / mp.besseli(0, 2))
    value = von_mises_dx_dconcentration(2.0, x)
    assert abs(value[1] / -1e-9 / (1 - mean) - 1) < 1e-12
    assert abs(value[3] / -1e-6 / (1 + mean) - 1) < 1e-9


def test_second_derivatives_of_the_quantile_at_large_concentration():
    # dg/dx = (A - cos x) + kappa sin(x) g, from the equation F(x(kappa); kappa) = const
    for kappa in (0.5, 30.0, 1e4):
        x = torch.tensor([0.2, 1.0, 2.0], dtype=torch.float64, requires_grad=True) / math.sqrt(kappa + 1)
        value = von_mises_dx_dconcentration(kappa, x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        mean = float(mp.besseli(1, kappa) / mp.besseli(0, kappa))
        torch.testing.assert_close(slope, mean - x.cos() + kappa * x.sin() * value, rtol=1e-10, atol=1e-14)


def test_edges_and_dtypes():
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([-torch.pi, 0.0, torch.pi, 4.0, math.nan], dtype=dtype)
        expected = torch.tensor([0.0, 0.5, 1.0, math.nan, math.nan], dtype=dtype)
        torch.testing.assert_close(von_mises_cdf(x, 2.0), expected, rtol=0, atol=1e-8, equal_nan=True)
    assert von_mises_cdf(0.5, -1.0).isnan()
    assert von_mises_dx_dconcentration(-1.0, 0.5).isnan()
    assert von_mises_cdf(torch.empty(0), torch.ones(4, 1)).shape == (4, 0)
    x = torch.linspace(-3, 3, 13)
    for function in (lambda x: von_mises_cdf(x, 20.0), lambda x: von_mises_dx_dconcentration(20.0, x)):
        torch.testing.assert_close(function(x).double(), function(x.double()), rtol=2e-5, atol=0)
        assert torch.equal(function(x.bfloat16()), function(x.bfloat16().float()).bfloat16())
        strided = torch.stack([x, x], -1)[:, 0]
        assert torch.equal(function(strided), function(x))


@pytest.mark.parametrize("function", [von_mises_cdf, lambda x, kappa: von_mises_dx_dconcentration(kappa, x)])
def test_derivatives_and_transforms(function):
    x = torch.tensor([-2.0, 0.1, 1.5], dtype=torch.float64, requires_grad=True)
    kappa = torch.tensor([0.3, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, kappa))
    assert torch.autograd.gradgradcheck(function, (x, kappa))
    at, k = x.detach(), kappa.detach()
    slopes = torch.func.vmap(torch.func.grad(function, argnums=(0, 1)))(at, k)
    tangent = torch.ones_like(at)
    moved = torch.func.jvp(function, (at, k), (tangent, 2 * tangent))[1]
    torch.testing.assert_close(moved, slopes[0] + 2 * slopes[1])


@pytest.mark.long
@pytest.mark.parametrize("function", [von_mises_cdf, lambda x, kappa: von_mises_dx_dconcentration(kappa, x)])
def test_compiled_whole(function):
    x = torch.tensor([-2.0, 0.1, 1.5], dtype=torch.float64, requires_grad=True)
    kappa = torch.tensor([0.3, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(x, kappa)
    plain = function(x, kappa)
    torch.testing.assert_close(compiled, plain)
    slopes = [torch.autograd.grad(value.sum(), (x, kappa)) for value in (compiled, plain)]
    torch.testing.assert_close(*slopes)
