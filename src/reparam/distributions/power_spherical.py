"""The power spherical distribution: the von Mises-Fisher law's shape with a normaliser in Gamma functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import register_kl

from reparam.distributions._base import at_value
from reparam.distributions._sphere import Directional, normalized, place, same_sphere
from reparam.distributions.hyperspherical_uniform import HypersphericalUniform, kl_to_uniform
from reparam.distributions.von_mises_fisher import VonMisesFisher
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.beta import beta_logit


class PowerSpherical(Directional):
    r"""The power spherical law: a density on the unit sphere that is a power of the cosine of half the angle.

    .. math:: p(x) \propto (1 + \langle\mu, x\rangle)^\kappa, \qquad
              \frac{1 + \langle\mu, x\rangle}2 \sim \mathrm{Beta}\Bigl(\frac{d-1}2 + \kappa, \frac{d-1}2\Bigr)

    Args:
        loc: mean direction :math:`\mu`, shape (..., d) with d >= 2, of norm 1.
        concentration: :math:`\kappa \ge 0`; 0 is the uniform law.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        `loc.shape[:-1]` and `concentration` broadcast to `batch_shape`; `event_shape` is `(d,)`. float32, float64; half
        precision is computed in float32 and rounded once. The normaliser is computed in float64 whatever the dtype.

    Gradient:
        To `loc` explicitly, tangent to the sphere, through a reflection that is safe at every direction. To
        `concentration` implicitly, through the logit of the Beta variate above, which keeps its digits at both poles.
        Both are unbiased, and differentiate twice. A sample takes three pieces of base noise.

    Errors:
        `InvalidArgument` for a `loc` that is no unit vector, a negative concentration, shapes that do not broadcast, a
        value off the sphere, and base noise given as one tensor.

    References:
        De Cao and Aziz, The Power Spherical Distribution, 2020.

    Example:
        >>> import torch
        >>> law = PowerSpherical(torch.tensor([1.0, 0.0, 0.0]), 2.0)
        >>> law.mean  # kappa / (kappa + 2), in three dimensions
        tensor([0.5000, 0.0000, 0.0000])
    """

    def _shapes(self) -> tuple[Tensor, Tensor]:
        """The concentrations of the Beta law of (1 + w) / 2, in float64."""
        equatorial = torch.full_like(self.concentration, (self.dimension - 1) / 2, dtype=torch.float64)
        return equatorial + self.concentration.double(), equatorial

    def _log_peak(self) -> Tensor:
        """The log density at the mode, in float64."""
        first, second = self._shapes()
        return (
            -2 * second * math.log(2) - second * math.log(math.pi) - torch.lgamma(first) + torch.lgamma(first + second)
        )

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density with respect to the sphere's area; -inf opposite the mean direction."""
        near, far = self._squared_distance(value), (value + normalized(self.loc)).square().sum(-1)
        # kappa log((1 + w) / 2), from whichever of w = 1 and w = -1 is closer.
        head = torch.special.xlog1py(self.concentration, -0.25 * near.clamp(max=2))
        power = torch.where(near < 2, head, torch.xlogy(self.concentration, 0.25 * far))
        return self._log_peak().to(value.dtype) + power

    def _entropy(self) -> Tensor:
        first, second = self._shapes()
        log_half = torch.digamma(first) - torch.digamma(first + second)
        return -self._log_peak() - self.concentration.double() * log_half

    def _length(self) -> Tensor:
        first, second = self._shapes()
        return (first - second) / (first + second)

    def _spread(self) -> tuple[Tensor, Tensor]:
        first, second = self._shapes()
        total = first + second
        off_axis = 4 * first * second / (total * (total + 1))  # the mean of 1 - w^2
        return off_axis / total, off_axis / (self.dimension - 1)


@register(PowerSpherical, kind="implicit", reference="De Cao and Aziz, 2020; logit of a Beta variate")
@rounded_once
def power_spherical(dist: PowerSpherical, noise: BoundNoise) -> Tensor:
    """The polar coordinate by the logit of a Beta variate, the rest uniform about the mean direction."""
    first, second = (shape.to(noise.like) for shape in dist._shapes())
    shape = noise.shape[:-1]
    polar = beta_logit(first, second, noise, shape)
    return place(polar, noise.normal((*shape, dist.dimension - 1)), normalized(dist.loc))


@register_kl(PowerSpherical, HypersphericalUniform)
def _kl_power_spherical_uniform(p: PowerSpherical, q: HypersphericalUniform) -> Tensor:
    return kl_to_uniform(p, q)


@register_kl(PowerSpherical, VonMisesFisher)
def _kl_power_spherical_von_mises_fisher(p: PowerSpherical, q: VonMisesFisher) -> Tensor:
    same_sphere(p, q)
    cosine = (normalized(p.loc.double()) * normalized(q.loc.double())).sum(-1)
    cross = q._log_peak() - q.concentration.double() * (1 - p._length() * cosine)
    return (-p._entropy() - cross).to(p.loc.dtype)
