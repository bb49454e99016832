"""Every row of the table through every conformance check."""

from __future__ import annotations

import pytest

from cases import CASES, Case
from reparam import testing

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_shapes(case: Case):
    testing.check_shapes(case.make, case.parameters)


def test_every_parameter(case: Case):
    testing.check_every_parameter(case.make, case.parameters)


def test_path(case: Case):
    testing.check_path(case.make, case.parameters)


def test_vmap(case: Case):
    testing.check_vmap(case.make, case.parameters)


def test_moments(case: Case):
    for statistic, exact in case.moments.values():
        testing.check_moment(case.make, case.parameters, statistic, exact)


def test_second_derivative(case: Case):
    testing.check_second_derivative(case.make, case.parameters)
