r"""The von Mises law on the circle, location 0: its distribution function and pathwise derivative.

.. math:: p(x; \kappa) = \frac{e^{\kappa \cos x}}{2 \pi I_0(\kappa)}, \qquad x \in [-\pi, \pi]

The kernels of the derivative evaluate the same integral, in C++ and in Triton: there is no table to share.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.special._arguments import promote
from reparam.special._closed_form import closed_form
from reparam.special._native import native_value
from reparam.special.bessel import log_reduced_ive
from reparam.special.spherical import angular_mass, angular_rate


def von_mises_cdf(x: Tensor | float, concentration: Tensor | float) -> Tensor:
    r"""Distribution function of the von Mises law with location 0.

    .. math:: F(x; \kappa) = \frac{1}{2 \pi I_0(\kappa)} \int_{-\pi}^{x} e^{\kappa \cos t} dt

    The integral runs from x away from the mode, to -pi or pi, so the lower tail keeps its relative accuracy.

    Args:
        x: the angle, in [-pi, pi]. Each dtype's own rounding of pi counts as pi.
        concentration: kappa >= 0; 0 is the uniform law.

    Returns:
        A tensor of the broadcast shape; float32 and float64 compute in their own dtype, half precision in float32.
        NaN outside the domain.

    Gradient: exact, with respect to both arguments, of any order: dF/dx is the density, and dF/dconcentration is
    minus the density times `von_mises_dx_dconcentration`.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        K. V. Mardia, P. E. Jupp, Directional Statistics, 2000, section 3.5.4; G. W. Hill, Algorithm 518: Incomplete
        Bessel function I0, ACM Transactions on Mathematical Software, 1977.

    Example:
        >>> von_mises_cdf(torch.tensor([-1.0, 0.0, torch.pi], dtype=torch.float64), 2.0)
        tensor([0.1104, 0.5000, 1.0000], dtype=torch.float64)
    """
    (x, kappa), dtype = promote(x=x, concentration=concentration)
    return _cdf(x, kappa).to(dtype)


def von_mises_dx_dconcentration(concentration: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of a von Mises sample with respect to its concentration, the distribution function fixed.

    .. math:: \frac{dx}{d\kappa} = -\frac{1}{p(x)} \int_0^x (\cos t - A(\kappa))\, p(t)\, dt, \qquad A = I_1 / I_0

    Odd in x, 0 at 0 and at pi, negative between: mass moves towards the mode.

    Args:
        concentration: kappa >= 0.
        x: the angle, in [-pi, pi]. Each dtype's own rounding of pi counts as pi.

    Returns:
        A tensor of the broadcast shape; float32 and float64 compute in their own dtype, half precision in float32.
        NaN outside the domain.

    Gradient: exact, with respect to both arguments, of any order; the first derivatives to 1e-13 at the points of
    `benchmarks/second_derivatives.py`.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        M. Figurnov, S. Mohamed, A. Mnih, Implicit reparameterization gradients, NeurIPS 2018.

    Example:
        >>> x = torch.tensor([-1.0, 1.0, 2.0], dtype=torch.float64)
        >>> von_mises_dx_dconcentration(0.0, x)  # -sin(x) at kappa = 0
        tensor([ 0.8415, -0.8415, -0.9093], dtype=torch.float64)
    """
    value = native_value("von_mises_dx_dkappa", concentration, x)
    if value is not None:
        return value
    (kappa, x), dtype = promote(concentration=concentration, x=x)
    return _dx_dconcentration(*torch.broadcast_tensors(kappa, x)).to(dtype)


def _dx_dconcentration(kappa: Tensor, x: Tensor) -> Tensor:
    sin2, cos2 = _half_angle(x)
    return -torch.sin(x) * angular_rate(2, kappa, sin2, cos2)


def _density(kappa: Tensor, x: Tensor) -> Tensor:
    sin2, _ = _half_angle(x)
    return torch.exp(-2 * kappa * sin2 - log_reduced_ive(0, kappa)) / (2 * math.pi)


def _half_angle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squared sine and cosine of x/2, each to full relative accuracy; NaN outside [-pi, pi]."""
    inside = torch.where(x.abs() <= torch.pi, x, torch.nan)
    return torch.sin(inside / 2) ** 2, torch.cos(inside / 2) ** 2


def _cdf_value(x: Tensor, kappa: Tensor) -> Tensor:
    near, rate = angular_mass(2, kappa, *_half_angle(x))
    mass = torch.sin(x) * rate * _density(kappa, x)
    # From the mode, where F = 1/2; beyond the mean angle from pi, whose float may lie past it: hence abs.
    outer = torch.where(x < 0, mass.abs(), 1 - mass.abs())
    return torch.where(near, 0.5 + mass, outer)


def _cdf_partials(_: Tensor, x: Tensor, kappa: Tensor) -> tuple[Tensor, Tensor]:
    density = _density(kappa, x)
    return density, -density * _dx_dconcentration(kappa, x)


_cdf = closed_form(_cdf_value, _cdf_partials)
