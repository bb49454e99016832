"""Conformance checks, public: a third party's rule inherits the tests ours pass."""

from reparam.testing.conformance import (
    check_curvature,
    check_empty,
    check_every_parameter,
    check_implicit,
    check_layouts,
    check_moment,
    check_path,
    check_rule,
    check_second_derivative,
    check_shapes,
    check_vmap,
)
from reparam.testing.statistics import COMPARISONS, FALSE_ALARM_RATE, ZTest, threshold, z_test
from reparam.testing.transforms import TRANSFORMS

__all__ = [
    "COMPARISONS",
    "FALSE_ALARM_RATE",
    "TRANSFORMS",
    "ZTest",
    "check_curvature",
    "check_empty",
    "check_every_parameter",
    "check_implicit",
    "check_layouts",
    "check_moment",
    "check_path",
    "check_rule",
    "check_second_derivative",
    "check_shapes",
    "check_vmap",
    "threshold",
    "z_test",
]
