"""`diagnose`: what it measures is right, what it finds is there, and bad input says so."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from straight_through import StraightThrough, square
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam.diagnosis.copies import copies

F64 = torch.float64


@pytest.fixture(autouse=True)
def _one_seed():
    """A verdict has a false-alarm rate of its own, a thousand times the suite's, so its noise is held."""
    torch.manual_seed(0)


def kinds(report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_variances_are_the_closed_forms():
    """E[(b - .45)^2] at p = 1/2, per-draw variances of the logit's gradient: exact values by enumeration."""
    dist = td.Bernoulli(logits=torch.zeros((), dtype=F64))
    exact = {rp.ScoreFunction(): 1.594e-2, rp.LeaveOneOut(2): 6.25e-4, rp.ARM(): 2.083e-4, rp.DisARM(): 0.0}
    report = rp.diagnose(square, dist, list(exact), repeats=20_000)
    for row, variance in zip(report.rows, exact.values(), strict=True):
        # 20,000 bounded estimates: a variance has a relative standard error of at most about 1 %.
        assert row.variance == pytest.approx(variance, rel=0.06, abs=1e-20)
        assert row.gradient.item() == pytest.approx(0.025, abs=5 * math.sqrt(variance / 20_000) + 1e-12)
        assert not row.biased
    assert report.best.estimator == rp.DisARM()
    assert report.best.exact
    assert not report.findings


def test_a_biased_estimator_is_caught_and_never_best():
    dist = td.Bernoulli(logits=torch.full((2,), 0.3))
    report = rp.diagnose(square, dist, [StraightThrough(), rp.LeaveOneOut(2)], repeats=10_000)
    biased, fair = report.rows
    # p (1 - p) 2 (b - t) has mean .061 where the gradient is .0244: 16 standard errors of 10,000 estimates.
    assert biased.biased
    assert abs(biased.bias_z) > 10
    assert not fair.biased
    assert abs(fair.bias_z) < 6
    assert report.best is fair
    assert "biased" in kinds(report)


@pytest.mark.parametrize(
    ("make", "f", "gradient", "kind"),
    [
        (lambda: td.Poisson(torch.tensor(4.0)), lambda x: x**2, [9.0], "the sum over"),
        (lambda: td.Geometric(torch.tensor(0.25)), lambda x: x, [-16.0], "the sum over"),
        (lambda: td.Poisson(torch.tensor([4.0, 9.0])), torch.square, [9.0, 19.0], "the sum over"),
        (lambda: td.Bernoulli(torch.tensor(0.25)), square, [0.1], "enumeration of 2 values"),
        (lambda: td.Normal(torch.tensor(1.0), torch.tensor(2.0)), torch.square, [2.0, 4.0], "512 estimates"),
    ],
    ids=["Poisson", "Geometric", "batch", "Bernoulli", "Normal"],
)
def test_references(make, f, gradient, kind: str):
    report = rp.diagnose(f, make(), [rp.LeaveOneOut(2)], repeats=100)
    reference = report.reference
    assert reference is not None
    assert reference.kind.startswith(kind)
    off = (reference.gradient - torch.tensor(gradient, dtype=F64)).abs()
    assert bool((off <= 6 * reference.error + 1e-5).all())


def test_a_declared_reference():
    dist = td.Poisson(torch.tensor(4.0))
    for declared, kind in ((torch.tensor(9.0), "declared"), (rp.MeasureValued(64), "512 estimates by MeasureValued")):
        report = rp.diagnose(torch.square, dist, [rp.LeaveOneOut(2)], reference=declared)
        assert report.reference is not None
        assert report.reference.kind.startswith(kind)
        assert abs(report.rows[0].bias_z) < 6
    assert rp.diagnose(torch.square, dist, [rp.MeasureValued()], reference=torch.tensor(12.0)).rows[0].biased


def test_the_parameters_that_require_grad_are_those_measured():
    loc = torch.zeros(3, requires_grad=True)
    report = rp.diagnose(torch.square, td.Normal(loc, 2.0), [rp.Pathwise()], repeats=100)
    assert report.parameters == {"loc": (3,)}
    assert report.rows[0].gradient.shape == (3,)
    assert rp.diagnose(torch.square, td.Normal(0.0, 2.0), [rp.Pathwise()], repeats=100).parameters == {
        "loc": (),
        "scale": (),
    }
    assert loc.grad is None


def test_evaluations_and_work():
    dist = td.Independent(td.Bernoulli(logits=torch.zeros(3)), 1)
    report = rp.diagnose(lambda b: b.sum(-1) ** 2, dist, [rp.Enumerate(), rp.LeaveOneOut(4)], repeats=100)
    assert [row.evaluations for row in report.rows] == [8, 4]
    for row in report.rows:
        assert row.work == row.variance * row.evaluations
        assert 0 < row.seconds < 1


# What is found


def test_pathwise_on_a_discontinuous_cost_is_found():
    """E[sign z] has pathwise gradient 0 and true gradient .704 at loc .5, and nothing raises."""
    dist = td.Normal(torch.tensor(0.5, requires_grad=True), 1.0)
    report = rp.diagnose(torch.sign, dist, [rp.Pathwise(), rp.LeaveOneOut(4), rp.MeasureValued()])
    assert report.reference is not None
    assert report.reference.gradient.item() == pytest.approx(0.704, abs=0.02)
    assert report.rows[0].gradient.item() == 0
    assert [row.biased for row in report.rows] == [True, False, False]
    (jump,) = [finding.message for finding in report.findings if finding.kind == "discontinuous"]
    assert "jumps by 2" in jump
    assert "discontinuous" in str(report)


@pytest.mark.parametrize(
    ("f", "kind"),
    [
        (lambda x: x + 0.2 * torch.sign(x - 0.3), "discontinuous"),
        (lambda x: torch.floor(3 * x) + x, "discontinuous"),
        (lambda x: x.detach() ** 2 + 0.1 * x, "lost-gradient"),
        (torch.sigmoid, None),
        (lambda x: torch.sigmoid(300 * x), None),
        (lambda x: torch.relu(x) + x.abs(), None),
        (lambda x: torch.cos(5 * x) + 1000, None),
        (lambda x: x * 0 + 3, None),
    ],
    ids=["small-jump", "steps", "detached", "smooth", "steep", "kinks", "offset", "constant"],
)
def test_the_probe_tells_jumps_from_slopes(f, kind):
    from reparam.diagnosis.probes import probe_path

    for dist in (td.Normal(torch.zeros(3), 1.0), td.Normal(torch.zeros(3, dtype=F64), 1.0)):
        assert [finding.kind for finding in probe_path(f, dist)] == ([kind] if kind else [])
    event = td.Independent(td.Normal(torch.zeros(2, 3), 1.0), 1)
    assert [finding.kind for finding in probe_path(lambda x: f(x.sum(-1)), event)] == ([kind] if kind else [])


def test_cross_talk_between_batch_elements_is_found_and_no_bias_is_claimed():
    logits = torch.zeros(5)
    report = rp.diagnose(lambda b: (b - b.mean(1, keepdim=True)) ** 2, td.Bernoulli(logits=logits), [rp.LeaveOneOut(4)])
    assert kinds(report) == ["cross-talk"]
    assert "batch element" in report.findings[0].message
    assert math.isnan(report.rows[0].bias_z)
    assert report.reference is None
    whole = td.Independent(td.Bernoulli(logits=logits), 1)
    report = rp.diagnose(lambda b: (b - b.mean(-1, keepdim=True)).square().sum(-1), whole, [rp.LeaveOneOut(4)])
    assert kinds(report) == []


def test_cross_talk_between_draws_is_found():
    report = rp.diagnose(lambda b: b - b.mean(0), td.Normal(torch.zeros(2), 1.0), [rp.LeaveOneOut(4)])
    assert kinds(report) == ["cross-talk"]
    assert "other draws" in report.findings[0].message


def test_a_cost_with_noise_of_its_own_is_found():
    report = rp.diagnose(lambda b: b + torch.randn(b.shape), td.Bernoulli(torch.tensor(0.3)), [rp.LeaveOneOut(4)])
    assert "random-cost" in kinds(report)


# What is written


def test_the_table_the_file_and_the_figure(tmp_path):
    dist = td.Independent(td.Bernoulli(logits=torch.zeros(2, 3)), 1)
    estimators = [rp.Enumerate(), rp.LeaveOneOut(4), rp.DisARM()]
    report = rp.diagnose(lambda b: b.sum(-1) ** 2, dist, estimators, repeats=100)
    said = str(report)
    assert all(text in said for text in ("Enumerate()", "LeaveOneOut(4)", "logits[2, 3]", "best: ", "8 values"))
    report.to_json(tmp_path / "report.json")
    record = json.loads((tmp_path / "report.json").read_text())
    assert [row["estimator"] for row in record["rows"]] == [repr(estimator) for estimator in estimators]
    assert record["best"] == "Enumerate(budget=65536)"
    assert record["rows"][1]["variance_times_evaluations"] == pytest.approx(4 * record["rows"][1]["variance"])
    for name in ("figure.png", "figure.svg"):
        report.plot(tmp_path / name)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_a_figure_without_matplotlib_names_what_to_install(monkeypatch, tmp_path):
    report = rp.diagnose(square, td.Bernoulli(torch.tensor(0.3)), [rp.LeaveOneOut(2)], repeats=100)
    monkeypatch.delitem(sys.modules, "reparam.diagnosis.figure", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(rp.errors.ReparamError, match="is not installed") as error:
        report.plot(tmp_path / "figure.png")
    assert isinstance(error.value, ImportError)
    assert error.value.received == "no module named 'matplotlib'"
    assert error.value.instead == "pip install 'reparam[plot]'"


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (rp.LeaveOneOut(4), "LeaveOneOut(4)"),
        (rp.Enumerate(), "Enumerate()"),
        (rp.Enumerate(99), "Enumerate(budget=99)"),
        (rp.GumbelSoftmax(0.5), "GumbelSoftmax(1, temperature=0.5)"),
        (rp.ScoreFunction(1, rp.MovingAverage(0.9)), "ScoreFunction(1, baseline=MovingAverage)"),
        (rp.RELAX(), "RELAX()"),
    ],
)
def test_names_say_what_is_not_as_usual(estimator, name: str):
    (row,) = rp.diagnose(square, td.Bernoulli(torch.tensor([0.3, 0.6])), [estimator], repeats=100).rows
    assert row.name == name
    assert row.estimator is estimator


