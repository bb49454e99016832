"""ARM, DisARM and ARMS: every outcome of the uniforms they couple, for value, first and second derivative."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.outcomes import cost, derivatives, expectation, product, summed, t
from reparam import testing
from reparam.estimators import antithetic
from reparam.estimators.decisions import decisions

BITS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
THREE, FOUR = torch.arange(3), torch.arange(4)
FAMILIES = {
    "Bernoulli logits": (lambda p: td.Bernoulli(logits=p[:, 0]), t(0.3), t(0.0, 1.0)),
    "Bernoulli logits 0": (lambda p: td.Bernoulli(logits=p[:, 0]), t(0.0), t(0.0, 1.0)),
    "Bernoulli probs": (lambda p: td.Bernoulli(probs=p[:, 0]), t(0.2), t(0.0, 1.0)),
    "Independent logits": (lambda p: td.Independent(td.Bernoulli(logits=p), 1), t(0.3, 0.0, -1.0), BITS),
    "Independent probs": (lambda p: td.Independent(td.Bernoulli(probs=p), 1), t(0.3, 0.5, 0.8), BITS),
    "Categorical logits": (lambda p: td.Categorical(logits=p), t(0.3, -1.0, 0.5), THREE),
    "Categorical 4": (lambda p: td.Categorical(logits=p), t(0.0, 0.0, 0.5, 2.0), FOUR),
    "OneHotCategorical": (lambda p: td.OneHotCategorical(logits=p), t(0.3, -1.0, 0.5), torch.eye(3).double()),
    "Independent Categorical": (
        lambda p: td.Independent(td.Categorical(logits=torch.stack([p, 0 * p], -1)), 1),
        t(0.3, -0.4),
        torch.tensor(list(itertools.product([0, 1], repeat=2))),
    ),
}


def cells(rare: float, n: int) -> tuple[Tensor, Tensor]:
    """A pair's uniforms: pieces on which nothing changes but linearly, each by its middle and its length."""
    assert n == 2
    ends = t(0.0, min(rare, 1 - rare), max(rare, 1 - rare), 1.0)
    u = (ends[1:] + ends[:-1]) / 2
    return torch.stack([u, 1 - u], -1), ends.diff()


def patterns(rare: float, n: int) -> tuple[Tensor, Tensor]:
    """Which of n coins show their rarer side, with the probability the Dirichlet copula gives that."""

    def all_of(m: int) -> float:  # P(d_1 > a, ..., d_m > a) = (1 - m a)_+^(n-1)
        return max(1 - m * (1 - rare ** (1 / (n - 1))), 0.0) ** (n - 1)

    values, law = [], []
    for pattern in itertools.product([0, 1], repeat=n):
        m = sum(pattern)
        binomial = [1.0]
        for i in range(n - m):
            binomial.append(binomial[-1] * (n - m - i) / (i + 1))
        law.append(sum((-1) ** i * c * all_of(m + i) for i, c in enumerate(binomial)))
        values.append([rare / 2 if e else (1 + rare) / 2 for e in pattern])
    return t(*values), t(*law).clamp(min=0)


ESTIMATORS = {"ARM": (rp.ARM(), 2, cells), "DisARM": (rp.DisARM(), 2, cells)} | {
    f"ARMS {n}": (rp.ARMS(n), n, patterns) for n in (2, 3, 4)
}


def scripted(monkeypatch, make, at: Tensor, n: int, law_of_coin) -> Tensor:
    """Feed every outcome of the coins of `make(at)` to the estimators, along the batch; returns their law."""
    rare = decisions(make(at[None]), "DisARM").rare[0]
    coins, law = product([law_of_coin(x.item(), n) for x in rare])
    uniforms = torch.stack(coins, -1).movedim(1, 0).unsqueeze(1)  # (n, 1 group, outcomes, D)
    monkeypatch.setattr(antithetic, "antithetic_uniforms", lambda *_: uniforms)
    return law


