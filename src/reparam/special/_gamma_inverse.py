r"""The Gamma quantile, solved for :math:`\mu = \log(x / a)` by Halley's iteration on the logarithm of the nearer tail.

:math:`\log F` and :math:`\log(1 - F)` are concave in :math:`\log x` (the density of :math:`\log X` is log-concave),
so Newton's iteration converges from anywhere and Halley's, which is cubic, from the starts below: the power law
:math:`F \approx x^a e^{-ax/(a + 1)} / \Gamma(a + 1)` in the lower tail, its counterpart
:math:`1 - F \approx x^{a - 1} e^{-x} / \Gamma(a)` in the upper one when a is small, and Wilson and Hilferty's cube of
a normal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _gamma_core as core

_SOLVING_STEPS = 3
_TRACED_STEPS = 2


def log_quantile_ratio(a: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    r""":math:`\log(x / a)` at :math:`F(x; a) = p = 1 - q`.

    The solution is found on detached tensors. Two more steps then carry the derivatives: a cubic iteration that starts
    at the root triples the order to which its result agrees with the implicit function, so after two the first eight
    derivatives are right, in every mode of differentiation.
    """
    fixed = a.detach(), log_p.detach(), log_q.detach()
    mu = _start(*fixed)
    for _ in range(_SOLVING_STEPS):
        mu = _halley_step(mu, *fixed)
    mu = mu.detach()
    for _ in range(_TRACED_STEPS):
        mu = _halley_step(mu, a, log_p, log_q)
    return mu


def _halley_step(mu: Tensor, a: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    log_mass, tail = core.log_mass(a, mu)
    # Mass over density: the reciprocal of the slope of log F, or minus that of log(1 - F).
    length = torch.where(tail.upper, tail.mass, (1 + tail.x * tail.mass) / a)
    newton = torch.where(tail.upper, log_mass - log_q, log_p - log_mass) * length
    curvature = torch.where(tail.upper, 1 / length, -1 / length) - a * torch.expm1(tail.near)
    return mu + newton / (1 + (0.5 * newton * curvature).clamp(-0.5, 2.0))


def _start(a: Tensor, log_p: Tensor, log_q: Tensor) -> Tensor:
    log_gamma = torch.lgamma(a + 1)
    power = (log_p + log_gamma) / a
    power = power + torch.exp(power.clamp(max=2.0)).clamp(max=1.0) / (a + 1)
    tail = (torch.log(a) - log_gamma - log_q).clamp(min=0.5)
    exponential = torch.log((tail - (1 - a) * torch.log(tail)).clamp(min=0.5))
    z = _normal_quantile(log_p, log_q)
    root = 1 - 1 / (9 * a) + z / (3 * torch.sqrt(a))
    cube = 3 * torch.log(root.clamp(min=0.1)) + torch.log(a)
    central = torch.where(a < 0.5, exponential, cube)
    return torch.where(power < torch.log(0.3 * (a + 1)), power, central) - torch.log(a)


def _normal_quantile(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Good to three digits where p and q are representable, and to the leading order of the tail beyond."""
    tail = torch.minimum(log_p, log_q)
    far = -torch.sqrt(-2 * tail)
    z = torch.where(tail > -700, torch.special.ndtri(torch.exp(tail)), far)
    return torch.where(log_p < log_q, z, -z)
