"""`choose`: the pilot picks what exact variances say it should, and says why."""

from __future__ import annotations

import importlib
import pathlib
import pickle

import pytest
import torch
from straight_through import StraightThrough, square
from torch import distributions as td

import reparam as rp
from reparam.diagnosis import candidates_for

F64 = torch.float64


@pytest.fixture(autouse=True)
def _one_seed():
    """A verdict has a false-alarm rate of its own, a thousand times the suite's, so its noise is held."""
    torch.manual_seed(0)


MANY = torch.full((40,), 4.0, dtype=F64)


@pytest.mark.parametrize(
    ("f", "best"),
    [
        # Exact sd / |gradient| for Poisson(4): score 2.74, two draws with a baseline 1.77, difference .44.
        (lambda x: x**2, rp.MeasureValued()),
        # A difference of a sine of high frequency is as large as the sine.
        (lambda x: torch.sin(3 * x), rp.LeaveOneOut(4)),
    ],
    ids=["quadratic", "oscillating"],
)
def test_the_choice_follows_the_cost(f, best):
    chosen = rp.choose(f, td.Poisson(MANY), [rp.LeaveOneOut(4), rp.MeasureValued()])
    assert chosen == best


def test_no_variance_beats_all_and_ties_go_to_the_cheaper():
    """At p = 1/2 one antithetic pair is exact, as enumeration is, with as many evaluations."""
    dist = td.Categorical(logits=torch.zeros(10, 3))
    assert rp.choose(lambda x: x.double() ** 2, dist) == rp.Enumerate()
    coins = td.Independent(td.Bernoulli(logits=torch.zeros(10, 1)), 1)
    candidates = [rp.DisARM(6), rp.DisARM(2), rp.LeaveOneOut(2)]
    assert rp.choose(lambda b: b.squeeze(-1), coins, candidates) == rp.DisARM(2)


def test_the_chosen_can_say_why_and_is_its_own_equal():
    named = [rp.LeaveOneOut(2), rp.MeasureValued()]  # their work is 760 and 34
    best = rp.choose(lambda x: x**2, td.Poisson(MANY), named)
    assert best == rp.MeasureValued()
    assert not hasattr(named[1], "pilot")
    assert [row.estimator for row in best.pilot.rows] == named
    assert "best: MeasureValued(1)" in str(best.pilot)
    assert pickle.loads(pickle.dumps(best)) == best
    value = rp.expect(lambda x: x**2, td.Poisson(MANY), best)
    assert value.shape == MANY.shape


def test_pathwise_is_not_chosen_for_a_cost_that_jumps():
    """It has no variance at all there: its estimate of E[sign z] is always zero."""
    dist = td.Normal(torch.linspace(-1, 1, 10), 1.0)
    best = rp.choose(torch.sign, dist)
    assert not isinstance(best, rp.Pathwise)
    assert {finding.kind for finding in best.pilot.findings} == {"excluded", "discontinuous"}
    assert isinstance(rp.choose(torch.square, dist), rp.Pathwise)


def test_a_cost_without_gradient_leaves_the_black_box_estimators():
    best = rp.choose(lambda z: (z > 0).float(), td.Normal(torch.zeros(10), 1.0))
    assert not isinstance(best, rp.Pathwise)
    assert any("no gradient back" in finding.message for finding in best.pilot.findings)


def test_biased_estimators_run_only_where_they_are_allowed():
    dist = td.Bernoulli(logits=torch.full((50,), 0.3))
    candidates = [rp.ScoreFunction(), StraightThrough()]
    assert rp.choose(square, dist, candidates) == rp.ScoreFunction()
    # The bias is 1.5 times the gradient, and the variance lower than the score function's at this distance from zero.
    best = rp.choose(lambda b: square(b) + 10, dist, candidates, max_bias=0.5)
    assert best == rp.ScoreFunction()
    assert any("its bias is" in finding.message for finding in best.pilot.findings)
    assert rp.choose(lambda b: square(b) + 10, dist, candidates, max_bias=3.0) == StraightThrough()


