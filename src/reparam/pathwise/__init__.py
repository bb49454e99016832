"""How a sample moves when a parameter moves: the registry, and one file a family of torch's classes.

Importing this room registers the rules below, by the same decorator that is open to everyone.
"""

from reparam.pathwise import composite, discrete, location_scale, multivariate_normal
from reparam.pathwise.registry import (
    Coverage,
    advise_with,
    coverage,
    draw,
    has_rule,
    parameter_like,
    register,
)
from reparam.pathwise.sample import Surrogate, rsample

__all__ = [
    "Coverage",
    "Surrogate",
    "advise_with",
    "composite",
    "coverage",
    "discrete",
    "draw",
    "has_rule",
    "location_scale",
    "multivariate_normal",
    "parameter_like",
    "register",
    "rsample",
]