CASES = [
    pytest.param(*ESTIMATORS[e], *FAMILIES[f], id=f"{e}-{f}")
    for e in ESTIMATORS
    for f in FAMILIES
    if ESTIMATORS[e][1] < 4 or f in ("Bernoulli logits", "Bernoulli probs", "Categorical logits")
]


@pytest.mark.parametrize(("estimator", "n", "law_of_coin", "make", "at", "support"), CASES)
def test_expectation_is_exact(monkeypatch, estimator, n, law_of_coin, make, at, support):
    events = len(make(at[None]).event_shape)
    law = scripted(monkeypatch, make, at, n, law_of_coin)
    assert law.sum().item() == pytest.approx(1, abs=1e-12)
    got = expectation(lambda p: rp.expect(lambda x: cost(x, p, events), make(p), estimator), at, law)
    for a, b in zip(got, summed(make, support, lambda x, p: cost(x, p, events), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "n", "law_of_coin", "variance"),
    [(rp.DisARM(), 2, cells, 0.0), (rp.ARMS(2), 2, patterns, 0.0)],
)
def test_variance_of_one_coin_is_the_closed_form(monkeypatch, estimator, n, law_of_coin, variance: float):
    """E[(b - .45)^2] at probability 1/2, per logit."""

    def make(p: Tensor) -> td.Distribution:
        return td.Bernoulli(logits=p[:, 0])

    law = scripted(monkeypatch, make, t(0.0), n, law_of_coin)
    parameter = torch.zeros(len(law), 1, dtype=torch.float64, requires_grad=True)
    value = rp.expect(lambda b: (b - 0.45) ** 2, make(parameter), estimator)
    gradient = derivatives(value, parameter)[1][:, 0]
    mean = (law * gradient).sum()
    assert mean.item() == pytest.approx(0.025, abs=1e-15)
    assert (law * (gradient - mean) ** 2).sum().item() == pytest.approx(variance, abs=1e-15)


def test_variance_of_arm_is_the_closed_form():
    """2.083e-4: the coefficient is linear in the uniform, which stands here on a fine grid."""
    n = 2000
    logits = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    u = ((torch.arange(n) + 0.5) / n).double()[None, :, None]
    value = rp.expect(lambda b: (b - 0.45) ** 2, td.Bernoulli(logits=logits), rp.ARM(), noise=u)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.mean().item() == pytest.approx(0.025, abs=1e-9)
    assert gradient.var(correction=0).item() == pytest.approx(0.025**2 / 3, abs=1e-9)


def test_gradients_are_the_published_formulas():
    """Each estimator's own formula, at the coins it tossed."""
    phi = torch.linspace(-3, 3, 400, dtype=torch.float64)
    p = torch.sigmoid(phi)
    seen: list[Tensor] = []

    def f(b: Tensor) -> Tensor:
        seen.append(b)
        return (b - 0.45) ** 2 + phi * b

    def gradient(estimator, noise=None) -> tuple[Tensor, Tensor]:
        logits = phi.clone().requires_grad_()
        value = rp.expect(f, td.Bernoulli(logits=logits), estimator, noise=noise)
        return torch.autograd.grad(value.sum(), logits)[0], seen[-1]

    got, (b, c) = gradient(rp.DisARM())
    sign = torch.where(c == 1, -1.0, 1.0)
    torch.testing.assert_close(got, (f(b) - f(c)) / 2 * sign * (b != c) * torch.sigmoid(phi.abs()))

    u = torch.rand(1, 400, 1, dtype=torch.float64)
    got, (b, c) = gradient(rp.ARM(), u)
    sign = torch.where(p > 0.5, -1.0, 1.0)  # the uniform says which side is the rarer one
    torch.testing.assert_close(got, (f(b) - f(c)) * (0.5 - u[0, :, 0]) * sign)

    for n in (3, 5):
        got, x = gradient(rp.ARMS(n))
        rare = torch.minimum(p, 1 - p)
        both = (2 * rare ** (1 / (n - 1)) - 1).clamp(min=0) ** (n - 1)
        correlation = (both - rare**2) / (rare * (1 - rare))
        costs = f(x)
        published = ((costs - costs.mean(0)) * (x - p)).sum(0) / (n - 1) / (1 - correlation)
        torch.testing.assert_close(got, published)