@pytest.mark.parametrize(
    ("dist", "serving"),
    [
        (td.Poisson(4.0), {rp.MeasureValued(), rp.LeaveOneOut(4), rp.ScoreFunction()}),
        (td.Bernoulli(logits=torch.zeros(3)), {rp.Enumerate(), rp.DisARM(), rp.LeaveOneOut(4)}),
        (td.Normal(0.0, 1.0), {rp.Pathwise(), rp.MeasureValued(), rp.LeaveOneOut(4)}),
        (td.Independent(td.Bernoulli(logits=torch.zeros(400)), 1), {rp.DisARM(), rp.LeaveOneOut(4)}),
    ],
    ids=["Poisson", "Bernoulli", "Normal", "wide"],
)
def test_candidates_are_those_that_serve(dist, serving):
    found = set(candidates_for(dist))
    assert serving <= found
    assert (rp.Pathwise() in found) == isinstance(dist, td.Normal)
    assert (rp.Enumerate() in found) == isinstance(dist, td.Bernoulli)
    assert not found & {rp.ARM(), rp.LeaveOneOut(2)}  # which others beat whatever the cost
    assert all(estimator.unbiased for estimator in found)
    assert found <= set(candidates_for(dist, biased=True))
    for estimator in found:
        rp.expect(lambda x: x.sum(-1) if dist.event_shape else x * 1.0, dist, estimator)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.choose(torch.square, "Poisson"), "must be a torch.distributions"),
        (lambda: rp.choose(torch.square, td.Poisson(3.0), []), "at least one"),
        (lambda: rp.choose(torch.square, td.Poisson(3.0), [rp.LeaveOneOut(), rp.ScoreFunction]), "must be objects"),
        (lambda: rp.choose(torch.square, td.Poisson(3.0), max_bias=-1.0), "max_bias"),
        (lambda: rp.choose(torch.square, td.Poisson(3.0), [rp.Enumerate()]), "no finite support"),
        (lambda: rp.choose(lambda x: x.sum(), td.Poisson(3.0)), "one number for each point"),
        (lambda: rp.choose(lambda x: (x - 9).log(), td.Poisson(3.0)), "NaN"),
        (lambda: rp.choose(torch.sign, td.Normal(0.0, 1.0), [rp.Pathwise()]), "no candidate is left"),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


def test_the_race_goes_on_while_a_rival_may_be_much_better_and_no_longer():
    asked: list[int] = []

    def f(b):
        asked.append(b.shape[0])
        return torch.exp(2 * b.sum(-1))

    coins = td.Independent(td.Bernoulli(logits=torch.linspace(-1, 1, 32).unsqueeze(-1).expand(32, 8)), 1)
    near = rp.choose(f, coins, [rp.LeaveOneOut(4), rp.LeaveOneOut(5)])
    assert all(len(row.estimates) > 10 for row in near.pilot.rows)  # five and four in the first round
    assert sum(asked) < 0.25 * 1000 * 5
    clear = rp.choose(lambda b: 100 + b.sum(-1), coins, [rp.ScoreFunction(1), rp.DisARM(2)])
    assert [len(row.estimates) for row in clear.pilot.rows] == [20, 10]


def test_the_benchmark_finds_no_large_regret(monkeypatch):
    """One row of `benchmarks/choose.py`: ours as by hand, the best taken, the pilot paid back within 1,000 steps."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    benchmark = importlib.import_module("choose")
    row = benchmark.row("Poisson", "exponential", repeats=100, seeds=3)
    assert row["best"] == repr(rp.MeasureValued())
    assert row["regret_with_pilot"] < benchmark.LIMIT
    assert row["runs_beyond"] == 0
    assert row["ours"]["score"] == pytest.approx(row["by_hand"]["score"], rel=0.5)


def test_the_pilot_costs_at_most_a_fifth_of_the_steps_of_one_evaluation_each_its_probes_included():
    asked = []

    def f(x: torch.Tensor) -> torch.Tensor:
        asked.append(x.shape[0])
        return torch.sin(3 * x)

    loc = torch.linspace(-1, 2, 32, dtype=F64, requires_grad=True)
    for seed in range(10):
        torch.manual_seed(seed)
        asked.clear()
        # The score function and coupled differences are level here, so that the race often runs to its end.
        assert rp.choose(f, td.Normal(loc, 1.0)) in (rp.ScoreFunction(1), rp.MeasureValued())
        assert sum(asked) <= 0.2 * 1000
