"""How a sample moves when a parameter moves: the registry, and one file a family of torch's classes.

Importing this room registers the rules below, by the same decorator that is open to everyone.
"""

from reparam.pathwise import (
    composite,
    continuous_bernoulli,
    discrete,
    folded,
    kumaraswamy,
    location_scale,
    logistic_normal,
    low_rank_normal,
    multivariate_normal,
    pareto,
    relaxed,
    weibull,
)
from reparam.pathwise.registry import Coverage, advise_with, coverage, draw, has_rule, register
from reparam.pathwise.sample import Surrogate, rsample

__all__ = [
    "Coverage",
    "Surrogate",
    "advise_with",
    "composite",
    "continuous_bernoulli",
    "coverage",
    "discrete",
    "draw",
    "folded",
    "has_rule",
    "kumaraswamy",
    "location_scale",
    "logistic_normal",
    "low_rank_normal",
    "multivariate_normal",
    "pareto",
    "register",
    "relaxed",
    "rsample",
    "weibull",
]
