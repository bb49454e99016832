"""Baselines with a state: asked before the draw, told after it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as td

import reparam as rp
from estimators.outcomes import cost, expectation, summed, t
from reparam import testing

EXACT = 0.024445831169074586


class Constant(rp.estimators.Baseline):
    def forward(self, dist: td.Distribution) -> Tensor:
        return torch.tensor(5.0)

    def learn(self, expected: Tensor, costs: Tensor) -> None:
        self.told = costs


def test_any_answer_leaves_value_and_derivatives_exact(monkeypatch):
    """Every outcome of two draws of three categories, for value, first and second derivative."""
    at, support = t(0.3, -1.0, 0.5), torch.arange(3)
    index = torch.cartesian_prod(support, support)
    law = torch.softmax(at, 0)[index].prod(-1)
    monkeypatch.setattr("reparam.estimators.score.sample", lambda *_: index.T)
    estimator = rp.ScoreFunction(2, Constant())

    def make(p: Tensor) -> td.Distribution:
        return td.Categorical(logits=p)

    got = expectation(lambda p: rp.expect(lambda x: cost(x, p, 0), make(p), estimator), at, law)
    for a, b in zip(got, summed(make, support, lambda x, p: cost(x, p, 0), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_each_draw_is_credited_against_the_past_alone(monkeypatch):
    """STORCHASTIC: it updates first. Here every outcome in turn, from one state: the mean is the gradient."""
    total = 0.0
    p = torch.sigmoid(torch.tensor(0.3, dtype=torch.float64)).item()
    for b, chance in ((0.0, 1 - p), (1.0, p)):
        average = rp.MovingAverage(0.9)
        average.learn(torch.zeros(()), t(7.0)[:, None])
        logits = t(0.3).requires_grad_()
        monkeypatch.setattr("reparam.estimators.score.sample", lambda *_, b=b: t(b)[None])
        value = rp.expect(lambda x: (x - 0.45) ** 2, td.Bernoulli(logits=logits), rp.ScoreFunction(1, average))
        total += chance * torch.autograd.grad(value.sum(), logits)[0].item()
        assert average.average.item() == pytest.approx(0.9 * 7 + 0.1 * (b - 0.45) ** 2)
    assert total == pytest.approx(EXACT, abs=1e-12)


def test_a_baseline_that_saw_the_cost_would_fail_the_same_mean():
    """The control, as Storchastic has it: off by exactly the decay."""
    p = torch.sigmoid(torch.tensor(0.3, dtype=torch.float64)).item()
    total = 0.0
    for b, chance in ((0.0, 1 - p), (1.0, p)):
        f = (b - 0.45) ** 2
        total += chance * (f - (0.9 * 7 + 0.1 * f)) * (b - p)
    assert total == pytest.approx(0.9 * EXACT, abs=1e-12)


def test_learned_baselines_learn_and_reduce_the_variance():
    torch.manual_seed(0)
    estimator = rp.ScoreFunction(1, rp.LearnedBaseline(nn.Linear(2, 1)))
    at = torch.randn(200, 2, dtype=torch.float64)
    logits = at.clone().requires_grad_()

    def gradient(which) -> Tensor:
        dist = td.Independent(td.Bernoulli(logits=logits), 1)
        value = rp.expect(lambda b: 20 + b.sum(-1) + at.sum(-1), dist, which)
        return torch.autograd.grad(-1e-3 * value.sum(), [logits, *which.parameters()])[0]

    before = gradient(estimator).square().mean()
    optimiser = torch.optim.Adam(estimator.parameters(), lr=0.5)
    for _ in range(80):
        optimiser.zero_grad()
        dist = td.Independent(td.Bernoulli(logits=logits), 1)
        (-1e-3 * rp.expect(lambda b: 20 + b.sum(-1) + at.sum(-1), dist, estimator).sum()).backward()
        optimiser.step()
    assert gradient(estimator).square().mean() < 0.2 * before


def test_no_bias_with_a_learned_baseline():
    n = 20_000
    logits = torch.full((n,), 0.3, dtype=torch.float64, requires_grad=True)
    estimator = rp.ScoreFunction(2, rp.LearnedBaseline(nn.Linear(1, 1)))
    value = rp.expect(lambda b: (b - 0.45) ** 2, td.Bernoulli(logits=logits), estimator)
    assert testing.z_test(torch.autograd.grad(value.sum(), logits)[0], EXACT).passed


@pytest.mark.parametrize(
    ("dist", "size"),
    [
        (td.Bernoulli(torch.rand(4)), 1),
        (td.Independent(td.Bernoulli(logits=torch.rand(4, 3)), 1), 3),
        (td.Categorical(torch.ones(4, 5)), 5),
        (td.OneHotCategorical(torch.ones(4, 5)), 5),
        (td.NegativeBinomial(torch.ones(4), torch.rand(4)), 2),
        (td.Multinomial(3, torch.ones(4, 5)), 5),
        (td.Poisson(torch.ones(4)), 1),
    ],
    ids=lambda d: type(d).__name__,
)
def test_a_network_sees_the_parameters_that_were_given(dist, size: int):
    dist.log_prob(dist.sample())  # computes the other parametrisation, which must not appear
    assert rp.LearnedBaseline(nn.Linear(size, 1))(dist).shape == (4,)


def test_the_average_only_moves_in_training():
    average = rp.MovingAverage()
    estimator = rp.ScoreFunction(2, average)
    dist = td.Bernoulli(logits=torch.zeros(3, requires_grad=True))
    with torch.no_grad():
        rp.expect(lambda b: b + 1, dist, estimator)
    average.eval()
    rp.expect(lambda b: b + 1, dist, estimator)
    assert not average.seen
    average.train()
    rp.expect(lambda b: b + 1, dist, estimator)
    assert average.seen
    assert estimator.state_dict()["average"] == average.average
    again = copy.deepcopy(estimator).baseline
    assert isinstance(again, rp.MovingAverage)
    assert again.average == average.average


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.MovingAverage(1.0), r"lies in \[0, 1\)"),
        (lambda: rp.ScoreFunction(2, 3.0), "must be a module"),
        (lambda: rp.LeaveOneOut(2, rp.MovingAverage()), "baseline of its own"),
        (
            lambda: rp.expect(lambda s: s(td.Bernoulli(t(0.5)), rp.ScoreFunction(1, rp.MovingAverage()))),
            "needs the cost of its variable",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
