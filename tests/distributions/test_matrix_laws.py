"""MatrixNormal, MultivariateStudentT and InverseWishart: one set of checks, one exact reference each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

import reparam as rp
from reparam.distributions import InverseWishart, MatrixNormal, MultivariateStudentT
from reparam.errors import InvalidArgument

from .conformance import CHECKS, Case, seeded, wraps

L2 = torch.tensor([[1.2, 0.0], [-0.5, 0.6]], dtype=torch.float64)
R2 = torch.tensor([[0.7, 0.0], [0.9, 1.1]], dtype=torch.float64)
LOC = torch.tensor([1.0, -2.0], dtype=torch.float64)
CASES = [
    Case(MatrixNormal, {"loc": torch.diag(LOC), "row_scale_tril": L2, "column_scale_tril": R2}),
    Case(
        MultivariateStudentT,
        {"df": 5.0, "loc": LOC, "scale_tril": L2},
        extremes=({"df": 0.5}, {"df": 1e6}, {"scale_tril": 1e-10 * L2, "df": 2.0}),
    ),
    Case(MultivariateStudentT, {"df": 5.0, "loc": LOC, "scale_matrix": L2 @ L2.mT}),
    Case(InverseWishart, {"df": 8.0, "scale_tril": L2}, extremes=({"df": 3.0}, {"df": 1e4})),
    Case(InverseWishart, {"df": 8.0, "scale_matrix": L2 @ L2.mT}),
]
IDS = ["matrix-normal", "student-tril", "student-matrix", "inverse-wishart-tril", "inverse-wishart-matrix"]


# `wraps` goes backward twice through one object, whose constructor's factorisation, as torch's, is a single graph.
ROWS = [
    pytest.param(case, check, id=f"{name}-{check.__name__}")
    for case, name in zip(CASES, IDS, strict=True)
    for check in CHECKS
    if check is not wraps or "scale_matrix" not in case.parameters
]


@pytest.mark.parametrize(("case", "check"), ROWS)
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def reference(d: Distribution) -> Any:
    """The same law in scipy."""
    if isinstance(d, MatrixNormal):
        return stats.matrix_normal(d.loc.numpy(), d.row_covariance.numpy(), d.column_covariance.numpy())
    if isinstance(d, MultivariateStudentT):
        return stats.multivariate_t(d.loc.numpy(), d.scale_matrix.numpy(), float(d.df))
    assert isinstance(d, InverseWishart)
    return stats.invwishart(float(d.df), d.scale_matrix.numpy())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_densities_and_moments_are_scipys(case: Case) -> None:
    d, law = case.at(), reference(case.at())
    x = d.sample((5,))
    assert d.log_prob(x).tolist() == pytest.approx([float(law.logpdf(v.numpy())) for v in x], rel=1e-10)
    if not isinstance(d, InverseWishart):
        assert d.entropy().item() == pytest.approx(float(law.entropy()), rel=1e-10)
    else:  # scipy's entropy of this law is off by (d + 1) / 2 log 2; see the next tests
        assert d.mean.flatten().tolist() == pytest.approx(law.mean().ravel().tolist())
        assert d.mode.flatten().tolist() == pytest.approx(law.mode().ravel().tolist())
        assert d.variance.flatten().tolist() == pytest.approx(law.var().ravel().tolist())


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_samples_have_their_moments(case: Case) -> None:
    d, n = case.at(df=40.0) if "df" in case.parameters else case.at(), 20_000
    x = rp.rsample(d, (n,), noise=seeded(4))
    squares = (x - d.mean).square()
    for draws, exact in ((x, d.mean), (squares, d.variance)):
        assert ((draws.mean(0) - exact).abs() < 5.5 * draws.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_second_moments_move_exactly(case: Case) -> None:
    """Per draw, forward mode in all parameters at once, along a direction that keeps each in its constraint."""
    values = tuple(case.tensors())
    if "df" in case.parameters:
        values = (torch.tensor(40.0, dtype=torch.float64), *values[1:])
    tangents = tuple(0.1 * value * (1 + torch.arange(value.numel()).view(value.shape)) for value in values)
    tangents = tuple(
        t + t.mT if name == "scale_matrix" else t for name, t in zip(case.parameters, tangents, strict=True)
    )

    def second(*p: Tensor) -> Tensor:
        d = case.make(*p, validate_args=False)
        return d.variance + d.mean.square()

    n = 20_000
    x, dx = torch.func.jvp(
        lambda *p: rp.rsample(case.make(*p, validate_args=False), (n,), noise=seeded(6)), values, tangents
    )
    mean, d_mean = torch.func.jvp(lambda *p: case.make(*p, validate_args=False).mean, values, tangents)
    _, d_second = torch.func.jvp(second, values, tangents)
    for draws, exact in ((x, mean), (dx, d_mean), (2 * x * dx, d_second)):
        assert ((draws.mean(0) - exact).abs() < 5.5 * draws.std(0) / math.sqrt(n) + 1e-12).all()


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[3]], ids=["matrix-normal", "student", "inverse-wishart"])
def test_log_prob_differentiates_twice(case: Case) -> None:
    values, x = case.tensors(grad=True), case.at().sample((2,))
    assert torch.autograd.gradcheck(lambda *p: case.make(*p, validate_args=False).log_prob(x), values)
    assert torch.autograd.gradgradcheck(lambda *p: case.make(*p, validate_args=False).log_prob(x), values)
    assert torch.autograd.gradcheck(lambda *p: case.make(*p, validate_args=False).entropy(), values)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (MatrixNormal(torch.diag(LOC), L2, R2), MatrixNormal(torch.zeros(2, 2).double(), R2, L2)),
        (InverseWishart(8.0, L2), InverseWishart(6.5, R2)),
    ],
    ids=["matrix-normal", "inverse-wishart"],
)
def test_kl_is_the_mean_log_ratio(p: Distribution, q: Distribution) -> None:
    x = rp.rsample(p, (20_000,), noise=seeded(8))
    ratio = p.log_prob(x) - q.log_prob(x)
    assert abs(ratio.mean() - kl_divergence(p, q)) < 5.5 * ratio.std() / math.sqrt(len(x))
    assert kl_divergence(p, p).item() == pytest.approx(0.0, abs=1e-12)


def test_inverse_wishart_of_one_dimension_moves_as_an_inverse_gamma() -> None:
    """X = 1 / (2 g) with g ~ Gamma(df / 2), whose distribution function mpmath has."""
    df = torch.tensor(3.0, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    x, dx = torch.func.jvp(
        lambda nu: rp.rsample(InverseWishart(nu, one, validate_args=False), (4,), noise=seeded())[:, 0, 0],
        (df,),
        (torch.ones_like(df),),
    )
    with mpmath.workdps(40):
        for value, slope in zip(x.tolist(), dx.tolist(), strict=True):

            def cdf(t: Any, nu: Any) -> Any:
                return mpmath.gammainc(nu / 2, 1 / (2 * t), regularized=True)

            moved = mpmath.diff(lambda nu, v=value: cdf(mpmath.mpf(v), nu), mpmath.mpf(3))
            density = mpmath.diff(lambda t: cdf(t, mpmath.mpf(3)), mpmath.mpf(value))
            assert slope == pytest.approx(float(-moved / density), rel=1e-8)


def test_inverse_wishart_entropy() -> None:
    nu, psi = torch.tensor(3.0, dtype=torch.float64), torch.full((1, 1), 2.5, dtype=torch.float64)
    inverse_gamma = torch.distributions.InverseGamma(nu / 2, psi[0, 0] / 2).entropy()
    torch.testing.assert_close(InverseWishart(nu, scale_matrix=psi).entropy(), inverse_gamma, rtol=1e-13, atol=0)
    d = InverseWishart(8.0, L2)
    surprise = -d.log_prob(rp.rsample(d, (20_000,), noise=seeded(9)))
    assert abs(surprise.mean() - d.entropy()) < 5.5 * surprise.std() / math.sqrt(20_000)


def test_inverse_wishart_near_its_singular_edge_keeps_every_sample() -> None:
    """torch's Wishart redraws here, in place, and then raises in backward."""
    df = torch.tensor(2.05, dtype=torch.float64, requires_grad=True)
    x = InverseWishart(df, scale_tril=torch.eye(3, dtype=torch.float64)).rsample((200,))
    assert torch.isfinite(torch.autograd.grad(x.diagonal(dim1=-2, dim2=-1).log().sum(), df)[0])


