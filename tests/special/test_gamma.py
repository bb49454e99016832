"""The Gamma functions against arbitrary-precision arithmetic, over the whole domain, and under every transform."""

from __future__ import annotations

import functools
import math

import mpmath as mp
import pytest
import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.special import _gamma_core as core
from reparam.special.gamma import (
    gamma_dlogx_dconcentration,
    gamma_dx_dconcentration,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    log_gammaincinv,
)

# torch scripts its forward-mode decompositions at the first jvp, and deprecates scripting.

INF, NAN = math.inf, math.nan
FLOAT64 = torch.float64


def oracle(a, log_x, digits: int = 25):
    """F / q and h = d log x / da, from the series of the lower incomplete Gamma function, term by term in a.

    P(a, x) = q(l) sum_k x^k / (a)_{k+1}, and differentiating log of each term gives psi(a + k + 1) - l; what the
    sums lose to cancellation in the upper tail is added to the working precision.
    """
    a, log_x = mp.mpf(a), mp.mpf(log_x)
    with mp.workdps(25):
        x = mp.exp(log_x)
        lost = (x - a - a * (log_x - mp.log(a))) / mp.log(10) if x > a else mp.mpf(0)
    with mp.workdps(digits + 15 + int(lost)):
        x, digamma = mp.exp(log_x), mp.digamma(a + 1)
        term, k = 1 / a, 0
        ratio, h = term, term * (digamma - log_x)
        while not (k > x - a and digamma > log_x and term * (digamma - log_x) < mp.eps * abs(h)):
            k += 1
            term *= x / (a + k)
            digamma += 1 / (a + k)
            ratio += term
            h += term * (digamma - log_x)
        return +ratio, +h


def oracle_partials(a: float, log_x: float) -> tuple[float, float]:
    """dh/da and dh/dl by central differences at a step of 1e-15 in 50 digits: 1e-30 in relative error."""
    with mp.workdps(60):
        a, log_x, step = mp.mpf(a), mp.mpf(log_x), mp.mpf(10) ** -15
        h = [oracle(a * (1 + s * step), log_x, 50)[1] for s in (1, -1)]
        k = [oracle(a, log_x + s * step, 50)[1] for s in (1, -1)]
        return float((h[0] - h[1]) / (2 * a * step)), float((k[0] - k[1]) / (2 * step))


def log_quantile_grid(a: float) -> list[float]:
    """log x from far in the lower tail, through both sides of the centre, to 7 standard deviations above it."""
    width = 1 / math.sqrt(a) if a >= 1 else 1.0
    centre = float(mp.digamma(a + 1))
    upper = [6.0] if a >= 16 else [math.log1p((30 + 7 * math.sqrt(a)) / a) / width if a >= 1 else 4.1]
    return [-1e5, -7000.0, -690.0, -20.0] + [centre + width * z for z in [-7, -3, -1, -1e-9, 1e-9, 0.7, 3, *upper]]


# float32 has a kernel of its own for the pathwise derivatives; everything else is float64, rounded once.
FLOAT32_KERNEL = 2e-6
CONCENTRATIONS = [1e-4, 1e-2, 0.3, 1.0, 2.5, 7.0, 11.99, 12.01, 40.0, 1e3]
POINTS = [(a, log_x) for a in CONCENTRATIONS for log_x in log_quantile_grid(a)]
X_POINTS = [(a, math.exp(log_x)) for a, log_x in POINTS if log_x > -700]
X_POINTS += [(a, a + z * math.sqrt(a)) for a, z in [(1e5, -7), (1e5, 0.2), (1e5, 7), (1e6, -1), (1e6, 3)]]


