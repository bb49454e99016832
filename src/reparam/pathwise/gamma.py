"""Gamma and the laws that are a multiple or the inverse of a Gamma.

Under torch's own stream the samples come from its rejection sampler, made safe for small concentrations; under any
other noise from the quantile function, so base noise as a tensor is uniform in (0, 1). Gradients are implicit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Chi2, Gamma, InverseGamma

from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import draw_moderate_gamma, log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.gamma import gamma_dx_dconcentration

_IMPLICIT = "implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018"


@register(Gamma, kind="implicit", reference=_IMPLICIT)
@rounded_once
def gamma(dist: Gamma, noise: BoundNoise) -> Tensor:
    """A standard Gamma over the rate."""
    x = draw_moderate_gamma(dist.concentration, noise)
    if x is None:
        return exp_in_range(log_gamma(dist.concentration, noise) - dist.rate.log())
    return attach(_slope, x, dist.concentration) / dist.rate


@register(Chi2, kind="implicit", parameters=("df",), reference=_IMPLICIT)
@rounded_once
def chi2(dist: Chi2, noise: BoundNoise) -> Tensor:
    """Twice a standard Gamma of half the degrees of freedom."""
    x = draw_moderate_gamma(dist.concentration, noise)
    if x is None:
        return exp_in_range(log_gamma(dist.concentration, noise) + math.log(2))
    return 2 * attach(_slope, x, dist.concentration)


@register(InverseGamma, kind="implicit", reference=_IMPLICIT)
@rounded_once
def inverse_gamma(dist: InverseGamma, noise: BoundNoise) -> Tensor:
    """The rate over a standard Gamma, whose logarithm is finite where the Gamma underflows."""
    x = draw_moderate_gamma(dist.concentration, noise)
    if x is None:
        return exp_in_range(dist.rate.log() - log_gamma(dist.concentration, noise))
    return dist.rate / attach(_slope, x, dist.concentration)


def _slope(x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    return (gamma_dx_dconcentration(parameters[0], x),)
