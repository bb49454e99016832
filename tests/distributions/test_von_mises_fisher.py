from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from torch.distributions import kl_divergence

import reparam as rp
from reparam.distributions import HypersphericalUniform, VonMisesFisher
from reparam.distributions._polar import _opaque_quantile, _quantile, polar_quantile
from reparam.errors import InvalidArgument
from reparam.special._quadrature import gauss_legendre

from .conformance import CHECKS, Case, compiles, seeded
from .sphere import direction, direction_in, integrates_to_one, is_safe_at_every_direction, moves_as_its_moments_do

EXTREMES = tuple({"concentration": k} for k in (0.0, 1e-6, 300.0, 1e5))
CASES = [
    Case(VonMisesFisher, {"loc": direction(0.6, -0.8), "concentration": 0.7}, extremes=EXTREMES),
    Case(VonMisesFisher, {"loc": direction(-1.0, 0.0, 0.0), "concentration": 3.0}, extremes=EXTREMES),
    Case(VonMisesFisher, {"loc": direction_in(4), "concentration": 2.0}, extremes=EXTREMES),
]
DIMENSIONS = [2, 3, 5, 20, 1000]
CONCENTRATIONS = [0.0, 1e-3, 2.0, 50.0, 1e3, 1e5]


# The compiler takes ten seconds to trace the Bessel functions: once is enough.
ROWS = [
    pytest.param(case, check, id=f"{name}-{check.__name__}")
    for case, name in zip(CASES, ["d2", "d3-at-a-pole", "d4"], strict=True)
    for check in CHECKS
    if check is not compiles or name == "d4"
]


@pytest.mark.parametrize(("case", "check"), ROWS)
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 2.0, 40.0])
def test_integrates_to_one(d: int, kappa: float) -> None:
    integrates_to_one(VonMisesFisher(direction_in(d), kappa))


@pytest.mark.parametrize("d", [2, 3, 5, 12])
def test_moves_as_its_moments_do(d: int) -> None:
    moves_as_its_moments_do(VonMisesFisher, direction_in(d), 2.0)


def test_is_safe_at_every_direction() -> None:
    is_safe_at_every_direction(VonMisesFisher)


def exact_log_normalizer_and_length(d: int, kappa: float) -> tuple[float, float]:
    """log of Gamma(d/2) (2/k)^(d/2-1) I_(d/2-1)(k) e^-k, and I_(d/2)(k) / I_(d/2-1)(k)."""
    if kappa == 0:
        return 0.0, 0.0
    with mpmath.workdps(40):
        half, k = mpmath.mpf(d) / 2, mpmath.mpf(kappa)
        bessel = mpmath.besseli(half - 1, k)
        log = mpmath.loggamma(half) + (half - 1) * mpmath.log(2 / k) + mpmath.log(bessel) - k
        return float(log), float(mpmath.besseli(half, k) / bessel)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_closed_forms_agree_with_bessel_functions(d: int, dtype: torch.dtype) -> None:
    kappa = torch.tensor(CONCENTRATIONS, dtype=dtype)
    pole = torch.zeros(d, dtype=dtype)
    pole[0] = 1.0
    law, uniform = VonMisesFisher(pole, kappa), HypersphericalUniform(d, dtype=dtype)
    exact = [exact_log_normalizer_and_length(d, k) for k in kappa.tolist()]
    log_normalizer, length = (torch.tensor(column, dtype=torch.float64) for column in zip(*exact, strict=True))
    tolerance = {"rtol": 4e-15, "atol": 4e-12} if dtype == torch.float64 else {"rtol": 3e-7, "atol": 1e-7}
    peak = -uniform.entropy().double() - log_normalizer
    torch.testing.assert_close(law.log_prob(pole).double(), peak, **tolerance)
    torch.testing.assert_close(law.mean[:, 0].double(), length, rtol=tolerance["rtol"] * 4, atol=1e-15)
    divergence = kappa.double() * length - log_normalizer - kappa.double()
    loose = {"rtol": tolerance["rtol"], "atol": 1e-10 if dtype == torch.float64 else 1e-7}
    torch.testing.assert_close(kl_divergence(law, uniform).double(), divergence, **loose)