def test_errors_in_three_parts() -> None:
    eye = torch.eye(2)
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: InverseWishart(1.0, eye), "above d - 1 = 1"),
        (lambda: InverseWishart(4.0), "exactly one of scale_tril and scale_matrix"),
        (lambda: InverseWishart(4.0, eye, eye), "exactly one of scale_tril and scale_matrix"),
        (lambda: InverseWishart(4.0, scale_matrix=-eye), "symmetric and positive definite"),
        (lambda: InverseWishart(4.0, eye).log_prob(-eye), "support"),
        (lambda: InverseWishart(4.0, torch.ones(2, 3)), "square"),
        (lambda: MultivariateStudentT(4.0, torch.zeros(3), eye), "the size of the scale"),
        (lambda: MultivariateStudentT(torch.ones(3), torch.zeros(4, 2), eye), "broadcast"),
        (lambda: MatrixNormal(torch.zeros(2, 3), eye, eye), "rows and columns"),
        (lambda: MatrixNormal([[0.0]], eye, eye), "must be a tensor"),  # pyright: ignore[reportArgumentType]
        (lambda: MultivariateStudentT(4.0, [0.0, 0.0], eye), "must be a tensor"),  # pyright: ignore[reportArgumentType]
        (lambda: InverseWishart(4.0, eye.long()), "floating-point"),
        (lambda: MatrixNormal(torch.zeros(2, 2), eye, eye.flip(0)), "column_scale_tril must satisfy"),
        (lambda: kl_divergence(InverseWishart(4.0, eye), InverseWishart(4.0, torch.eye(3))), "one event shape"),
    ]
    for call, what in calls:
        with pytest.raises(InvalidArgument, match=rf"(?s){what}.*received: .*instead: "):
            call()


