"""reparam: backpropagate through any random sample."""

from reparam import noise, objectives, special
from reparam.errors import DataError, InvalidArgument, NoPathwiseGradient, ReparamError, UnsupportedTransform
from reparam.estimators import Draw, Enumerate, LeaveOneOut, Pathwise, ScoreFunction
from reparam.expectation import estimator_for, expect
from reparam.pathwise import coverage, register, rsample

__version__ = "0.1.0"

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
    "coverage",
    "estimator_for",
    "expect",
    "noise",
    "objectives",
    "register",
    "rsample",
    "special",
]