def test_kl_between_two_is_the_mean_log_ratio() -> None:
    p = VonMisesFisher(direction_in(5), torch.tensor([0.0, 1.0, 30.0], dtype=torch.float64))
    q = VonMisesFisher(direction(0.2, 1.0, -0.4, 0.1, 0.3), torch.tensor([2.0, 0.0, 20.0], dtype=torch.float64))
    x = rp.rsample(p, (20_000,), noise=seeded(2))
    ratio = p.log_prob(x) - q.log_prob(x)
    error = ratio.std(0) / math.sqrt(len(x)) + 1e-12
    assert ((ratio.mean(0) - kl_divergence(p, q)).abs() < 5.5 * error).all()
    torch.testing.assert_close(kl_divergence(p, p), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-13)
    with pytest.raises(InvalidArgument, match=r"(?s)same sphere.*received: .*\(5,\) and \(3,\).*instead: "):
        kl_divergence(p, HypersphericalUniform(3))


@pytest.mark.parametrize("kappa", [1e-2, 2.0, 300.0, 1e5])
def test_quantile_and_slope_in_three_dimensions_are_the_closed_ones(kappa: float) -> None:
    """There F(w) = (e^(kappa w) - e^-kappa) / (e^kappa - e^-kappa)."""
    u = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64)
    k = torch.tensor(kappa, dtype=torch.float64)
    s, slope = torch.func.jvp(lambda c: polar_quantile(u, c, 3), (k,), (torch.ones_like(k),))
    with mpmath.workdps(60):

        def logit(level: Any, concentration: Any) -> Any:
            tail = mpmath.exp(-2 * concentration)
            w = 1 + mpmath.log(level + (1 - level) * tail) / concentration
            return mpmath.log((1 + w) / (1 - w))

        for i, level in enumerate(u.tolist()):
            exact = mpmath.mpf(level)
            assert s[i].item() == pytest.approx(float(logit(exact, mpmath.mpf(kappa))), rel=1e-10)
            moved = mpmath.diff(lambda c, p=exact: logit(p, c), mpmath.mpf(kappa))
            assert slope[i].item() == pytest.approx(float(moved), rel=1e-10)


@pytest.mark.parametrize(("d", "kappa"), [(2, 0.0), (2, 8.0), (5, 2.0), (40, 1e4), (1000, 300.0)])
def test_slope_is_the_derivative_of_the_distribution_function(d: int, kappa: float) -> None:
    k = torch.tensor(kappa, dtype=torch.float64)
    u = torch.tensor([1e-3, 0.4, 0.95], dtype=torch.float64)
    s, slope = torch.func.jvp(lambda c: polar_quantile(u, c, d), (k,), (torch.ones_like(k),))
    with mpmath.workdps(25):
        half: Any = mpmath.mpf(d - 1) / 2

        def kernel(t: Any) -> Any:
            ratio = mpmath.cosh(t / 2) / mpmath.cosh(mpmath.asinh(kappa / half) / 2)
            return mpmath.exp(-2 * half * mpmath.log(ratio) + kappa * (mpmath.tanh(t / 2) - 1))

        mode, width = float(mpmath.asinh(kappa / half)), 1 / math.sqrt((d - 1) / 2)
        grid = [mode + width * step for step in (-60, -20, -12, -8, -6, -4, -2, 0, 2, 4, 6, 8, 12, 20, 60)]
        total: Any = mpmath.quad(kernel, grid)
        mean: Any = mpmath.quad(lambda t: mpmath.tanh(t / 2) * kernel(t), grid) / total
        for point, value in zip(s.tolist(), slope.tolist(), strict=True):
            below = [g for g in grid if g < point] + [point]
            score: Any = mpmath.quad(lambda t: (mpmath.tanh(t / 2) - mean) * kernel(t), below)
            assert value == pytest.approx(float(-score / kernel(mpmath.mpf(point))), rel=1e-8)


