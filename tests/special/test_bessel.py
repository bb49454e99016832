"""Bessel functions and their ratios against arbitrary precision, over orders 0 to 500 and arguments 0 to 1e6."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import pytest
import torch

from reparam.errors import InvalidArgument
from reparam.special.bessel import _descent, _unrolled, bessel_ratio, bessel_ratio_complement, log_ive

# torch warns about its own forward-mode tables.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

ORDERS = [0, 0.25, 0.5, 1, 1.5, 3.7, 15.5, 20, 49, 499, 500]
POINTS = [1e-8, 1e-3, 0.1, 1.0, 7.5, 20.0, 200.0, 1e4, 1e6]


def exact(order: float, x: float) -> tuple[Any, Any]:
    with mp.workdps(40):
        low, high = mp.besseli(order, mp.mpf(x)), mp.besseli(order + 1, mp.mpf(x))
        return mp.log(low) - mp.mpf(x), high / low


def relative(value: float, reference: Any) -> float:
    return abs(float(mp.mpf(value) / reference - 1))


@pytest.mark.parametrize("order", ORDERS)
def test_values_and_two_derivatives(order):
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    log_i, ratio, rest = log_ive(order, x), bessel_ratio(order, x), bessel_ratio_complement(order, x)
    (slope,) = torch.autograd.grad(log_i.sum(), x)
    (ratio1,) = torch.autograd.grad(ratio.sum(), x, create_graph=True)
    (ratio2,) = torch.autograd.grad(ratio1.sum(), x)
    with mp.workdps(40):
        for i, point in enumerate(POINTS):
            log_exact, r = exact(order, point)
            at, twice = mp.mpf(point), 2 * mp.mpf(order) + 1
            r1 = 1 - r * r - twice / at * r
            r2 = -2 * r * r1 - twice / at * r1 + twice / at**2 * r
            assert abs(log_i[i].item() - log_exact) < 1e-12 + 4e-15 * abs(log_exact)
            assert relative(ratio[i].item(), r) < 2e-14
            assert relative(rest[i].item(), 1 - r) < 2e-14
            assert relative(slope[i].item(), r + order / at - 1) < 2e-11
            assert relative(ratio1[i].item(), r1) < 1e-12
            assert relative(ratio2[i].item(), r2) < 1e-9 or point < 1e-2  # there it is of order x


def test_large_dimensions_have_no_seam_where_the_recurrence_ends():
    x = torch.tensor(30.0, dtype=torch.float64)
    for order in (18.999, 19.0, 19.001, 20.0):
        assert relative(bessel_ratio(order, x).item(), exact(order, 30.0)[1]) < 1e-14


def test_single_and_half_precision_round_once():
    x = torch.tensor(POINTS, dtype=torch.float64)
    for function in (bessel_ratio, bessel_ratio_complement):
        single = function(3, x.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), function(3, x.float().double()), rtol=2e-6, atol=0)
        half = x[2:5].bfloat16()
        assert torch.equal(function(3, half), function(3, half.float()).bfloat16())


def test_edges():
    x = torch.tensor([0.0, -1.0, math.nan], dtype=torch.float64)
    torch.testing.assert_close(bessel_ratio(2, x), torch.tensor([0.0, math.nan, math.nan]).double(), equal_nan=True)
    torch.testing.assert_close(
        bessel_ratio_complement(2, x), torch.tensor([1.0, math.nan, math.nan]).double(), equal_nan=True
    )
    assert log_ive(2, x)[0] == -math.inf
    assert abs(log_ive(0, x)[0]) < 1e-15
    assert bessel_ratio(0.5, torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("order", [-0.5, math.inf, math.nan])
def test_an_order_outside_the_domain_is_named(order):
    with pytest.raises(InvalidArgument, match="order of a Bessel function") as error:
        log_ive(order, 1.0)
    assert str(order) in str(error.value)
    assert "d / 2 - 1" in str(error.value)


@pytest.mark.parametrize("function", [log_ive, bessel_ratio, bessel_ratio_complement])
def test_transforms(function):
    x = torch.tensor([0.3, 4.0, 70.0], dtype=torch.float64, requires_grad=True)

    def f(x):
        return function(1.5, x)

    assert torch.autograd.gradcheck(f, x)
    assert torch.autograd.gradgradcheck(f, x)
    plain = x.detach()
    slope = torch.func.vmap(torch.func.grad(f))(plain)
    torch.testing.assert_close(torch.func.jvp(f, (plain,), (torch.ones_like(plain),))[1], slope)


def test_the_recurrence_as_one_operation():
    """What the compiler is given in its place: the same values, fake and batched along any dimension."""
    x = torch.rand(3, 4, dtype=torch.float64) * 30
    torch.library.opcheck(_descent, (1.5, x))
    torch.testing.assert_close(_descent(1.5, x), torch.stack(_unrolled(1.5, x)), rtol=0, atol=0)
    batched = torch.vmap(lambda column: _descent(1.5, column), in_dims=1)(x)
    torch.testing.assert_close(batched.movedim(0, -1), _descent(1.5, x), rtol=0, atol=0)


@pytest.mark.long
def test_compiled_whole():
    x = torch.tensor([0.3, 4.0, 70.0], dtype=torch.float64, requires_grad=True)
    compiled = torch.compile(log_ive, fullgraph=True, backend="aot_eager")(1.5, x)
    plain = log_ive(1.5, x)
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close(torch.autograd.grad(compiled.sum(), x), torch.autograd.grad(plain.sum(), x))
