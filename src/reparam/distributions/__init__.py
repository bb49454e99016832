"""What torch lacks: new families with torch's conventions, each beside its own rule."""

from reparam.distributions.johnson_su import JohnsonSU
from reparam.distributions.sinh_arcsinh import SinhArcsinh
from reparam.distributions.tanh_normal import TanhNormal
from reparam.distributions.triangular import Triangular

__all__ = [
    "JohnsonSU",
    "SinhArcsinh",
    "TanhNormal",
    "Triangular",
]
