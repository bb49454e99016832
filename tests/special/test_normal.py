"""The normal tails against arbitrary precision: far out, close together, and their derivatives."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import pytest
import torch

from reparam.special.normal import log_diff_ndtr, log_ndtr, ndtri, ndtri_exp, truncated_ndtri

# torch warns about its own forward-mode tables, and about how its own compiler looks at a Function.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

INTERVALS = [
    (-31.0, -30.0),
    (30.0, 31.0),
    (30.0, 30.0001),
    (-1e-4, 1e-4),
    (-1.0, 1.0),
    (-40.0, 40.0),
    (-math.inf, -50.0),
    (-math.inf, 3.0),
    (-2.0, math.inf),
    (0.0, 5.0),
    (-1e-3, 9.0),
    (5.0, 5.5),
    (100.0, math.inf),
]


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(50):
        yield


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def pdf(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def mass(a, b):
    return cdf(b) - cdf(a) if a + b < 0 else cdf(-a) - cdf(-b)


def relative(value: torch.Tensor, reference: Any) -> float:
    return abs(float(mp.mpf(value.item()) / reference - 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_ndtr_and_two_derivatives(dtype):
    unit = torch.finfo(dtype).eps
    points = [-1e4, -1e3, -40.0, -10.0, -3.01, -2.99, -1.0, 0.0, 1.0, 3.1, 8.0]
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    value = log_ndtr(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    for i, point in enumerate(x.tolist()):
        at = mp.mpf(point)
        hazard = pdf(at) / cdf(at)
        assert relative(value[i], mp.log(cdf(at))) < 40 * unit
        assert relative(slope[i], hazard) < 40 * unit
        # hazard + x cancels to a tenth of x before the continued fraction takes over, at -3
        assert relative(bend[i], -hazard * (at + hazard)) < 300 * unit


def test_log_ndtr_far_out_has_finite_derivatives():
    x = torch.tensor([-1e8, -50.0, 50.0, 1e8], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_ndtr(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(slope[0], -x[0])
    assert torch.equal(slope[2:], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(bend, torch.tensor([-1.0, -1 + 1 / 2500, 0.0, 0.0]).double(), rtol=1e-5, atol=0)


def test_ndtri_exp_inverts_log_ndtr_over_all_scales():
    y = torch.tensor([-1e8, -1e5, -800.0, -701.0, -699.0, -50.0, -2.0, -0.7, -0.69, -1e-3, -1e-25], dtype=torch.float64)
    x = ndtri_exp(y)
    for i, log_p in enumerate(y.tolist()):
        at = mp.mpf(x[i].item())
        step = (mp.log(cdf(at)) - mp.mpf(log_p)) * cdf(at) / pdf(at)  # Newton's, from the answer
        assert abs(step) < 1e-14 * max(abs(at), 0.1)
    assert torch.equal(ndtri_exp(torch.tensor([-math.inf, 0.0])), torch.tensor([-math.inf, math.inf]))
    assert ndtri_exp(torch.tensor(0.1)).isnan()
    single = ndtri_exp(y[:-1].float())
    torch.testing.assert_close(single.double(), ndtri_exp(y[:-1].float().double()), rtol=1e-5, atol=0)


def test_ndtri_at_its_edges():
    p = torch.tensor([0.0, 1.0, -0.1, 1.1], dtype=torch.float64)
    expected = torch.tensor([-math.inf, math.inf, math.nan, math.nan], dtype=torch.float64)
    torch.testing.assert_close(ndtri(p), expected, equal_nan=True)
    torch.testing.assert_close(ndtri(torch.tensor([1e-300, 0.3]).double())[1].item(), -0.5244005127080407)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_diff_ndtr_and_its_gradient(dtype):
    unit = torch.finfo(dtype).eps
    a, b = (torch.tensor(end, dtype=dtype, requires_grad=True) for end in zip(*INTERVALS, strict=True))
    value = log_diff_ndtr(a, b)
    by_a, by_b = torch.autograd.grad(value.sum(), (a, b))
    for i in range(len(INTERVALS)):
        low, high = mp.mpf(a[i].item()), mp.mpf(b[i].item())
        total = mass(low, high)
        assert abs(value[i].item() - mp.log(total)) <= 20 * unit * abs(mp.log(total))
        for got, reference in ((by_a[i], -pdf(low) / total), (by_b[i], pdf(high) / total)):
            assert abs(got.item() - reference) <= 40 * unit * abs(reference) + 1e-37
    edges = log_diff_ndtr(torch.tensor([2.0, 3.0, math.inf, -math.inf]), torch.tensor([2.0, 2.0, math.inf, -math.inf]))
    torch.testing.assert_close(edges, torch.tensor([-math.inf, math.nan, -math.inf, -math.inf]), equal_nan=True)


@pytest.mark.parametrize("share", [1e-8, 0.3, 0.6, 0.999])
def test_truncated_quantile_and_its_gradient(share):
    u = torch.full((len(INTERVALS),), share, dtype=torch.float64, requires_grad=True)
    a, b = (torch.tensor(end, dtype=torch.float64, requires_grad=True) for end in zip(*INTERVALS, strict=True))
    x = truncated_ndtri(u, a, b)
    by_u, by_a, by_b = torch.autograd.grad(x.sum(), (u, a, b))
    p = mp.mpf(share)
    for i, (low, high) in enumerate(INTERVALS):
        low, high, at = mp.mpf(low), mp.mpf(high), mp.mpf(x[i].item())
        total = mass(low, high)
        slip = (mass(low, at) - p * total) / pdf(at)  # Newton's step, from the answer
        assert abs(slip) < 1e-14 * max(abs(at), min(high - low, 1))
        exact = at - slip
        assert relative(by_u[i], total / pdf(exact)) < 2e-12
        for got, reference in ((by_a[i], (1 - p) * pdf(low) / pdf(exact)), (by_b[i], p * pdf(high) / pdf(exact))):
            assert abs(got.item() - reference) < 2e-12 * reference + 1e-200


def test_truncated_quantile_in_single_precision_stays_in_the_interval():
    u = torch.linspace(0, 1, 101)
    for low, high in ((30.0, math.inf), (-math.inf, -30.0), (100.0, 101.0), (-38.0, 38.0), (2.0, 2.0)):
        x = truncated_ndtri(u, low, high)
        assert ((x >= low) & (x <= high)).all()
        assert (x.diff() >= 0).all()
        double = truncated_ndtri(u.double(), low, high)
        torch.testing.assert_close(x.double(), double, rtol=1e-6, atol=2e-6)


def test_truncated_quantile_outside_its_domain():
    u = torch.tensor([-0.1, 1.1, 0.5, math.nan, 0.0, 1.0])
    low = torch.tensor([0.0, 0.0, 1.0, 0.0, 3.0, 3.0])
    expected = torch.tensor([math.nan, math.nan, math.nan, math.nan, 3.0, 4.0])
    high = torch.tensor([1.0, 1.0, 0.0, 1.0, 4.0, 4.0])
    torch.testing.assert_close(truncated_ndtri(u, low, high), expected, equal_nan=True)
    assert truncated_ndtri(torch.empty(0), torch.zeros(2, 1), 1.0).shape == (2, 0)
    half = torch.tensor([0.25, 0.75], dtype=torch.bfloat16)
    assert torch.equal(truncated_ndtri(half, 5, 9), truncated_ndtri(half.float(), 5, 9).bfloat16())


TENSORS = {
    log_ndtr: [[-20.0, -2.5, 1.0]],
    ndtri: [[0.01, 0.4, 0.9]],
    ndtri_exp: [[-90.0, -2.5, -0.1]],
    log_diff_ndtr: [[-9.0, -1.0, 5.0], [-8.5, 2.0, 6.0]],
    truncated_ndtri: [[0.2, 0.7, 0.9], [-9.0, -1.0, 5.0], [-8.5, 2.0, 6.0]],
}


@pytest.mark.parametrize("function", TENSORS, ids=lambda function: function.__name__)
def test_derivatives_and_transforms(function):
    args = [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in TENSORS[function]]
    assert torch.autograd.gradcheck(function, args)
    assert torch.autograd.gradgradcheck(function, args)
    plain = [arg.detach() for arg in args]
    slopes = torch.func.vmap(torch.func.grad(function, argnums=tuple(range(len(args)))))(*plain)
    moved = torch.func.jvp(function, tuple(plain), tuple(torch.ones_like(arg) for arg in plain))[1]
    torch.testing.assert_close(moved, sum(slopes))


@pytest.mark.parametrize(
    "function",
    [ndtri, log_diff_ndtr, *(pytest.param(f, marks=pytest.mark.long) for f in (log_ndtr, ndtri_exp, truncated_ndtri))],
    ids=lambda function: function.__name__,
)
def test_compiled_whole(function):
    args = [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in TENSORS[function]]
    compiled, plain = torch.compile(function, fullgraph=True, backend="aot_eager")(*args), function(*args)
    torch.testing.assert_close(compiled, plain)
    slopes = [torch.autograd.grad(value.sum(), args) for value in (compiled, plain)]
    torch.testing.assert_close(*slopes)
