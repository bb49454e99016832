"""Estimators: points and differentiable weights, one file an idea."""

from reparam.estimators.arm import ARM
from reparam.estimators.arms import ARMS
from reparam.estimators.base import Draw, Estimator, ParticleEstimator, Proposal, particle_weights
from reparam.estimators.disarm import DisARM
from reparam.estimators.enumeration import Enumerate
from reparam.estimators.pathwise import Pathwise
from reparam.estimators.score import LeaveOneOut, ScoreFunction
from reparam.estimators.slope import slope
from reparam.estimators.support import support_size

__all__ = [
    "ARM",
    "ARMS",
    "DisARM",
    "Draw",
    "Enumerate",
    "Estimator",
    "LeaveOneOut",
    "ParticleEstimator",
    "Pathwise",
    "Proposal",
    "ScoreFunction",
    "particle_weights",
    "slope",
    "support_size",
]
