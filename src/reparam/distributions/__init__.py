"""What torch lacks: new families with torch's conventions, each beside its own rule."""

from reparam.distributions.hyperspherical_uniform import HypersphericalUniform
from reparam.distributions.inverse_wishart import InverseWishart
from reparam.distributions.johnson_su import JohnsonSU
from reparam.distributions.matrix_normal import MatrixNormal
from reparam.distributions.multivariate_student_t import MultivariateStudentT
from reparam.distributions.power_spherical import PowerSpherical
from reparam.distributions.sinh_arcsinh import SinhArcsinh
from reparam.distributions.tanh_normal import TanhNormal
from reparam.distributions.triangular import Triangular
from reparam.distributions.von_mises_fisher import VonMisesFisher

__all__ = [
    "HypersphericalUniform",
    "InverseWishart",
    "JohnsonSU",
    "MatrixNormal",
    "MultivariateStudentT",
    "PowerSpherical",
    "SinhArcsinh",
    "TanhNormal",
    "Triangular",
    "VonMisesFisher",
]
