"""The von Mises-Fisher distribution on the unit sphere, in any dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import register_kl

from reparam.distributions._base import at_value
from reparam.distributions._polar import polar_quantile
from reparam.distributions._sphere import Directional, normalized, place, same_sphere
from reparam.distributions.hyperspherical_uniform import HypersphericalUniform, kl_to_uniform
from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise
from reparam.pathwise import register
from reparam.pathwise._precision import rounded_once
from reparam.special.bessel import bessel_ratio, bessel_ratio_complement, log_reduced_ive

_LOG_TAU = math.log(2 * math.pi)


class VonMisesFisher(Directional):
    r"""The von Mises-Fisher law: the density on the unit sphere that decays exponentially away from a direction.

    .. math:: p(x) = C_d(\kappa)\, e^{\kappa \langle\mu, x\rangle}, \qquad
              C_d(\kappa) = \frac{\kappa^{d/2-1}}{(2\pi)^{d/2} I_{d/2-1}(\kappa)}, \qquad \lVert x \rVert = 1

    Args:
        loc: mean direction :math:`\mu`, shape (..., d) with d >= 2, of norm 1.
        concentration: :math:`\kappa \ge 0`; 0 is the uniform law.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        `loc.shape[:-1]` and `concentration` broadcast to `batch_shape`; `event_shape` is `(d,)`. float32, float64; half
        precision is computed in float32 and rounded once. The normaliser and the polar angle are computed in float64
        whatever the dtype. Tested for d from 2 to 1,000 and concentrations up to 1e5.

    Gradient:
        To `loc` explicitly, through a reflection that is safe at every direction. `loc` is normalised first, so its
        gradient is tangent to the sphere. To `concentration` implicitly: :math:`w = \langle\mu, x\rangle` is the
        quantile of its own law at a uniform number and moves by :math:`-(\partial F/\partial\kappa) / p`. There is no
        rejection step, whose acceptance the gradient would have to be corrected for. Both are unbiased, and
        differentiate twice. A sample takes two pieces of base noise: a uniform number and d - 1 normals.

    Errors:
        `InvalidArgument` for a `loc` that is no unit vector, a negative concentration, shapes that do not broadcast, a
        value off the sphere, and base noise given as one tensor.

    References:
        Fisher, Dispersion on a Sphere, Proc. R. Soc. A 1953. Figurnov, Mohamed and Mnih, Implicit Reparameterization
        Gradients, NeurIPS 2018. Davidson, Falorsi, De Cao, Kipf and Tomczak, Hyperspherical Variational Auto-Encoders,
        UAI 2018.

    Example:
        >>> import torch
        >>> law = VonMisesFisher(torch.tensor([1.0, 0.0, 0.0]), 2.0)
        >>> law.mean  # coth(2) - 1/2
        tensor([0.5373, 0.0000, 0.0000])
        >>> law.rsample((4,)).norm(dim=-1).round(decimals=5)
        tensor([1., 1., 1., 1.])
    """

    def _order(self) -> float:
        return self.dimension / 2 - 1

    def _log_peak(self) -> Tensor:
        """The log density at the mode, in float64: terms of size d log d must cancel in it."""
        kappa = self.concentration.double()
        peak = -0.5 * self.dimension * _LOG_TAU - log_reduced_ive(self._order(), kappa.detach())
        # Its derivative is 1 - A: one recurrence, instead of a way back through both of the logarithm's expansions.
        return attach(self._peak_slope, peak, kappa)

    def _peak_slope(self, peak: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
        return (bessel_ratio_complement(self._order(), parameters[0]),)

    def _length(self) -> Tensor:
        """The mean resultant length `A = I_{d/2}(kappa) / I_{d/2-1}(kappa)`."""
        return bessel_ratio(self._order(), self.concentration.double())

    def _shortfall(self) -> Tensor:
        """`1 - A`, to its own last digit."""
        return bessel_ratio_complement(self._order(), self.concentration.double())

    @at_value
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density with respect to the sphere's area."""
        return self._log_peak().to(value.dtype) - 0.5 * self.concentration * self._squared_distance(value)

    def _entropy(self) -> Tensor:
        return self.concentration.double() * self._shortfall() - self._log_peak()

    def _spread(self) -> tuple[Tensor, Tensor]:
        """The variance along the mean direction and across it, in float64."""
        # A / kappa is even and smooth; below this floor, where 0 / 0 waits, it is 1/d to the last digit.
        floored = self.concentration.double().clamp_min(1e-100)
        across = bessel_ratio(self._order(), floored) / floored
        return self._shortfall() * (1 + self._length()) - (self.dimension - 1) * across, across


@register(VonMisesFisher, kind="implicit", reference="Figurnov, Mohamed and Mnih, NeurIPS 2018; inverted polar law")
@rounded_once
def von_mises_fisher(dist: VonMisesFisher, noise: BoundNoise) -> Tensor:
    """The polar coordinate by its quantile, the rest uniform about the mean direction."""
    shape = noise.shape[:-1]
    u = noise.source.uniform(shape, torch.float64, dist.loc.device)
    polar = polar_quantile(u, dist.concentration.double(), dist.dimension)
    return place(polar, noise.normal((*shape, dist.dimension - 1)), normalized(dist.loc))


@register_kl(VonMisesFisher, HypersphericalUniform)
def _kl_von_mises_fisher_uniform(p: VonMisesFisher, q: HypersphericalUniform) -> Tensor:
    return kl_to_uniform(p, q)


@register_kl(VonMisesFisher, VonMisesFisher)
def _kl_von_mises_fisher_von_mises_fisher(p: VonMisesFisher, q: VonMisesFisher) -> Tensor:
    same_sphere(p, q)
    apart = 0.5 * (normalized(p.loc.double()) - normalized(q.loc.double())).square().sum(-1)
    inside_q = q.concentration.double() * (p._shortfall() + p._length() * apart)
    inside_p = p.concentration.double() * p._shortfall()
    return (p._log_peak() - q._log_peak() + inside_q - inside_p).to(p.loc.dtype)
