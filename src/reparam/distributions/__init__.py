"""What torch lacks: new families with torch's conventions, each beside its own rule."""

from reparam.distributions.hyperspherical_uniform import HypersphericalUniform
from reparam.distributions.johnson_su import JohnsonSU
from reparam.distributions.von_mises_fisher import VonMisesFisher

__all__ = ["HypersphericalUniform", "JohnsonSU", "VonMisesFisher"]
