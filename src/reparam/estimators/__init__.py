"""Estimators: points and differentiable weights, one file an idea."""

from reparam.estimators.arrangement import GumbelTopK, SoftSort
from reparam.estimators.base import Draw, Estimator, ParticleEstimator, Proposal, particle_weights
from reparam.estimators.enumeration import Enumerate
from reparam.estimators.finite_order import MVE, Fini
from reparam.estimators.gumbel import GumbelRao, GumbelSoftmax
from reparam.estimators.pathwise import Pathwise
from reparam.estimators.score import LeaveOneOut, ScoreFunction
from reparam.estimators.straight_through import ReinMax, StraightThrough
from reparam.estimators.support import support_size
from reparam.estimators.surrogate import SurrogateEstimator

__all__ = [
    "MVE",
    "Draw",
    "Enumerate",
    "Estimator",
    "Fini",
    "GumbelRao",
    "GumbelSoftmax",
    "GumbelTopK",
    "LeaveOneOut",
    "ParticleEstimator",
    "Pathwise",
    "Proposal",
    "ReinMax",
    "ScoreFunction",
    "SoftSort",
    "StraightThrough",
    "SurrogateEstimator",
    "particle_weights",
    "support_size",
]