# Copies


@pytest.mark.parametrize(
    "dist",
    [
        td.Normal(torch.zeros(3), 1.0),
        td.Binomial(5, logits=torch.zeros(3)),
        td.NegativeBinomial(torch.ones(3), logits=torch.zeros(3)),
        td.Multinomial(4, probs=torch.full((2, 3), 1 / 3)),
        td.OneHotCategorical(logits=torch.randn(2, 3)),
        td.MultivariateNormal(torch.zeros(2), torch.eye(2)),
        td.LogNormal(torch.zeros(2), 1.0),
        td.RelaxedBernoulli(torch.tensor(0.5), logits=torch.zeros(2)),
        td.Independent(td.Gamma(torch.ones(2, 3), 1.0), 1),
        td.MixtureSameFamily(td.Categorical(logits=torch.zeros(2)), td.Normal(torch.zeros(2), 1.0)),
        rp.distributions.TruncatedNormal(torch.zeros(2), 1.0, -1.0, 1.0),
    ],
    ids=lambda d: type(d).__name__,
)
def test_copies_are_the_distribution(dist):
    copy, leaves = copies(dist, 4)
    assert copy.batch_shape == (4, *dist.batch_shape)
    assert all(leaf.shape[0] == 4 and leaf.requires_grad for leaf in leaves.values())
    x = dist.sample()
    torch.testing.assert_close(copy.log_prob(x).detach(), dist.log_prob(x).expand(4, *dist.batch_shape))