def test_variance_of_few_degrees_of_freedom() -> None:
    d = MultivariateStudentT(torch.tensor([0.5, 1.5, 4.0]), torch.zeros(2), torch.eye(2))
    assert d.variance[:, 0].isnan().tolist() == [True, False, False]
    assert d.variance[1:, 0].tolist() == [math.inf, 2.0]
    assert d.mean[:, 0].isnan().tolist() == [True, False, False]


@pytest.mark.parametrize("df", [1e-3, 30.0, 1e6, 1e10])
def test_student_density_and_entropy_keep_their_digits(df: float) -> None:
    """Differences of log-Gammas of 1e11 would leave six digits at df = 1e10."""
    x = torch.tensor([0.7, -1.1], dtype=torch.float64)
    law = MultivariateStudentT(torch.tensor(df, dtype=torch.float64), torch.zeros_like(x), torch.eye(2).double())
    with mpmath.workdps(50):
        nu, square = mpmath.mpf(df), sum(mpmath.mpf(v) ** 2 for v in x.tolist())
        peak = mpmath.loggamma(nu / 2 + 1) - mpmath.loggamma(nu / 2) - mpmath.log(nu * mpmath.pi)
        density = peak - (nu / 2 + 1) * mpmath.log1p(square / nu)
        entropy = (nu / 2 + 1) * (mpmath.digamma(nu / 2 + 1) - mpmath.digamma(nu / 2)) - peak
    assert law.log_prob(x).item() == pytest.approx(float(density), rel=1e-13)
    assert law.entropy().item() == pytest.approx(float(entropy), rel=1e-13)