@pytest.mark.parametrize("n", [3, 5, 9])
@pytest.mark.parametrize("rare", [0.5, 0.3, 0.01])
def test_the_copula_has_uniform_margins_and_the_stated_disagreement(n: int, rare: float):
    from reparam.noise import as_source

    like = torch.full((4,), rare, dtype=torch.float64)
    u = antithetic.antithetic_uniforms(n, 20_000, like, as_source(None))
    event = (u < rare).double().movedim(0, -1)
    assert testing.z_test(event.flatten(1), rare).passed
    differ = event[..., 0] * (1 - event[..., 1])
    assert testing.z_test(differ, antithetic.disagreement(like, n)).passed


@pytest.mark.parametrize("estimator", [rp.ARM(4), rp.DisARM(4), rp.ARMS(4)], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rare_coins_and_certain_ones(estimator, dtype):
    """Far logits have tiny gradients, never NaN; the rarer side keeps its digits on both ends."""
    logits = torch.tensor([-200.0, -30.0, 0.0, 30.0, 200.0], dtype=dtype, requires_grad=True)
    value = rp.expect(lambda b: 3 * b, td.Bernoulli(logits=logits), estimator)
    first = torch.autograd.grad(value.sum(), logits, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), logits)[0]
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()
    assert value.detach()[[0, 1, 3, 4]].tolist() == [0, 0, 3, 3]


@pytest.mark.parametrize("estimator", [rp.ARM(4), rp.DisARM(6), rp.ARMS(3)], ids=lambda e: type(e).__name__)
def test_impossible_categories_stay_impossible(estimator):
    logits = t(0.0, -float("inf"), 1.0, -float("inf"), -float("inf")).requires_grad_()
    value = rp.expect(
        lambda k: torch.where(k % 2 == 1, float("nan"), k.double()), td.Categorical(logits=logits), estimator
    )
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


@pytest.mark.parametrize("estimator", [rp.DisARM(4), rp.ARMS(4)], ids=lambda e: type(e).__name__)
def test_a_constant_cost_has_no_gradient_at_all(estimator):
    logits = torch.randn(5, 7, requires_grad=True)
    dist = td.Independent(td.Bernoulli(logits=logits), 1)
    value = rp.expect(lambda b: 0 * b.sum(-1) + 7, dist, estimator)
    assert torch.autograd.grad(value.sum(), logits)[0].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.DisARM(3), "must be even"),
        (lambda: rp.ARM(0), "at least 2"),
        (lambda: rp.ARMS(1), "at least 2"),
        (lambda: rp.expect(torch.sin, td.Poisson(3.0), rp.DisARM()), "couples coin tosses"),
        (lambda: rp.expect(torch.sin, td.Bernoulli(t(0.0, 0.5).requires_grad_()), rp.DisARM()), "does not exist where"),
        (lambda: rp.expect(lambda s: s(td.Bernoulli(t(0.5)), rp.DisARM()), samples=3), "must be even"),
        (lambda: rp.expect(torch.sin, td.Bernoulli(0.5), rp.DisARM(), samples=5), "must be even"),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


def test_coins_that_never_turn_leave_the_gradient_finite():
    """One over the chance of the rarer side, times a large cost, must not overflow."""
    for estimator in (rp.ARM(), rp.DisARM(), rp.ARMS(4)):
        logits = torch.tensor([300.0, -300.0, 90.0, -88.0], requires_grad=True)
        dist = td.Independent(td.Bernoulli(logits=logits), 1)
        gradient = torch.autograd.grad(rp.expect(lambda b: 1e4 * b.sum(-1), dist, estimator), logits)[0]
        torch.testing.assert_close(gradient, torch.zeros(4))
