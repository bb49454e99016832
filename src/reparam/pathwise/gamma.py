"""Gamma and the laws that are a multiple or the inverse of a Gamma.

Under torch's own stream the samples come from its rejection sampler, made safe for small concentrations; under any
other noise from the quantile function, so base noise as a tensor is uniform in (0, 1). Gradients are implicit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Chi2, Gamma, InverseGamma

from reparam.kernels.flows import gamma_flows
from reparam.kernels.implicit import Drawn
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.gamma import gamma_dx_dconcentration

_IMPLICIT = "implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018"


@register(Gamma, kind="implicit", reference=_IMPLICIT)
@rounded_once
def gamma(dist: Gamma, noise: BoundNoise) -> Tensor:
    """A standard Gamma over the rate."""
    standard = moderate_gamma(noise, dist.concentration)
    if standard is None:
        return exp_in_range(log_gamma(dist.concentration, noise) - dist.rate.log())
    return _drawn_gamma(lambda a, rate: standard(a).div_(rate), dist.concentration, dist.rate)


@register(Chi2, kind="implicit", parameters=("df",), reference=_IMPLICIT)
@rounded_once
def chi2(dist: Chi2, noise: BoundNoise) -> Tensor:
    """Twice a standard Gamma of half the degrees of freedom."""
    standard = moderate_gamma(noise, dist.concentration)
    if standard is None:
        return exp_in_range(log_gamma(dist.concentration, noise) + math.log(2))
    return _drawn_chi2(lambda a: (x := standard(a)).add_(x), dist.concentration)


@register(InverseGamma, kind="implicit", reference=_IMPLICIT)
@rounded_once
def inverse_gamma(dist: InverseGamma, noise: BoundNoise) -> Tensor:
    """The rate over a standard Gamma, whose logarithm is finite where the Gamma underflows."""
    standard = moderate_gamma(noise, dist.concentration)
    if standard is None:
        return exp_in_range(dist.rate.log() - log_gamma(dist.concentration, noise))
    return _drawn_inverse_gamma(lambda a, rate: rate / standard(a), dist.concentration, dist.rate)


# One derivative for the whole sample, the scale included: a node of autograd costs as much as sixty-four Gammas.


def _gamma_slopes(y: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    a, rate = parameters
    return [gamma_dx_dconcentration(a, y * rate) / rate if needed[0] else None, -y / rate if needed[1] else None]


def _chi2_slope(y: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor]:
    return [2 * gamma_dx_dconcentration(parameters[0], y / 2)]


def _inverse_gamma_slopes(y: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    a, rate = parameters
    x = rate / y
    return [-y * gamma_dx_dconcentration(a, x) / x if needed[0] else None, y / rate if needed[1] else None]


_drawn_gamma = Drawn(_gamma_slopes, gamma_flows)
_drawn_chi2 = Drawn(_chi2_slope)
_drawn_inverse_gamma = Drawn(_inverse_gamma_slopes)
