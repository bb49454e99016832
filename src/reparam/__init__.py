"""reparam: backpropagate through any random sample."""

from reparam import distributions, noise, objectives, special, testing
from reparam.errors import DataError, InvalidArgument, NoPathwiseGradient, ReparamError, UnsupportedTransform
from reparam.estimators import Draw, Enumerate, LeaveOneOut, Pathwise, ScoreFunction
from reparam.expectation import estimator_for, expect
from reparam.info import info
from reparam.pathwise import coverage, register, rsample, rsample_with_log_prob
from reparam.version import __version__

__all__ = [
    "DataError",
    "Draw",
    "Enumerate",
    "InvalidArgument",
    "LeaveOneOut",
    "NoPathwiseGradient",
    "Pathwise",
    "ReparamError",
    "ScoreFunction",
    "UnsupportedTransform",
    "__version__",
    "coverage",
    "distributions",
    "estimator_for",
    "expect",
    "info",
    "noise",
    "objectives",
    "register",
    "rsample",
    "rsample_with_log_prob",
    "special",
    "testing",
]
