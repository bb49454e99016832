"""Which classes have a gradient: each that torch exports has a rule or a written reason, and no rule serves another."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

import reparam as rp
from cases import CASES

EXPORTED = [getattr(td, name) for name in td.__all__]
CLASSES = [c for c in EXPORTED if isinstance(c, type) and issubclass(c, td.Distribution)]
ONE_OF_EACH = {type(dist): dist for dist in (case.make(**case.parameters) for case in CASES)}
DISCRETE = [
    (td.Bernoulli(0.5), "Enumerate"),
    (td.Binomial(4, 0.5), "Enumerate"),
    (td.Categorical(torch.ones(3)), "Enumerate"),
    (td.OneHotCategorical(torch.ones(3)), "Enumerate"),
    (td.OneHotCategoricalStraightThrough(torch.ones(3)), "Enumerate"),
    (td.Geometric(0.5), "LeaveOneOut"),
    (td.Multinomial(4, torch.ones(3)), "LeaveOneOut"),
    (td.NegativeBinomial(3.0, 0.5), "LeaveOneOut"),
    (td.Poisson(3.0), "LeaveOneOut"),
]
SUBCLASSED = [*ONE_OF_EACH.values(), *(dist for dist, _ in DISCRETE)]


def name_of(value: object) -> str:
    return value.__name__ if isinstance(value, type) else value if isinstance(value, str) else type(value).__name__


def subclassed(dist: td.Distribution) -> td.Distribution:
    """The same object, of a class that a user derived and registered nowhere."""
    again = copy.copy(dist)
    again.__class__ = type("Derived", (type(dist),), {})
    return again


@pytest.mark.parametrize("cls", [*CLASSES, LogitRelaxedBernoulli, ExpRelaxedCategorical], ids=name_of)
def test_rule_or_reason(cls: type):
    rows = {row.distribution: row for row in rp.coverage()}
    assert rows[cls].reference


@pytest.mark.parametrize("name", rp.distributions.__all__)
def test_every_class_of_ours_has_a_rule_unless_it_is_discrete(name: str):
    rows = {row.distribution: row for row in rp.coverage()}
    cls = getattr(rp.distributions, name)
    assert (rows[cls].kind != "none") == cls.has_rsample
    assert rows[cls].reference


def test_the_table_is_complete():
    """A row for every class with a rule, and a point for every parameter that `coverage` promises."""
    held: dict[type, set[str]] = {}
    for case in CASES:
        held.setdefault(type(case.make(**case.parameters)), set()).update(case.parameters)
    # The uniform law on the sphere has no parameter to take a gradient in.
    without = {rp.distributions.HypersphericalUniform}
    for row in rp.coverage():
        ours = row.distribution.__module__.startswith(("torch.", "reparam."))
        if ours and row.kind != "none" and row.distribution not in without:
            assert row.distribution in held, f"no row for {row.distribution.__name__}"
            assert set(row.parameters) <= held[row.distribution], f"{row} promises what no row tests"


@pytest.mark.parametrize("dist", SUBCLASSED, ids=name_of)
def test_a_rule_never_serves_a_subclass(dist: td.Distribution):
    derived = subclassed(dist)
    parent = type(dist).__name__
    with pytest.raises(rp.NoPathwiseGradient, match=f"its parent {parent} does not serve it"):
        rp.rsample(derived)


@pytest.mark.parametrize("wrap", [lambda d: td.Independent(d, 1), lambda d: td.TransformedDistribution(d, [])])
def test_nor_inside_a_wrapper(wrap):
    with pytest.raises(rp.NoPathwiseGradient, match="Derived"):
        rp.rsample(wrap(subclassed(td.Normal(torch.zeros(2), 1.0))))


@pytest.mark.parametrize(
    ("dist", "estimator"),
    [*DISCRETE, (td.Independent(td.Bernoulli(torch.full((30,), 0.5)), 1), "LeaveOneOut")],
    ids=name_of,
)
def test_discrete_classes_raise_and_name_the_estimator(dist: td.Distribution, estimator: str):
    with pytest.raises(rp.NoPathwiseGradient, match=estimator) as error:
        rp.rsample(dist)
    assert type(dist).__name__ in error.value.what
    assert "batch_shape" in error.value.received
    assert type(rp.estimator_for(dist)).__name__ == estimator


def test_every_class_without_a_rule_is_discrete_or_abstract():
    none = {row.distribution for row in rp.coverage() if row.kind == "none"}
    ours = {cls for cls in none if cls.__module__.startswith("reparam.")}
    assert none - ours == {type(dist) for dist, _ in DISCRETE} | {td.Distribution, td.ExponentialFamily}
    assert not any(cls.has_rsample for cls in ours)
