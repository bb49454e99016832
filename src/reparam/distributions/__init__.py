"""What torch lacks: new families with torch's conventions, each beside its own rule."""

from reparam.distributions.beta_binomial import BetaBinomial
from reparam.distributions.exp_dirichlet import ExpDirichlet
from reparam.distributions.exp_gamma import ExpGamma
from reparam.distributions.generalized_normal import GeneralizedNormal
from reparam.distributions.half_student_t import HalfStudentT
from reparam.distributions.hyperspherical_uniform import HypersphericalUniform
from reparam.distributions.inverse_gaussian import InverseGaussian
from reparam.distributions.inverse_wishart import InverseWishart
from reparam.distributions.johnson_su import JohnsonSU
from reparam.distributions.k_subset import KSubset
from reparam.distributions.logarithmic_series import LogarithmicSeries
from reparam.distributions.logit_beta import LogitBeta
from reparam.distributions.matrix_normal import MatrixNormal
from reparam.distributions.multivariate_student_t import MultivariateStudentT
from reparam.distributions.plackett_luce import PlackettLuce
from reparam.distributions.power_spherical import PowerSpherical
from reparam.distributions.sinh_arcsinh import SinhArcsinh
from reparam.distributions.tanh_normal import TanhNormal
from reparam.distributions.triangular import Triangular
from reparam.distributions.truncated import Truncated
from reparam.distributions.truncated_normal import TruncatedNormal
from reparam.distributions.von_mises_fisher import VonMisesFisher
from reparam.distributions.zero_inflated import ZeroInflated

__all__ = [
    "BetaBinomial",
    "ExpDirichlet",
    "ExpGamma",
    "GeneralizedNormal",
    "HalfStudentT",
    "HypersphericalUniform",
    "InverseGaussian",
    "InverseWishart",
    "JohnsonSU",
    "KSubset",
    "LogarithmicSeries",
    "LogitBeta",
    "MatrixNormal",
    "MultivariateStudentT",
    "PlackettLuce",
    "PowerSpherical",
    "SinhArcsinh",
    "TanhNormal",
    "Triangular",
    "Truncated",
    "TruncatedNormal",
    "VonMisesFisher",
    "ZeroInflated",
]
