"""How a sample moves when a parameter moves: the registry, and one file a family of torch's classes.

Importing this room registers the rules below, by the same decorator that is open to everyone.
"""

from reparam.pathwise import (
    abstract,
    beta,
    composite,
    continuous_bernoulli,
    dirichlet,
    discrete,
    folded,
    gamma,
    kumaraswamy,
    lkj,
    location_scale,
    logistic_normal,
    low_rank_normal,
    mixture,
    multivariate_normal,
    pareto,
    relaxed,
    student_t,
    von_mises,
    weibull,
    wishart,
)
from reparam.pathwise._tails import register_cdf
from reparam.pathwise.joint import rsample_with_log_prob
from reparam.pathwise.registry import (
    Coverage,
    advise_with,
    complete_on_demand,
    coverage,
    declare_none,
    draw,
    has_rule,
    parameter_like,
    register,
)
from reparam.pathwise.sample import Surrogate, rsample
from reparam.pathwise.sampling import register_sampler

__all__ = [
    "Coverage",
    "Surrogate",
    "abstract",
    "advise_with",
    "beta",
    "complete_on_demand",
    "composite",
    "continuous_bernoulli",
    "coverage",
    "declare_none",
    "dirichlet",
    "discrete",
    "draw",
    "folded",
    "gamma",
    "has_rule",
    "kumaraswamy",
    "lkj",
    "location_scale",
    "logistic_normal",
    "low_rank_normal",
    "mixture",
    "multivariate_normal",
    "parameter_like",
    "pareto",
    "register",
    "register_cdf",
    "register_sampler",
    "relaxed",
    "rsample",
    "rsample_with_log_prob",
    "student_t",
    "von_mises",
    "weibull",
    "wishart",
]