def columns(points: list[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    a, b = torch.tensor(points, dtype=FLOAT64).unbind(-1)
    return a, b


def expected_at(a: float, x: float) -> tuple[float, float, float]:
    """P, Q and g."""
    with mp.workdps(120):
        ratio, h = oracle(a, mp.log(x), 80)
        density = mp.exp(a * mp.log(x) - x - mp.loggamma(a))
        return float(ratio * density), float(1 - ratio * density), float(h * x)


@functools.cache
def expected() -> Tensor:
    return torch.tensor([expected_at(*point) for point in X_POINTS], dtype=FLOAT64)


def assert_relative(actual: Tensor, wanted: Tensor, tolerance: float, points: list[tuple[float, float]]) -> None:
    error = (actual.double() - wanted).abs() / wanted.abs()
    worst = int(error.nan_to_num(nan=INF).argmax())
    assert error[worst] <= tolerance, f"{error[worst]:.2e} at (a, .) = {points[worst]}"


def test_the_oracle_agrees_with_mpmath_s_own_incomplete_gamma():
    for a, x in [(0.3, 0.7), (4.0, 2.0), (4.0, 9.0)]:
        with mp.workdps(40):
            cdf = functools.partial(mp.gammainc, b=x, regularized=True)
            density = mp.exp(a * mp.log(x) - x - mp.loggamma(a))
            ratio, h = oracle(a, mp.log(x))
            assert mp.almosteq(ratio, cdf(a) / density, rel_eps=mp.mpf(10) ** -24)
            assert mp.almosteq(h, -mp.diff(cdf, a) / density, rel_eps=mp.mpf(10) ** -12)


def test_log_derivative_over_the_whole_domain():
    wanted = torch.tensor([float(oracle(*point)[1]) for point in POINTS], dtype=FLOAT64)
    assert_relative(gamma_dlogx_dconcentration(*columns(POINTS)), wanted, 1e-14, POINTS)


def test_log_derivative_is_the_power_law_s_where_x_underflows():
    a, log_x = torch.tensor([1e-4, 1e-4, 2.0], dtype=FLOAT64), torch.tensor([-7000.0, -1e5, -1e5], dtype=FLOAT64)
    limit = (torch.digamma(a + 1) - log_x) / a  # a log x - log Gamma(a + 1) held fixed
    torch.testing.assert_close(gamma_dlogx_dconcentration(a, log_x), limit, rtol=1e-14, atol=0)


def test_derivative_of_x_over_the_whole_domain():
    assert_relative(gamma_dx_dconcentration(*columns(X_POINTS)), expected()[:, 2], 2e-14, X_POINTS)


@pytest.mark.parametrize(("function", "column"), [(gammainc, 0), (gammaincc, 1)])
def test_distribution_function_keeps_relative_accuracy_in_its_tail(function, column):
    wanted = expected()[:, column]
    keep = wanted > 1e-290
    assert keep.sum() > 80
    a, x = columns(X_POINTS)
    error = (function(a, x) - wanted).abs()[keep]
    in_tail = (x.log() < torch.digamma(a + 1)) == (column == 0)
    # The exponential that makes a tail of e^-n costs n roundings; its complement has the roundings of 1.
    scale = torch.where(in_tail, 4 * wanted * (1 - wanted.log()), torch.ones(1))[keep]
    assert (error / scale).max() < 2e-15


def test_gradient_of_the_distribution_function():
    a, x = (t.requires_grad_() for t in columns(X_POINTS))
    grads = torch.autograd.grad(gammainc(a, x).sum(), (a, x))
    with mp.workdps(30):
        log_density = [float((p - 1) * mp.log(t) - t - mp.loggamma(p)) for p, t in X_POINTS]
    density = torch.tensor(log_density, dtype=FLOAT64).exp()
    keep = density > 1e-250
    assert keep.sum() > 80
    # At small a the density is a small difference of the terms of F: 1 / a roundings of its quadrature.
    scale = 1 - density[keep].log().clamp(max=0) + 0.05 / a.detach()[keep]
    for grad, wanted in zip(grads, (-density * expected()[:, 2], density), strict=True):
        assert ((grad / wanted - 1).abs()[keep] / scale).max() < 1e-13


def test_float32_rounds_once():
    points = [(a, log_x) for a, log_x in POINTS if abs(log_x) < 80]
    a, x = (t.float() for t in columns([(a, math.exp(log_x)) for a, log_x in points]))
    assert torch.equal(gammainc(a, x), gammainc(a.double(), x.double()).float())
    for function, u in ((gamma_dx_dconcentration, x), (gamma_dlogx_dconcentration, x.log())):
        wanted = function(a.double(), u.double())
        assert_relative(function(a, u), wanted, FLOAT32_KERNEL, points)
        assert torch.equal(function(a.clone().requires_grad_(), u), wanted.float())  # the reference: differentiable


def test_first_derivatives_of_the_derivative():
    points = [(a, log_x) for a, log_x in POINTS[::2] if a < 1e4]
    a, log_x = (t.requires_grad_() for t in columns(points))
    grads = torch.autograd.grad(gamma_dlogx_dconcentration(a, log_x).sum(), (a, log_x))
    wanted = torch.tensor([oracle_partials(*p) for p in points], dtype=FLOAT64).unbind(-1)
    for grad, want in zip(grads, wanted, strict=True):
        assert_relative(grad, want, 2e-12, points)


def test_slope_in_x_obeys_the_differential_equation_on_a_dense_grid():
    a = torch.logspace(-4, 6, 301, dtype=FLOAT64)[:, None]
    z = torch.linspace(-8, 8, 161, dtype=FLOAT64)
    mu = torch.where(a < 1, z - 2, z / a.sqrt()).clamp(max=30)
    log_x = (mu + a.log()).requires_grad_()
    h = gamma_dlogx_dconcentration(a, log_x)
    (slope,) = torch.autograd.grad(h.sum(), log_x)
    terms = torch.digamma(a), -log_x, log_x.exp() * h, -a * h
    scale = torch.stack(torch.broadcast_tensors(*terms)).abs().amax(0)
    assert (h > 0).all()
    assert ((sum(terms) - slope).abs() / scale).max() < 1e-13


def cases() -> list:
    a = torch.tensor([0.2, 1.3, 20.0], dtype=FLOAT64)
    x = torch.tensor([0.1, 2.0, 17.0], dtype=FLOAT64)
    p = torch.tensor([0.6, 0.9, 0.2], dtype=FLOAT64)
    table = [
        (gammainc, a, x),
        (gammaincc, a, x),
        (gammaincinv, a, p),
        (gammainccinv, a, p),
        (log_gammaincinv, a, p.log()),
        (gamma_dx_dconcentration, a, x),
        (gamma_dlogx_dconcentration, a, x.log()),
    ]
    return [pytest.param(*row, id=row[0].__name__) for row in table]


@pytest.mark.parametrize(("function", "a", "u"), cases())
def test_two_derivatives_in_both_modes(function, a, u):
    a, u = a.clone().requires_grad_(), u.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (a, u), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, (a, u), check_fwd_over_rev=True)


@pytest.mark.parametrize(("function", "a", "u"), cases())
def test_forward_over_forward_is_reverse_over_reverse_under_vmap(function, a, u):
    one = torch.ones_like(a)

    def first(b: Tensor) -> Tensor:
        return torch.func.jvp(lambda c: function(c, u), (b,), (one,))[1]

    forward = torch.func.jvp(first, (a,), (one,))[1]
    reverse = torch.func.vmap(torch.func.grad(torch.func.grad(function)))(a, u)
    torch.testing.assert_close(forward, reverse, rtol=1e-9, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize(("function", "a", "u"), [cases()[0], cases()[-1]])
def test_compiler_traces_values_gradients_and_tangents(function, a, u):
    def tangent(a: Tensor, u: Tensor) -> Tensor:
        return torch.func.jvp(function, (a, u), (torch.ones_like(a), torch.ones_like(u)))[1]

    torch._dynamo.reset()
    compiled = torch.compile(tangent, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(a, u), tangent(a, u))
    assert_compiles_with_gradients(function, a, u)


@pytest.mark.long
@pytest.mark.parametrize(("function", "a", "u"), [cases()[4]])
def test_compiler_traces_the_quantile(function, a, u):
    assert_compiles_with_gradients(function, a, u)


def assert_compiles_with_gradients(function, a: Tensor, u: Tensor) -> None:
    torch._dynamo.reset()
    a, u = a.clone().requires_grad_(), u.clone().requires_grad_()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    grads = torch.autograd.grad(compiled(a, u).sum(), (a, u))
    torch.testing.assert_close(grads, torch.autograd.grad(function(a, u).sum(), (a, u)))


A_GRID = torch.logspace(-4, 6, 41, dtype=FLOAT64)[:, None]


def test_quantile_inverts_the_distribution_function():
    log_p = -torch.logspace(-20, 2.5, 60, dtype=FLOAT64)
    log_x = log_gammaincinv(A_GRID, log_p)
    log_mass, tail = core.log_mass(*torch.broadcast_tensors(A_GRID, log_x - A_GRID.log()))
    wanted = torch.where(tail.upper, torch.log(-torch.expm1(log_p)), log_p)
    # log x rounds to eps |log x|, which the slope of log F turns into an error of its own.
    slope = torch.where(tail.upper, 1 / tail.mass, A_GRID / (1 + tail.x * tail.mass))
    scale = 1 + wanted.abs() + slope * (log_x.abs() + A_GRID.log().abs())
    assert ((log_mass - wanted).abs() / scale).max() < 2e-15
    assert (log_x.diff(dim=-1) < 0).all()


@pytest.mark.parametrize(("a", "p"), [(0.05, 0.3), (0.7, 0.999), (3.0, 1e-12), (50.0, 0.5), (1e4, 0.01)])
def test_quantile_against_mpmath(a, p):
    a64, p64 = torch.tensor(a, dtype=FLOAT64), torch.tensor(p, dtype=FLOAT64)
    with mp.workdps(40):
        start = mp.mpf(gammaincinv(a64, p64).item())
        x = start
        for _ in range(3):  # Newton, in arbitrary precision
            ratio = oracle(a, mp.log(x), 40)[0]
            density = mp.exp(a * mp.log(x) - x - mp.loggamma(a))
            x -= x * (ratio - p / density)
        assert abs(start / x - 1) < 2e-15 * (1 + abs(math.log(p)) / a)
    lower, upper = gammaincinv(a64, p64), gammainccinv(a64, 1 - p64)
    torch.testing.assert_close(lower, upper, rtol=1e-14 / p, atol=0)


def test_gradient_of_the_quantile_is_the_pathwise_derivative():
    log_p = -torch.logspace(-12, 2, 40, dtype=FLOAT64)
    a, log_p = (t.clone().requires_grad_() for t in torch.broadcast_tensors(A_GRID, log_p))
    log_x = log_gammaincinv(a, log_p)
    in_a, in_p = torch.autograd.grad(log_x.sum(), (a, log_p))
    torch.testing.assert_close(in_a, gamma_dlogx_dconcentration(a, log_x).detach(), rtol=1e-10, atol=0)
    mu = log_x - a.log()
    log_q = core.log_density(a, mu) + a.log()
    torch.testing.assert_close(in_p, torch.exp(log_p - log_q).detach(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (gammainc, [(2.0, 0.0, 0.0), (0.5, INF, 1.0)]),
        (gammaincc, [(2.0, 0.0, 1.0), (0.5, INF, 0.0)]),
        (gammaincinv, [(2.0, 0.0, 0.0), (0.5, 1.0, INF)]),
        (gammainccinv, [(2.0, 1.0, 0.0), (0.5, 0.0, INF)]),
        (log_gammaincinv, [(2.0, -INF, -INF), (0.5, 0.0, INF)]),
        (gamma_dx_dconcentration, [(2.0, 0.0, 0.0), (0.5, INF, INF)]),
        (gamma_dlogx_dconcentration, [(2.0, -INF, INF), (0.5, INF, 0.0)]),
    ],
)
def test_ends_of_the_support(function, values):
    for a, u, wanted in values:
        assert function(torch.tensor(a, dtype=FLOAT64), u).item() == wanted


@pytest.mark.parametrize(
    ("function", "outside"),
    [
        (gammainc, [-1.0, -INF]),
        (gammaincc, [-1.0, -INF]),
        (gammaincinv, [-0.1, 1.1, INF]),
        (gammainccinv, [-0.1, 1.1, INF]),
        (log_gammaincinv, [0.1, INF]),
        (gamma_dx_dconcentration, [-1.0, -INF]),
        (gamma_dlogx_dconcentration, []),
    ],
)
def test_outside_the_domain_is_nan_value_and_gradients(function, outside):
    inside = -0.5 if "log" in function.__name__ else 0.5
    points = [(a, inside) for a in (0.0, -1.0, INF, NAN)] + [(2.0, u) for u in [NAN, *outside]]
    a, u = (t.requires_grad_() for t in columns(points))
    value = function(a, u)
    grads = torch.autograd.grad(value.sum(), (a, u))
    assert all(t.isnan().all() for t in (value, *grads))


def test_slope_of_the_distribution_function_at_zero_is_the_density():
    a = torch.tensor([0.5, 1.0, 2.0], dtype=FLOAT64, requires_grad=True)
    x = torch.zeros(3, dtype=FLOAT64, requires_grad=True)
    in_a, in_x = torch.autograd.grad(gammainc(a, x).sum(), (a, x))
    assert in_a.tolist() == [0.0, 0.0, 0.0]
    assert in_x.tolist() == [INF, 1.0, 0.0]


@pytest.mark.parametrize(("function", "a", "u"), cases())
def test_shapes_and_dtypes(function, a, u):
    value = function(a, u)
    assert function(a[:, None], u).shape == (3, 3)
    assert function(a[:0], u[:0]).shape == (0,)
    torch.testing.assert_close(function(a.repeat(2)[::2], u.repeat(2)[::2]), value[[0, 2, 1]])
    torch.testing.assert_close(function(1.3, u)[1], value[1])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        narrow = function(a.to(dtype), u.to(dtype))
        assert narrow.dtype == dtype
        wanted = function(a.to(dtype).double(), u.to(dtype).double()).to(dtype)
        torch.testing.assert_close(narrow, wanted, rtol=FLOAT32_KERNEL if dtype == torch.float32 else 0, atol=0)
    assert function(a.float(), u[1]).dtype == torch.float32
    assert function(torch.tensor(2), torch.tensor(0)).dtype == torch.get_default_dtype()


def test_complex_arguments_are_refused():
    with pytest.raises(InvalidArgument, match=r"a must be real[\s\S]*complex64[\s\S]*a\.real"):
        gammainc(torch.ones(2, dtype=torch.complex64), 1.0)
