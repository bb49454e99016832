"""`reparam diagnose`, and the expressions it reads."""

from __future__ import annotations

import json

import pytest
import torch
from torch import distributions as td

import reparam as rp
from reparam.cli import expressions, main


def test_the_table_of_the_issue(capsys):
    assert main(["diagnose", "--dist", "Poisson(4)", "--cost", "x**2", "--repeats", "100"]) == 0
    out = capsys.readouterr().out
    assert all(
        name in out for name in ("MeasureValued(1)", "LeaveOneOut(4)", "ScoreFunction(1)", "best: MeasureValued")
    )


def test_files(capsys, tmp_path):
    words = ["diagnose", "--dist", "Bernoulli(logits=[0.3, -1])", "--cost", "(x - 0.45)**2", "--repeats", "100"]
    words += ["--estimators", "DisARM, LeaveOneOut(3)", "--plot", f"{tmp_path}/a.png", "--json", f"{tmp_path}/a.json"]
    assert main(words) == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000
    record = json.loads((tmp_path / "a.json").read_text())
    assert [row["estimator"] for row in record["rows"]] == ["DisARM(samples=2)", "LeaveOneOut(samples=3)"]
    assert record["reference"]["gradient"] == pytest.approx([0.0244458, 0.0196612], abs=1e-6)
    assert "best: DisARM" in capsys.readouterr().out


def test_a_threshold_shows_pathwise_to_be_biased(capsys):
    assert main(["diagnose", "--dist", "Normal(0.5, 1)", "--cost", "x > 0", "--repeats", "100"]) == 0
    out = capsys.readouterr().out
    assert "discontinuous: the cost jumps by 1" in out
    assert "biased: Pathwise" in out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Poisson(4)", td.Poisson(4.0)),
        ("Normal(loc=-1, scale=2)", td.Normal(-1.0, 2.0)),
        ("Binomial(5, probs=[0.2, 0.3])", td.Binomial(5, torch.tensor([0.2, 0.3]))),
        ("Multinomial(4, [0.5, 0.5])", td.Multinomial(4, torch.tensor([0.5, 0.5]))),
        ("Independent(Normal([0, 1], 1), 1)", td.Independent(td.Normal(torch.tensor([0.0, 1.0]), 1.0), 1)),
        ("TruncatedNormal(0, 1, -1, 2)", rp.distributions.TruncatedNormal(0.0, 1.0, -1.0, 2.0)),
    ],
)
def test_distributions(text, wanted):
    read = expressions.distribution(text)
    assert type(read) is type(wanted)
    x = wanted.sample()
    torch.testing.assert_close(read.log_prob(x), wanted.log_prob(x), check_dtype=False)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("x**2 - 3*x/2 + -1", lambda x: x**2 - 1.5 * x - 1),
        ("sin(pi*x) + exp(-x) % 2", lambda x: torch.sin(torch.pi * x) + torch.exp(-x) % 2),
        ("(x > 1) + (x >= 1) + (x < 1) + (x <= 1) + (x == 1) + (x != 1)", lambda x: x * 0 + 3),
        ("where(x > 1, x, -x)", lambda x: torch.where(x > 1, x, -x)),
        ("2*(x >= 3) - (x < 2)", lambda x: 2 * (x >= 3).double() - (x < 2).double()),
        ("maximum(x, 2)", lambda x: x.clamp(min=2)),
    ],
)
def test_costs(text, python):
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.5], dtype=torch.float64)
    torch.testing.assert_close(expressions.cost(text, 0)(x), python(x))


def test_a_cost_that_begins_with_a_sign(capsys):
    assert main(["diagnose", "--dist", "Poisson(4)", "--cost=-x", "--repeats", "100"]) == 0
    assert "Poisson(rate: 4.0)" in capsys.readouterr().out


def test_costs_of_events():
    x = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, -1.0]])
    torch.testing.assert_close(
        expressions.cost("sum(x)**2 + max(x) * x[2]", 1)(x), torch.tensor([74.0, -1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("dist", "cost", "estimators", "what"),
    [
        ("__import__('os').system('true')", "x", None, "not a name that is known"),
        ("Poisson(__import__('os'))", "x", None, "not a name that is known"),
        ("Poisson(4).sample", "x", None, "not a name that is known"),
        ("Poison(4)", "x", None, "not a name that is known"),
        ("Poisson(-4)", "x", None, "cannot be built"),
        ("Poisson(rate=4, speed=2)", "x", None, "cannot be built"),
        ("Poisson('4')", "x", None, "a number or a list"),
        ("4", "x", None, "a distribution is a call"),
        ("Poisson(4", "x", None, "not an expression"),
        ("Poisson(4)", "__import__('os').system('true')", None, "arithmetic in x"),
        ("Poisson(4)", "x.__class__", None, "arithmetic in x"),
        ("Poisson(4)", "open('/etc/passwd')", None, "arithmetic in x"),
        ("Poisson(4)", "[y for y in x]", None, "arithmetic in x"),
        ("Poisson(4)", "lambda: x", None, "arithmetic in x"),
        ("Poisson(4)", "x if x else 1", None, "arithmetic in x"),
        ("Poisson(4)", "y**2", None, "arithmetic in x"),
        ("Poisson(4)", "sin(x, x, x)", None, "arithmetic in x"),
        ("Poisson(4)", "sum(x)", None, "arithmetic in x"),
        ("Poisson(4)", "x[0]", None, "arithmetic in x"),
        ("Poisson(4)", "x +", None, "not an expression"),
        ("Poisson(4)", "x" + "+1" * 200, None, "is simple"),
        ("Poisson(4)", "x" * 600, None, "is short"),
        ("Poisson(4)", "9**9**9**9 * x", None, "NaN"),
        ("Independent(Normal([0, 1], 1), 1)", "x**2", None, "one number for each point"),
        ("Poisson(4)", "x**2", "DisARM(2)", "couples coin tosses"),
        ("Poisson(4)", "x**2", "LeaveOneOut(1)", "at least 2"),
        ("Poisson(4)", "x**2", "Magic()", "not a name that is known"),
    ],
)
def test_whatever_is_not_listed_is_an_error_in_three_parts(capsys, dist, cost, estimators, what):
    words = ["diagnose", "--dist", dist, "--cost", cost, "--repeats", "100"]
    assert main([*words, *(["--estimators", estimators] if estimators else [])]) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert what in first
    assert [line.split(":")[0].strip() for line in rest] == ["received", "instead"]


@pytest.mark.parametrize(
    ("option", "path"), [("--plot", "nowhere/a.png"), ("--plot", "a.xyz"), ("--json", "nowhere/a")]
)
def test_files_that_cannot_be_written_are_refused_first(capsys, monkeypatch, option, path):
    monkeypatch.setattr("reparam.diagnose", None, raising=False)
    assert main(["diagnose", "--dist", "Poisson(4)", "--cost", "x", option, path]) == 2
    assert path in capsys.readouterr().err
