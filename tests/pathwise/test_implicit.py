"""Implicit families: the derivative at the sample against the distribution function in arbitrary precision."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from moments import LIMIT, gradient_z, scalar_gradient_z
from torch import Tensor
from torch import distributions as td

import reparam as rp

F64 = torch.float64


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=True)


def student_cdf(x, df):
    tail = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + x * x), regularized=True) / 2
    return tail if x < 0 else 1 - tail


LAWS: dict[str, tuple[Callable, Callable]] = {
    "Gamma": (td.Gamma, lambda x, a, r: mp.gammainc(a, 0, r * x, regularized=True)),
    "InverseGamma": (td.InverseGamma, lambda x, a, r: mp.gammainc(a, r / x, mp.inf, regularized=True)),
    "Chi2": (td.Chi2, lambda x, df: mp.gammainc(df / 2, 0, x / 2, regularized=True)),
    "Beta": (td.Beta, lambda x, a, b: mp.betainc(a, b, 0, x, regularized=True)),
    "FisherSnedecor": (
        td.FisherSnedecor,
        lambda x, m, n: mp.betainc(m / 2, n / 2, 0, m * x / (m * x + n), regularized=True),
    ),
    "StudentT": (lambda df, scale: td.StudentT(df, 0 * df, scale), lambda x, df, s: student_cdf(x / s, df)),
}
POINTS = {1: [(0.3,), (7.0,)], 2: [(0.3, 2.0), (5.0, 0.7), (40.0, 30.0)]}


@pytest.mark.parametrize("name", LAWS)
def test_derivative_at_the_sample(name: str):
    make, cdf = LAWS[name]
    for point in POINTS[cdf.__code__.co_argcount - 1]:
        theta = [torch.tensor(v, dtype=F64, requires_grad=True) for v in point]
        x = rp.rsample(make(*theta))
        slopes = torch.autograd.grad(x, theta)
        with mp.workdps(40):
            at = [mp.mpf(v) for v in (x.item(), *point)]
            partials = [mp.diff(cdf, tuple(at), n=tuple(int(i == j) for j in range(len(at)))) for i in range(len(at))]
        exact = [float(-moved / partials[0]) for moved in partials[1:]]
        assert [s.item() for s in slopes] == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("name", LAWS)
def test_second_derivative_follows_the_sample(name: str):
    # x(theta + h) is x + slope h to first order, and the second derivative is the slope's along that path.
    from reparam.pathwise import _log_gamma, beta, student_t

    slope_of = {"Beta": beta._slopes, "FisherSnedecor": beta._slopes, "StudentT": student_t._slope}
    slope = slope_of.get(name, _log_gamma._slope)
    theta = [t(0.8), t(2.5)] if slope is beta._slopes else [t(0.8)]
    x = torch.tensor([0.4], dtype=F64)
    from reparam.kernels.implicit import attach

    moved = attach(slope, x, *theta)
    (first,) = torch.autograd.grad(moved, theta[0], create_graph=True)
    (second,) = torch.autograd.grad(first, theta[0])
    h = 1e-5
    ends = []
    for step in (h, -h):
        parameters = [theta[0].detach() + step, *theta[1:]]
        ends.append(slope(x + first.detach() * step, parameters, [True, False])[0])
    assert second.item() == pytest.approx(((ends[0] - ends[1]) / (2 * h)).item(), rel=1e-5)


def test_beta_of_two_tiny_shapes_moves_at_its_true_rate():
    # d E[x] / da = b / (a + b)^2 = 250 at a = b = 1e-3, where torch finds 30,690 and puts 24% of the samples at 1/2.
    x = rp.rsample(td.Beta(t(1e-3), t(1e-3)), (1000,))
    assert ((x > 0.4) & (x < 0.6)).double().mean() < 0.02
    assert scalar_gradient_z(td.Beta, (1e-3, 1e-3), (250.0, -250.0), 100).abs().max() < LIMIT


@pytest.mark.parametrize(("a", "b"), [(2.0, 1e6), (3e4, 2.0), (1.0, 3e4)])
def test_beta_with_one_large_shape(a: float, b: float):
    exact = (b / (a + b) ** 2, -a / (a + b) ** 2)
    assert scalar_gradient_z(td.Beta, (a, b), exact, 50).abs().max() < LIMIT


def test_float32_beta_of_very_unequal_shapes_is_finite():
    a = torch.tensor(2.0**16 + 500, requires_grad=True)
    x = rp.rsample(td.Beta(a, torch.tensor(1.5)), (1000,))
    (slope,) = torch.autograd.grad(x.mean(), a)
    assert torch.isfinite(slope)


def test_dirichlet_cross_moments():
    concentration = t(0.3, 1.2, 2.0)
    total = concentration.sum()
    i, j = 0, 2
    exact = concentration[i] * concentration[j] / (total * (total + 1))
    (slope,) = torch.autograd.grad(exact, concentration)
    z = gradient_z(
        lambda: rp.rsample(td.Dirichlet(concentration), (100,)), lambda x: x[:, i] * x[:, j], [concentration], [slope]
    )
    assert z.abs().max() < LIMIT


@pytest.mark.parametrize("kappa", [1e-3, 0.5, 3.0, 100.0, 1e5])
def test_von_mises_by_quadrature_in_its_uniform(kappa: float):
    # The midpoint rule in u is the expectation: E[cos x] = I1 / I0, whose slope is known.
    concentration, loc = t(kappa), t(0.4)
    n = 20_001
    u = ((torch.arange(n, dtype=F64) + 0.5) / n).unsqueeze(-1)
    x = rp.rsample(td.VonMises(loc, concentration), (n,), noise=u)
    by_kappa, by_loc = torch.autograd.grad(
        torch.cos(x - loc.detach()).mean() + torch.sin(x).mean(), [concentration, loc]
    )
    with mp.workdps(30):
        mean = lambda k: mp.besseli(1, k) / mp.besseli(0, k)  # noqa: E731
        slope, length = float(mp.diff(mean, kappa)), float(mean(kappa))
    assert by_kappa.item() == pytest.approx(slope * (1 + torch.sin(loc).item()), rel=2e-3)
    assert by_loc.item() == pytest.approx(length * torch.cos(loc).item(), rel=1e-4)


def test_von_mises_quantile_inverts_its_distribution_function():
    kappa = torch.logspace(-3, 5, 200, dtype=F64)
    u = torch.rand(200, dtype=F64)
    x = rp.rsample(td.VonMises(torch.zeros(200, dtype=F64), kappa), noise=u)
    torch.testing.assert_close(rp.special.von_mises.von_mises_cdf(x, kappa), u, rtol=1e-12, atol=1e-13)
