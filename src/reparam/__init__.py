"""reparam: backpropagate through any random sample."""

import importlib
from typing import TYPE_CHECKING

from reparam import estimators, noise, objectives, special
from reparam.errors import DataError, InvalidArgument, NoPathwiseGradient, ReparamError, UnsupportedTransform
from reparam.estimators import Components, Draw, Enumerate, LeaveOneOut, Pathwise, ScoreFunction
from reparam.expectation import estimator_for, expect
from reparam.info import info
from reparam.pathwise import complete_on_demand, coverage, register, rsample, rsample_with_log_prob
from reparam.version import __version__

if TYPE_CHECKING:
    from reparam import distributions, testing
    from reparam.diagnosis import choose, diagnose
    from reparam.estimators import (
        ARM,
        ARMS,
        MVE,
        REBAR,
        RELAX,
        RODEO,
        DisARM,
        Fini,
        GumbelRao,
        GumbelSoftmax,
        GumbelTopK,
        LearnedBaseline,
        MeasureValued,
        MovingAverage,
        ReinMax,
        SoftSort,
        StraightThrough,
        SumAndSample,
        Unordered,
    )

__all__ = [
    "ARM",
    "ARMS",
    "MVE",
    "REBAR",
    "RELAX",
    "RODEO",
    "Components",
    "DataError",
    "DisARM",
    "Draw",
    "Enumerate",
    "Fini",
    "GumbelRao",
    "GumbelSoftmax",
    "GumbelTopK",
    "InvalidArgument",
    "LearnedBaseline",
    "LeaveOneOut",
    "MeasureValued",
    "MovingAverage",
    "NoPathwiseGradient",
    "Pathwise",
    "ReinMax",
    "ReparamError",
    "ScoreFunction",
    "SoftSort",
    "StraightThrough",
    "SumAndSample",
    "Unordered",
    "UnsupportedTransform",
    "__version__",
    "choose",
    "coverage",
    "diagnose",
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

# A third of the import time, for rooms that many programs never enter: imported at the first mention of their name.
_ON_DEMAND = ("distributions", "testing")
_NAMES_ON_DEMAND = {"choose": "reparam.diagnosis", "diagnose": "reparam.diagnosis"}
complete_on_demand("reparam.distributions")


def __getattr__(name: str) -> object:
    if name in _ON_DEMAND:
        return importlib.import_module(f"reparam.{name}")
    if name in _NAMES_ON_DEMAND:
        return getattr(importlib.import_module(_NAMES_ON_DEMAND[name]), name)
    if name in estimators.__all__ and name in __all__:
        return getattr(estimators, name)
    raise AttributeError(f"module 'reparam' has no attribute {name!r}")
