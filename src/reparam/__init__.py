"""reparam: backpropagate through any random sample."""

from reparam import noise, special
from reparam.errors import InvalidArgument, NoPathwiseGradient, ReparamError, UnsupportedTransform
from reparam.pathwise import coverage, register, rsample

__version__ = "0.1.0"

__all__ = [
    "InvalidArgument",
    "NoPathwiseGradient",
    "ReparamError",
    "UnsupportedTransform",
    "coverage",
    "noise",
    "register",
    "rsample",
    "special",
]
