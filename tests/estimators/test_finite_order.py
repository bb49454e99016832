"""Finite-order slopes, by enumeration: the published closed forms, exact to their degree and biased beyond it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

import reparam as rp
from estimators.drawn import expected_gradient, surrogates_at, t, true_gradient
from reparam.distributions import BetaBinomial, LogarithmicSeries, ZeroInflated
from reparam.testing import z_test

_X = torch.arange(0.0, 120.0, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Row:
    """A univariate family at one value of one parameter.

    Attributes:
        make: builds the law of its parameter.
        at: the parameter.
        points: all values that carry any weight.
        orders: for which it is tested.
        closed: by order, the published slope `w(x, parameter)`.
    """

    name: str
    make: Callable[[Tensor], Distribution]
    at: float
    points: Tensor
    orders: tuple[int, ...] = (1, 2, 3, 4)
    closed: dict[int, Callable[[Tensor, float], Tensor]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def leaf(self) -> Tensor:
        return torch.tensor(self.at, dtype=torch.float64, requires_grad=True)


def _sigmoid(v: float) -> float:
    return torch.sigmoid(t(v))[0].item()


def _poisson(rate: float) -> dict[int, Callable[[Tensor, float], Tensor]]:
    return {
        2: lambda x, _: (x + rate) / 2,
        3: lambda x, _: 5 * rate / 12 + (8 * rate + 1) / (12 * rate) * x - x**2 / (12 * rate),
        4: lambda x, _: (
            3 * rate / 8
            + (19 * rate**2 + 5 * rate + 2) / (24 * rate**2) * x
            - (5 * rate + 3) / (24 * rate**2) * x**2
            + x**3 / (24 * rate**2)
        ),
    }


def _binomial_3(x: Tensor, logit: float) -> Tensor:
    n, p = 5, _sigmoid(logit)
    q = 1 - p
    linear = (1 - 2 * p) / 2 + (2 * n * p + 1 - 2 * p) / (12 * (n - 1) * p * q)
    return n * p * (5 - 6 * p) / (12 * q) + linear * x - x**2 / (12 * (n - 1) * p * q)


def _negative_binomial_3(x: Tensor, logit: float) -> Tensor:
    r, p = 2.5, _sigmoid(logit)
    q = 1 - p
    linear = (1 + p) / 2 + q**2 * (2 * r * p + 1 + p) / (12 * p * (r + 1))
    return r * p * (p + 5) / 12 + linear * x - q**3 / (12 * p * (r + 1)) * x**2


def _failures_3(x: Tensor, log_r: float) -> Tensor:
    r, p = t(log_r).exp()[0].item(), 0.4
    q = 1 - p
    linear = 0.5 + (1 + p) * (2 * r * p + 1 + p) / (12 * p * (r + 1))
    return r * p * (5 - p) / (12 * q) + linear * x - q * (1 + p) / (12 * p * (r + 1)) * x**2


def _beta_binomial(logit: Tensor, log_size: Tensor) -> Distribution:
    size, mean = log_size.exp(), torch.sigmoid(logit)
    return BetaBinomial(size * mean, size * (1 - mean), 6)


def _beta_binomial_3(x: Tensor, logit: float) -> Tensor:
    n, k, m = 6, 3.0, _sigmoid(logit)
    s = (2 * k * n * m - 2 * k * m + k + 2 * n) / (k + 2)
    c = k * n * m * (n - 1) * (k * m + 1) / ((k + 1) * (k + 2))
    top = -(k + 1) * (k + 2) * (k + 3) * (k + 2 * n)
    square = top / (12 * k * (n - 1) * (k * m + 1) * (k * (1 - m) + 1) * (k + n + 1))
    return (n * m / 2 + square * c) + ((1 - 2 * m) / 2 - square * s) * x + square * x**2


ROWS = [
    Row("Poisson log-rate", lambda v: td.Poisson(v.exp()), 0.9, _X, closed=_poisson(t(0.9).exp()[0].item())),
    Row("Poisson small", lambda v: td.Poisson(v.exp()), -4.0, _X[:40], closed=_poisson(t(-4.0).exp()[0].item())),
    Row("Poisson rate", td.Poisson, 4.0, _X),
    Row(
        "Bernoulli logits",
        lambda v: td.Bernoulli(logits=v),
        0.7,
        t(0.0, 1.0),
        (1, 2),
        {2: lambda x, v: _sigmoid(v) / 2 + (1 - 2 * _sigmoid(v)) * x / 2},
    ),
    Row("Bernoulli probs", td.Bernoulli, 0.3, t(0.0, 1.0), (1, 2)),
    Row(
        "Binomial logits",
        lambda v: td.Binomial(5, logits=v),
        -0.8,
        _X[:6],
        closed={2: lambda x, v: 5 * _sigmoid(v) / 2 + (1 - 2 * _sigmoid(v)) * x / 2, 3: _binomial_3},
    ),
    Row("Binomial probs", lambda v: td.Binomial(5, v), 0.3, _X[:6]),
    Row(
        "NegativeBinomial logits",
        lambda v: td.NegativeBinomial(t(2.5)[0], logits=v),
        -0.6,
        _X,
        closed={2: lambda x, v: 2.5 * _sigmoid(v) / 2 + (1 + _sigmoid(v)) * x / 2, 3: _negative_binomial_3},
    ),
    Row(
        "NegativeBinomial log-count",
        lambda v: td.NegativeBinomial(v.exp(), t(0.4)[0]),
        0.9,
        _X,
        closed={2: lambda x, v: t(v).exp() * 0.4 / 1.2 + x / 2, 3: _failures_3},
    ),
    Row("Geometric probs", td.Geometric, 0.5, _X),
    Row("Geometric logits", lambda v: td.Geometric(logits=v), 0.4, _X),
    Row(
        "BetaBinomial mean",
        lambda v: _beta_binomial(v, t(3.0)[0].log()),
        0.4,
        _X[:7],
        closed={2: lambda x, v: 3 * _sigmoid(v) + (1 - 2 * _sigmoid(v)) * x / 2, 3: _beta_binomial_3},
    ),
    Row(
        "BetaBinomial size",
        lambda v: _beta_binomial(t(0.4)[0], v),
        1.1,
        _X[:7],
        closed={2: lambda x, v: (t(v).exp() * 5 / (2 * (t(v).exp() + 1) * (t(v).exp() + 6))) * (6 * _sigmoid(0.4) - x)},
    ),
    Row("Categorical logits", lambda v: td.Categorical(logits=v * t(0.5, -1.0, 2.0, 0.0)), 0.8, torch.arange(4)),
    Row("LogarithmicSeries", LogarithmicSeries, 0.4, _X[1:], (1, 2)),
    Row("ZeroInflated", lambda v: ZeroInflated(td.Poisson(t(2.0)[0]), v), 0.3, _X, (1, 2)),
]


@pytest.mark.parametrize(("row", "order"), [(row, order) for row in ROWS for order in row.closed], ids=lambda v: str(v))
def test_slopes_are_the_published_ones(row: Row, order: int):
    parameter = row.leaf()
    points = row.points[:12]
    y = surrogates_at(rp.Fini(order), row.make(parameter), points)
    slopes = torch.stack([torch.autograd.grad(y_i, parameter, retain_graph=True)[0] for y_i in y])
    assert torch.equal(y.detach(), points)
    torch.testing.assert_close(slopes, row.closed[order](points, row.at), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("row", "order"), [(row, order) for row in ROWS for order in row.orders], ids=lambda v: str(v))
def test_exact_up_to_its_degree_and_biased_beyond(row: Row, order: int):
    parameter = row.leaf()
    dist = row.make(parameter)
    for degree in range(1, order + 2):

        def power(x: Tensor, degree: int = degree) -> Tensor:
            return (x / 3) ** degree

        got = expected_gradient(rp.Fini(order), dist, row.points, power, parameter)
        wanted = true_gradient(dist, row.points, power, parameter)
        if degree <= order:
            torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)
        else:
            assert abs(got / wanted - 1) > 1e-4


@pytest.mark.parametrize(
    ("make", "at", "points"),
    [
        (td.Poisson, 1e-6, _X[:30]),
        (td.Poisson, 1000.0, torch.arange(300.0, 1900.0, dtype=torch.float64)),
        (lambda v: td.Binomial(12, v), 1e-6, _X[:13]),
        (lambda v: td.Binomial(12, v), 1 - 1e-6, _X[:13]),
        (lambda v: td.NegativeBinomial(t(0.3)[0], v), 1e-5, _X[:40]),
        (lambda v: td.NegativeBinomial(v, t(1e-5)[0]), 0.3, _X[:40]),
    ],
    ids=["rare", "frequent", "hardly", "nearly", "rare sums", "rare failures"],
)
def test_high_orders_stay_exact_where_the_law_is_narrow_or_wide(make, at: float, points: Tensor):
    """Order 6 of costs about the nearest value: the slopes are as large as 1 / rate^5, and must not lose it."""
    parameter = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    dist = make(parameter)
    centre, scale = dist.mean.detach().round(), dist.stddev.detach().clamp(min=1.0)
    for degree in range(1, 7):

        def power(x: Tensor, degree: int = degree) -> Tensor:
            return ((x - centre) / scale) ** degree

        got = expected_gradient(rp.Fini(6), dist, points, power, parameter)
        torch.testing.assert_close(got, true_gradient(dist, points, power, parameter), rtol=1e-9, atol=1e-11)


def test_the_bias_is_of_the_first_unmatched_degree():
    """Poisson, order 2, cubic cost: E[w x^2] - d E[x^3] / 3 per log-rate is rate / 6."""
    for rate in (0.5, 3.0):
        log_rate = t(rate).log()[0].requires_grad_()
        dist = td.Poisson(log_rate.exp())
        got = expected_gradient(rp.Fini(2), dist, _X, lambda x: x**3 / 3, log_rate)
        bias = got - true_gradient(dist, _X, lambda x: x**3 / 3, log_rate)
        assert bias.item() == pytest.approx(rate / 6, rel=1e-9)


def test_orders_that_are_the_same_estimator():
    """Order 1 is straight-through; order 2 is the minimum-variance estimator, and ReinMax of a Bernoulli."""
    logit = t(0.7)[0].requires_grad_()
    bernoulli = td.Bernoulli(logits=logit)
    second = [surrogates_at(via, bernoulli, t(0.0, 1.0)) for via in (rp.Fini(2), rp.MVE(), rp.ReinMax())]
    first = [surrogates_at(via, bernoulli, t(0.0, 1.0)) for via in (rp.Fini(1), rp.StraightThrough())]
    for group in (second, first):
        slopes = [torch.autograd.grad(y @ t(0.3, 1.0), logit, retain_graph=True)[0] for y in group]
        for slope in slopes[1:]:
            torch.testing.assert_close(slope, slopes[0], rtol=1e-12, atol=1e-14)


def _one_hot_slopes(via: rp.estimators.SurrogateEstimator, logits: Tensor) -> Tensor:
    """W of shape (class drawn, logit, entry of the vector)."""
    leaf = logits.clone().requires_grad_()
    eye = torch.eye(len(logits), dtype=torch.float64)
    y = surrogates_at(via, td.OneHotCategorical(logits=leaf), eye)
    assert torch.equal(y.detach(), eye)
    rows = [torch.autograd.grad(entry, leaf, retain_graph=True)[0] for entry in y.flatten()]
    return torch.stack(rows).view(len(eye), len(eye), len(eye)).mT


def _least_norm_slopes(logits: Tensor) -> Tensor:
    """By brute force: exactness on all monomials of degree up to two as equations, and their least-norm solution."""
    size, p = len(logits), logits.softmax(-1)
    jacobian = torch.diag(p) - torch.outer(p, p)
    eye = torch.eye(size, dtype=torch.float64)
    rows, sides = [], []
    for m in range(size):  # of the gradient in logit m: unknown v_(i j) = sqrt(p_i) W_(i m j)
        for j in range(size):
            equation = torch.zeros(size, size, size, dtype=torch.float64)
            equation[:, m, j] = p.sqrt()
            rows.append(equation.flatten())
            sides.append(jacobian[m, j])
        for a, b in itertools.combinations_with_replacement(range(size), 2):
            equation = torch.zeros(size, size, size, dtype=torch.float64)
            equation[a, m, b] += p[a].sqrt()
            equation[b, m, a] += p[b].sqrt()
            rows.append(equation.flatten())
            sides.append((jacobian @ (eye[a] * eye[b]))[m])
    solution = torch.linalg.pinv(torch.stack(rows)) @ torch.stack(sides)
    return solution.view(size, size, size) / p.sqrt().view(-1, 1, 1)


@pytest.mark.parametrize("logits", [t(0.3, -1.0), t(0.3, -1.0, 0.5), t(2.0, 0.0, -3.0, 0.5)], ids=len)
def test_the_one_hot_slope_is_the_least_of_the_exact_ones(logits: Tensor):
    expected = _least_norm_slopes(logits)
    for via in (rp.MVE(), rp.Fini(2)):
        torch.testing.assert_close(_one_hot_slopes(via, logits), expected, rtol=1e-8, atol=1e-10)
    p = logits.softmax(-1)
    norms = [(p * _one_hot_slopes(via, logits).square().sum((1, 2))).sum() for via in (rp.MVE(), rp.ReinMax())]
    assert norms[0] < norms[1] or len(logits) == 2


def test_reinmax_is_the_symmetric_exact_slope():
    logits = t(0.3, -1.0, 0.5, 2.0)
    p = logits.softmax(-1)
    apart = torch.eye(4, dtype=torch.float64) - p
    expected = (torch.diag(p) - torch.outer(p, p) + apart.unsqueeze(-1) * apart.unsqueeze(-2)) / 2
    torch.testing.assert_close(_one_hot_slopes(rp.ReinMax(1.0), logits), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("via", [rp.ReinMax(), rp.MVE(), rp.Fini(2)], ids=lambda via: type(via).__name__)
def test_one_hot_quadratics_are_exact_and_cubics_are_not(via):
    logits = t(0.3, -1.0, 0.5, 2.0).requires_grad_()
    dist, eye = td.OneHotCategorical(logits=logits), torch.eye(4, dtype=torch.float64)
    matrix = torch.randn(4, 4, dtype=torch.float64)

    def quadratic(x: Tensor) -> Tensor:
        return ((x @ matrix) * x).sum(-1) + x @ matrix[0]

    def cubic(x: Tensor) -> Tensor:
        return (x @ t(1.0, 2.0, 3.0, -1.0)) ** 3

    got = expected_gradient(via, dist, eye, quadratic, logits)
    torch.testing.assert_close(got, true_gradient(dist, eye, quadratic, logits), rtol=1e-9, atol=1e-11)
    got = expected_gradient(via, dist, eye, cubic, logits)
    assert (got - true_gradient(dist, eye, cubic, logits)).abs().max() > 1e-2


def test_impossible_and_nearly_impossible_classes_do_no_harm():
    logits = torch.tensor([0.0, -torch.inf, 1.0, -90.0], requires_grad=True)
    for via in (rp.MVE(), rp.ReinMax(1.2), rp.GumbelRao(0.5), rp.GumbelSoftmax(0.5), rp.StraightThrough()):
        y = rp.rsample(td.OneHotCategorical(logits=logits, validate_args=False), (40,), via=via)
        (slope,) = torch.autograd.grad((y * torch.arange(4)).sum(), logits)
        assert torch.isfinite(y).all(), via
        assert torch.isfinite(slope).all(), via
        assert (slope[[0, 2]] != 0).all(), via
    logit = torch.tensor([-torch.inf, 0.0, 90.0, torch.inf], requires_grad=True)
    for via in (rp.ReinMax(1.2), rp.GumbelRao(0.5), rp.GumbelSoftmax(0.5), rp.StraightThrough()):
        b = rp.rsample(td.Bernoulli(logits=logit, validate_args=False), (40,), via=via)
        (slope,) = torch.autograd.grad(b.sum(), logit)
        assert (b[:, 0] == 0).all(), via
        assert (b[:, 3] == 1).all(), via
        assert slope[[0, 3]].tolist() == [0.0, 0.0], via
        assert torch.isfinite(slope).all(), via


def test_samples_of_float32_estimate_what_enumeration_says():
    """The whole way: torch's sampler, the slope, `expect`, and its float32 arithmetic, against the exact derivative."""
    rate = torch.full((20_000,), 0.5, requires_grad=True)
    value = rp.expect(lambda x: x**2 - 3 * x, td.Poisson(rate), rp.Fini(2))
    assert z_test(torch.autograd.grad(value.sum(), rate)[0], -1.0).passed
    biased = rp.expect(lambda x: x**3, td.Poisson(rate), rp.Fini(2, samples=4))
    assert not z_test(torch.autograd.grad(biased.sum(), rate)[0], 4.75).passed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.Fini(0), "order to be a positive integer"),
        (lambda: rp.Fini(2.5), "order to be a positive integer"),
        (lambda: rp.rsample(td.Normal(0.0, 1.0), via=rp.Fini()), "Fini is defined for discrete"),
        (lambda: rp.rsample(td.Multinomial(3, torch.ones(3)), via=rp.Fini()), "Fini is defined for discrete"),
        (lambda: rp.rsample(td.OneHotCategorical(torch.ones(3)), via=rp.Fini(3)), "4 known moments"),
        (lambda: rp.rsample(LogarithmicSeries(0.5), via=rp.Fini(3)), "4 known moments"),
        (lambda: rp.rsample(td.Poisson(torch.tensor(0.0)), via=rp.Fini()), "cannot vary"),
        (lambda: rp.rsample(td.Bernoulli(0.5), via=rp.Fini(3)), "fewer than 3 values"),
        (lambda: rp.rsample(td.Binomial(2, 0.5), via=rp.Fini(4)), "fewer than 4 values"),
        (lambda: rp.rsample(td.Categorical(torch.ones(3)), via=rp.Fini(4)), "fewer than 4 values"),
        (lambda: rp.rsample(td.Poisson(3.0), via=rp.MVE()), "MVE is defined for Bernoulli"),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
