"""reparam: backpropagate through any random sample."""

from reparam import noise, objectives, special, testing
from reparam.errors import DataError, InvalidArgument, NoPathwiseGradient, ReparamError, UnsupportedTransform
from reparam.estimators import Draw, Enumerate, LeaveOneOut, Pathwise, ScoreFunction
from reparam.expectation import estimator_for, expect
from reparam.info import info
from reparam.pathwise import coverage, register, rsample
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
    "estimator_for",
    "expect",
    "info",
    "noise",
    "objectives",
    "register",
    "rsample",
    "special",
    "testing",
]
