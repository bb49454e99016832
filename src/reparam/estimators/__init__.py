"""Estimators: points and differentiable weights, one file an idea."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reparam.estimators.base import Draw, Estimator, ParticleEstimator, Proposal, particle_weights
from reparam.estimators.components import Components
from reparam.estimators.enumeration import Enumerate
from reparam.estimators.pathwise import Pathwise
from reparam.estimators.score import LeaveOneOut, ScoreFunction
from reparam.estimators.slope import slope
from reparam.estimators.support import support_size

if TYPE_CHECKING:
    from reparam.estimators.arm import ARM
    from reparam.estimators.arms import ARMS
    from reparam.estimators.arrangement import GumbelTopK, SoftSort
    from reparam.estimators.baselines import Baseline, LearnedBaseline, MovingAverage
    from reparam.estimators.disarm import DisARM
    from reparam.estimators.finite_order import MVE, Fini
    from reparam.estimators.gumbel import GumbelRao, GumbelSoftmax
    from reparam.estimators.measure_valued import MeasureValued
    from reparam.estimators.rebar import REBAR
    from reparam.estimators.relax import RELAX
    from reparam.estimators.rodeo import RODEO
    from reparam.estimators.straight_through import ReinMax, StraightThrough
    from reparam.estimators.sum_and_sample import SumAndSample
    from reparam.estimators.surrogate import SurrogateEstimator
    from reparam.estimators.unordered import Unordered

__all__ = [
    "ARM",
    "ARMS",
    "MVE",
    "REBAR",
    "RELAX",
    "RODEO",
    "Baseline",
    "Components",
    "DisARM",
    "Draw",
    "Enumerate",
    "Estimator",
    "Fini",
    "GumbelRao",
    "GumbelSoftmax",
    "GumbelTopK",
    "LearnedBaseline",
    "LeaveOneOut",
    "MeasureValued",
    "MovingAverage",
    "ParticleEstimator",
    "Pathwise",
    "Proposal",
    "ReinMax",
    "ScoreFunction",
    "SoftSort",
    "StraightThrough",
    "SumAndSample",
    "SurrogateEstimator",
    "Unordered",
    "particle_weights",
    "slope",
    "support_size",
]

# What `expect` does not choose by itself is loaded at the first mention of its name: a quarter of the import time.
_HOME = {
    "ARM": "arm",
    "ARMS": "arms",
    "Baseline": "baselines",
    "DisARM": "disarm",
    "Fini": "finite_order",
    "GumbelRao": "gumbel",
    "GumbelSoftmax": "gumbel",
    "GumbelTopK": "arrangement",
    "LearnedBaseline": "baselines",
    "MVE": "finite_order",
    "MeasureValued": "measure_valued",
    "MovingAverage": "baselines",
    "REBAR": "rebar",
    "RELAX": "relax",
    "RODEO": "rodeo",
    "ReinMax": "straight_through",
    "SoftSort": "arrangement",
    "StraightThrough": "straight_through",
    "SumAndSample": "sum_and_sample",
    "SurrogateEstimator": "surrogate",
    "Unordered": "unordered",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"reparam.estimators.{_HOME[name]}"), name)
    raise AttributeError(f"module 'reparam.estimators' has no attribute {name!r}")