def test_what_cannot_be_copied_says_so():
    class Odd(td.Normal):
        def __init__(self, *numbers):
            super().__init__(*numbers)

    with pytest.raises(rp.InvalidArgument, match="cannot be read off"):
        copies(Odd(0.0, 1.0), 2)


# Bad input


def _alone(x: Tensor) -> Tensor:
    return x if x > 0 else -x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.diagnose(square, td.Bernoulli(0.5), []), "at least one"),
        (lambda: rp.diagnose(square, td.Bernoulli(0.5), rp.LeaveOneOut()), "must be a list"),
        (lambda: rp.diagnose(square, td.Bernoulli(0.5), [rp.LeaveOneOut]), "must be objects"),
        (lambda: rp.diagnose(square, "Bernoulli", [rp.LeaveOneOut()]), "must be a torch.distributions"),
        (lambda: rp.diagnose(square, td.Bernoulli(0.5), [rp.LeaveOneOut()], repeats=10), "at least 100"),
        (lambda: rp.diagnose(square, td.Poisson(3.0), [rp.Enumerate()]), "no finite support"),
        (lambda: rp.diagnose(lambda x: x.sum(), td.Poisson(3.0), [rp.LeaveOneOut()]), "one number for each point"),
        (lambda: rp.diagnose(lambda x: 3.0, td.Poisson(3.0), [rp.LeaveOneOut()]), "one number for each point"),
        (lambda: rp.diagnose(_alone, td.Poisson(3.0), [rp.LeaveOneOut()]), "one point at a time"),
        (lambda: rp.diagnose(lambda x: float(x) * x, td.Poisson(3.0), [rp.LeaveOneOut()]), "one point at a time"),
        (lambda: rp.diagnose(lambda x: (x - 9).log(), td.Poisson(3.0), [rp.LeaveOneOut()]), "NaN"),
        (
            lambda: rp.diagnose(square, td.Bernoulli(0.5), [rp.LeaveOneOut()], reference=torch.zeros(3)),
            "one number for each measured parameter",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


def test_an_estimator_that_cannot_serve_says_so():
    with pytest.raises(rp.NoPathwiseGradient):
        rp.diagnose(square, td.Bernoulli(0.5), [rp.Pathwise()])