@pytest.mark.parametrize("d", [2, 3, 5, 50])
def test_expectations_of_the_polar_coordinate_move_exactly(d: int) -> None:
    """Quadrature over the uniform noise: no randomness is left. At d = 5, kappa = 2 a copied sampler gives .1277."""
    nodes, weights = gauss_legendre(300)
    # Clustered at both ends, where the quantile has its branch points.
    angle = 0.5 * math.pi * (1 + nodes)
    u, weights = 0.5 * (1 - angle.cos()), 0.25 * math.pi * angle.sin() * weights
    kappa = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    w = torch.tanh(polar_quantile(u, kappa, d) / 2)
    pole = direction(1.0, *[0.0] * (d - 1))
    law = VonMisesFisher(pole, kappa)
    second = law.covariance_matrix[0, 0] + law.mean[0].square()
    for power, exact in ((1, law.mean[0]), (2, second)):
        estimate = (weights * w**power).sum()
        torch.testing.assert_close(estimate, exact, rtol=1e-7, atol=0)
        found, wanted = (torch.autograd.grad(y, kappa, retain_graph=True)[0].item() for y in (estimate, exact))
        assert found == pytest.approx(wanted, rel=1e-6)
        if (d, power) == (5, 1):
            assert found == pytest.approx(0.1473887, rel=1e-6)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_differentiates_twice_at_fixed_noise(d: int) -> None:
    """The sample is a true function of its noise, so finite differences apply to it as they stand."""

    def at_fixed_noise(loc: torch.Tensor, kappa: torch.Tensor) -> torch.Tensor:
        return rp.rsample(VonMisesFisher(loc, kappa, validate_args=False), (3,), noise=seeded())

    values = direction_in(d).requires_grad_(), torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(at_fixed_noise, values)
    assert torch.autograd.gradgradcheck(at_fixed_noise, values)
    law = VonMisesFisher(direction_in(d), 2.0)
    x = law.sample((3,))
    assert torch.autograd.gradcheck(lambda m, k: VonMisesFisher(m, k, validate_args=False).log_prob(x), values)
    assert torch.autograd.gradgradcheck(lambda k: VonMisesFisher(law.loc, k).entropy(), values[1:])


def test_a_thousand_dimensions_in_float32() -> None:
    loc = direction_in(1000).float().requires_grad_()
    kappa = torch.tensor(CONCENTRATIONS, requires_grad=True)
    law = VonMisesFisher(loc, kappa)
    x = rp.rsample(law, (200,), noise=seeded(1))
    assert law.support.check(x).all()
    w = (x * loc).sum(-1)
    error = w.std(0) / math.sqrt(200) + 1e-6
    assert ((w.mean(0) - law.mean @ loc).abs() < 5.5 * error).all()
    grads = torch.autograd.grad((x.square() * torch.linspace(0, 1, 1000)).sum() + law.log_prob(x).sum(), (loc, kappa))
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_concentrated_samples_keep_their_digits_in_float32() -> None:
    """The squared distance to the mode, kappa |x - mu|^2 / 2 ~ Gamma((d - 1) / 2), is not rounded away."""
    law = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), 1e5)
    x = rp.rsample(law, (20_000,), noise=seeded(5))
    scaled = 5e4 * (x[:, :2].double().square().sum(-1))
    assert abs(scaled.mean() - 1) < 5.5 / math.sqrt(20_000) + 1e-4
    assert (scaled.log().std() - math.pi / math.sqrt(6)).abs() < 0.05


def test_errors_in_three_parts() -> None:
    loc = torch.tensor([1.0, 0.0])
    for arguments, what in (
        ((2.0 * loc, 1.0), "loc must satisfy"),
        ((loc, -1.0), "concentration must satisfy"),
        ((loc[:1], 1.0), "two dimensions or more"),
        ((loc.expand(3, 2), torch.ones(2)), "must broadcast against loc"),
        ((0.5, 1.0), "two dimensions or more"),
    ):
        with pytest.raises(InvalidArgument, match=rf"(?s){what}.*received: .*instead: "):
            VonMisesFisher(*arguments)
    with pytest.raises(InvalidArgument, match="more than one piece of base noise"):
        rp.rsample(VonMisesFisher(loc, 1.0), noise=torch.tensor(0.5, dtype=torch.float64))
    with pytest.raises(InvalidArgument, match="share one dtype"):
        VonMisesFisher(loc, torch.tensor(1.0, dtype=torch.float64)).rsample()


@pytest.mark.parametrize("in_dims", [(0, 0), (None, 0), (0, None)])
def test_the_quantile_as_one_operation(in_dims):
    """What the compiler is given in its place: the same values, fake and batched, samples before the batch."""
    u = torch.rand(*[6] * (in_dims[0] is not None), 5, 3, dtype=torch.float64)
    kappa = 4 * torch.rand(*[6] * (in_dims[1] is not None), 3, dtype=torch.float64)
    batched = torch.vmap(lambda u, kappa: _opaque_quantile(u, kappa, 4), in_dims=in_dims)(u, kappa)
    for i, got in enumerate(batched):
        one_u, one_kappa = (t if dim is None else t[i] for t, dim in zip((u, kappa), in_dims, strict=True))
        torch.testing.assert_close(got, _quantile(one_u, one_kappa, 4), rtol=1e-12, atol=0)
        torch.library.opcheck(_opaque_quantile, (one_u, one_kappa, 4))
