r"""The radial law of the von Mises-Fisher distribution: how its cosine moves with the concentration.

On the unit sphere in dimension d, :math:`W = \langle\mu, X\rangle = \cos T` has density proportional to
:math:`(1 - w^2)^{(d-3)/2} e^{\kappa w}`. In the angle, holding the distribution function fixed gives

.. math:: \frac{dT}{d\kappa} = -\sin(t)\, \gamma_d(\kappa, t), \qquad \frac{dW}{d\kappa} = (1 - w^2)\, \gamma_d,

with one smooth positive rate :math:`\gamma_d`, finite at both poles. d = 2 is the von Mises law.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.special._arguments import promote
from reparam.special._quadrature import gauss_legendre
from reparam.special.bessel import bessel_ratio_complement, log_reduced_ive

# Beyond a drop of e^-38 an integrand adds nothing to a float64; 32 nodes resolve every such window to rounding.
_DROP = 38.0
_NODES, _WEIGHTS = gauss_legendre(32)
_BISECTIONS = 8
_LOG_NARROWEST = -20.0


def von_mises_fisher_dw_dconcentration(
    dimension: int, concentration: Tensor | float, w: Tensor | float, one_minus_w: Tensor | float | None = None
) -> Tensor:
    r"""Pathwise derivative of the von Mises-Fisher cosine with respect to the concentration.

    .. math:: \frac{dw}{d\kappa} = -\frac{1}{p(w)} \int_{-1}^{w} (s - A_d(\kappa))\, p(s)\, ds,
              \qquad p(w) \propto (1 - w^2)^{(d-3)/2} e^{\kappa w}, \quad A_d = I_{d/2} / I_{d/2-1}

    The integral is taken from the pole on the side of the mean where the score keeps one sign, so both tails are
    as accurate as the centre.

    Args:
        dimension: d >= 2, of the space around the sphere.
        concentration: kappa >= 0.
        w: the cosine, in [-1, 1].
        one_minus_w: 1 - w, where the sampler knows it better than w does: at large kappa, w rounds to 1. It then
            replaces w at w > 0.

    Returns:
        A tensor of the broadcast shape; float32 and float64 compute in their own dtype, half precision in float32.
        0 at w = -1 and w = 1; NaN outside the domain.

    Gradient: exact, with respect to concentration and w (or one_minus_w where that is used), of any order.

    Raises:
        InvalidArgument: the dimension is not an integer >= 2, an argument is complex, the shapes do not broadcast, or
            the devices differ.

    References:
        M. Figurnov, S. Mohamed, A. Mnih, Implicit reparameterization gradients, NeurIPS 2018; G. Ulrich, Computer
        generation of distributions on the m-sphere, Applied Statistics, 1984.

    Example:
        >>> w = torch.tensor([-1.0, 0.0, 0.5, 1.0], dtype=torch.float64)
        >>> von_mises_fisher_dw_dconcentration(3, 0.0, w)  # (1 - w^2) / 2 at kappa = 0
        tensor([0.0000, 0.5000, 0.3750, 0.0000], dtype=torch.float64)
    """
    given = {} if one_minus_w is None else {"one_minus_w": one_minus_w}
    (kappa, w, *rest), dtype = promote(concentration=concentration, w=w, **given)
    above = rest[0] if rest else 1 - w
    upper = w > 0
    above = torch.where(upper, above, 1 - w)
    above = torch.where((above >= 0) & (w >= -1), above, torch.nan)
    below = torch.where(upper, 2 - above, 1 + w)
    kappa, above, below = torch.broadcast_tensors(kappa, above, below)
    rate = angular_rate(_checked(dimension), kappa, above / 2, below / 2)
    return (above * below * rate).to(dtype)


def von_mises_fisher_dangle_dconcentration(
    dimension: int, concentration: Tensor | float, angle: Tensor | float
) -> Tensor:
    r"""Pathwise derivative of the angle between a von Mises-Fisher sample and its mean direction.

    .. math:: \frac{dt}{d\kappa} = -\sin(t)\, \gamma_d(\kappa, t), \qquad p(t) \propto \sin^{d-2}(t)\, e^{\kappa \cos t}

    Args:
        dimension: d >= 2, of the space around the sphere.
        concentration: kappa >= 0.
        angle: t in [0, pi]; it keeps its digits where the cosine rounds to 1.

    Returns:
        A tensor of the broadcast shape, at most 0; NaN outside the domain.

    Gradient: exact, with respect to concentration and angle, of any order.

    Raises:
        InvalidArgument: the dimension is not an integer >= 2, an argument is complex, the shapes do not broadcast, or
            the devices differ.

    References:
        M. Figurnov, S. Mohamed, A. Mnih, Implicit reparameterization gradients, NeurIPS 2018.

    Example:
        >>> t = torch.tensor(1.0, dtype=torch.float64)
        >>> torch.allclose(von_mises_fisher_dangle_dconcentration(3, 0.0, t), -t.sin() / 2)
        True
    """
    (kappa, angle), dtype = promote(concentration=concentration, angle=angle)
    inside = torch.where((angle >= 0) & (angle <= torch.pi), angle, torch.nan)
    kappa, inside = torch.broadcast_tensors(kappa, inside)
    rate = angular_rate(_checked(dimension), kappa, torch.sin(inside / 2) ** 2, torch.cos(inside / 2) ** 2)
    return (-torch.sin(inside) * rate).to(dtype)


def von_mises_fisher_log_normalizer(dimension: int, concentration: Tensor | float) -> Tensor:
    r"""Logarithm of the integral of :math:`e^{\kappa (\langle\mu, x\rangle - 1)}` over the unit sphere.

    .. math:: \log\left((2\pi)^{d/2}\, \kappa^{1 - d/2}\, I_{d/2-1}(\kappa)\, e^{-\kappa}\right)

    so that the log density is :math:`\kappa (\langle\mu, x\rangle - 1)` minus it, which keeps its digits at large
    kappa. At kappa = 0 it is the log area of the sphere.

    Args:
        dimension: d >= 2, of the space around the sphere.
        concentration: kappa >= 0, any shape.

    Returns:
        A tensor of the concentration's shape and dtype; NaN for kappa < 0.

    Gradient: exact, with respect to the concentration, of any order; it is :math:`A_d(\kappa) - 1`.

    Raises:
        InvalidArgument: the dimension is not an integer >= 2, or the concentration is complex.

    References:
        K. V. Mardia, P. E. Jupp, Directional Statistics, 2000, section 9.3.

    Example:
        >>> von_mises_fisher_log_normalizer(3, torch.tensor(0.0)).exp()  # 4 pi
        tensor(12.5664)
    """
    (kappa,), dtype = promote(concentration=concentration)
    half = _checked(dimension) / 2
    return (half * math.log(2 * math.pi) + log_reduced_ive(half - 1, kappa)).to(dtype)


def angular_rate(dimension: int, kappa: Tensor, sin2: Tensor, cos2: Tensor) -> Tensor:
    r"""The rate :math:`\gamma_d(\kappa, t)`, given the squared sine and cosine of half the angle.

    .. math:: \gamma_d = \frac{1}{\sin t} \int_0^t (\cos s - A_d)\, e^{h(s) - h(t)} ds,
              \qquad h(s) = \kappa \cos s + (d - 2) \log \sin s,

    below the mean angle, where :math:`\cos s \ge A_d`; above it the mirror image, from the pole at pi.
    """
    return _Arc(dimension, kappa, sin2, cos2).integral(scored=True)


def angular_mass(dimension: int, kappa: Tensor, sin2: Tensor, cos2: Tensor) -> tuple[Tensor, Tensor]:
    r"""Whether t is below the mean angle, and the mass from t to the pole at its side over :math:`p(t) \sin t`."""
    arc = _Arc(dimension, kappa, sin2, cos2)
    return arc.near, arc.integral(scored=False)


class _Arc:
    r"""The arc from the point t to the pole at its side of the mean angle, and integrals of the density along it.

    The position s is measured by :math:`y = \sin(|s - t| / 2) / a`, from 0 at t to 1 at the pole, where a and b are
    the sine and cosine of half the distance from the pole to t. In it every quantity is a smooth function of
    :math:`a^2`, without trigonometry: at the poles themselves too, the derivatives are finite and accurate.
    """

    def __init__(self, dimension: int, kappa: Tensor, sin2: Tensor, cos2: Tensor) -> None:
        self.power = dimension - 2
        self.complement = bessel_ratio_complement(dimension / 2 - 1, kappa)  # 1 - A
        self.near = 2 * sin2 <= self.complement
        self.tilt = torch.where(self.near, kappa, -kappa)
        self.a2 = torch.where(self.near, sin2, cos2)
        b2 = torch.where(self.near, cos2, sin2)
        self.b, self.cosine = torch.sqrt(b2), b2 - self.a2

    def integral(self, scored: bool) -> Tensor:
        r"""The integral of the density, times the score if asked for, from t to the pole, over :math:`p(t) \sin t`."""
        with torch.no_grad():
            width = self._window()
        nodes, weights = (rule.to(width).reshape(-1, *[1] * width.ndim) for rule in (_NODES, _WEIGHTS))
        y = width * (1 + nodes) / 2
        density = torch.exp(-self._fall(y)) / self._chord(y)
        terms = self._score(y) * density if scored else density
        return width / self.b * (weights / 2 * terms).sum(0)

    def _chord(self, y: Tensor) -> Tensor:
        return torch.sqrt(1 - self.a2 * y * y)

    def _fall(self, y: Tensor) -> Tensor:
        """How far the log density lies below its value at t."""
        chord = self._chord(y)
        fall = 2 * self.tilt * self.a2 * y * (self.cosine * y - 2 * self.b * chord)
        if self.power == 0:
            return fall
        return fall - self.power * torch.log1p(-2 * self.a2 * y * y - self.cosine / self.b * y * chord)

    def _score(self, y: Tensor) -> Tensor:
        """The distance of cos s from its mean, by 1 - cos s, which does not cancel where both are nearly 1."""
        chord = self._chord(y)
        haversine = torch.where(self.near, self.a2 * (chord - self.b * y) ** 2, (self.b * chord + self.a2 * y) ** 2)
        return torch.where(self.near, self.complement - 2 * haversine, 2 * haversine - self.complement)

    def _window(self) -> Tensor:
        """The part of the arc, in y, outside which the density is negligible: bisection in log y."""
        low, high = torch.full_like(self.a2, _LOG_NARROWEST), torch.zeros_like(self.a2)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            enough = self._fall(middle.exp()) > _DROP
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high.exp()


def _checked(dimension: int) -> int:
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 2:
        raise InvalidArgument(
            "the dimension of the space around a sphere must be an integer >= 2",
            received=f"dimension = {dimension!r}",
            instead="pass dimension >= 2, e.g. x.shape[-1]; dimension = 2 is the circle",
        )
    return dimension
