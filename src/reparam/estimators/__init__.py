"""Estimators: points and differentiable weights, one file an idea."""

from reparam.estimators.base import Draw, Estimator, ParticleEstimator, Proposal, particle_weights
from reparam.estimators.enumeration import Enumerate
from reparam.estimators.pathwise import Pathwise
from reparam.estimators.score import LeaveOneOut, ScoreFunction
from reparam.estimators.support import support_size

__all__ = [
    "Draw",
    "Enumerate",
    "Estimator",
    "LeaveOneOut",
    "ParticleEstimator",
    "Pathwise",
    "Proposal",
    "ScoreFunction",
    "particle_weights",
    "support_size",
]
