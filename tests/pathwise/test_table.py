"""Every row of the table through every conformance check."""

from __future__ import annotations

import functools

import pytest

import reparam as rp
from cases import CASES, Case
from reparam import testing

NOISE = {"generator": None, "quantile": rp.noise.Sobol(2014)}


def rows(*paths: str):
    chosen = [case for case in CASES if not paths or case.path in paths]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


@rows()
def test_shapes(case: Case):
    testing.check_shapes(case.make, case.parameters)


@rows()
def test_every_parameter(case: Case):
    testing.check_every_parameter(case.make, case.parameters)


@rows()
def test_layouts(case: Case):
    testing.check_layouts(case.make, case.parameters)


@pytest.mark.parametrize("case", [c for c in CASES if c.emptiable], ids=lambda case: case.name)
def test_empty(case: Case):
    testing.check_empty(case.make, case.parameters)


@rows()
def test_vmap(case: Case):
    constant = {name: case.parameters[name] for name in case.unmapped}
    mapped = {name: value for name, value in case.parameters.items() if name not in constant}
    testing.check_vmap(functools.partial(case.make, **constant), mapped)


@rows("generator", "quantile")
def test_path(case: Case):
    testing.check_path(case.make, case.parameters, noise=NOISE[case.path], draws=8)


@rows("generator", "quantile")
def test_second_derivative(case: Case):
    testing.check_second_derivative(case.make, case.parameters, noise=NOISE[case.path])


@rows("cdf")
def test_both_derivatives_hold_the_distribution_function(case: Case):
    testing.check_implicit(case.make, case.parameters, cdf=case.cdf)


@rows()
def test_moments(case: Case):
    for statistic, exact in case.moments.values():
        testing.check_moment(case.make, case.parameters, statistic, exact, samples=case.samples)


@rows("moments")
def test_curvature_of_moments(case: Case):
    for statistic, exact in case.moments.values():
        testing.check_curvature(case.make, case.parameters, statistic, exact, samples=case.samples)
