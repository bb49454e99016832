r"""The quantile of the von Mises law, without a branch and without a loop of unknown length.

In the half angle :math:`\varphi = |x| / 2` the density is :math:`e^{-2\kappa\sin^2\varphi}` on :math:`(0, \pi/2)`, of
mass :math:`\frac\pi2 e^{-\kappa} I_0(\kappa)`. A table of the mass beyond each of 33 angles brackets the root; Newton's
method on a 32-point quadrature polishes it, from the mode in the inner half of the law and from the tail in the outer.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from reparam.special._quadrature import gauss_legendre

_NODES, _WEIGHTS = gauss_legendre(32)
_UNIT_NODES, _UNIT_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
_CELLS = 32
_GRID = torch.linspace(0, 1, _CELLS + 1, dtype=torch.float64)
_FALL = 45.0  # beyond a fall of the log density by this much, nothing is left in float64
_STEPS = 3
_LAST = torch.pi / 2 * (1 - 2**-52)  # at the end itself the tail is 0


def standard_quantile(kappa: Tensor, u: Tensor) -> Tensor:
    """The angle in (-pi, pi) whose distribution function at location 0 is u, in the dtype of u, without a gradient."""
    wide_u, kappa = torch.broadcast_tensors(u.detach().double(), kappa.detach().double())
    tail = 2 * torch.minimum(wide_u, 1 - wide_u)
    total = torch.special.i0e(kappa) * (torch.pi / 2)
    angle = _start(kappa, tail)
    for _ in range(_STEPS):
        angle = _newton(angle, kappa, tail, total)
    return (2 * angle * (wide_u - 0.5).sign()).to(u.dtype)


def _start(kappa: Tensor, tail: Tensor) -> Tensor:
    """Interpolation, linear in the logarithm of the tail, in a table of the tail."""
    edge = _edge(torch.zeros_like(kappa), kappa).unsqueeze(-1)
    grid = edge * _GRID.to(kappa.device)
    density = torch.exp(-2 * kappa.unsqueeze(-1) * torch.sin(grid) ** 2)
    cells = (density[..., 1:] + density[..., :-1]) / 2
    beyond = torch.flip(torch.cumsum(torch.flip(cells, (-1,)), -1), (-1,))
    log_tail = torch.log(pad(beyond / beyond[..., :1], (0, 1)))
    wanted = torch.log(tail).unsqueeze(-1)
    cell = ((log_tail > wanted).sum(-1, keepdim=True) - 1).clamp(0, _CELLS - 1)
    above, below = log_tail.gather(-1, cell), log_tail.gather(-1, cell + 1)
    inside = (above - wanted) / (above - below)
    # In the last cell the logarithm falls without bound, and the tail itself is the straight one.
    share = torch.where(torch.isinf(below), -torch.expm1(wanted - above), inside).clamp(0, 1)
    return ((cell + share) / _CELLS * edge).squeeze(-1).clamp(max=_LAST)


def _newton(angle: Tensor, kappa: Tensor, tail: Tensor, total: Tensor) -> Tensor:
    inner = tail > 0.5
    zero = torch.zeros_like(angle)
    mass = _mass(torch.where(inner, zero, angle), torch.where(inner, angle, _edge(angle, kappa)), kappa)
    slope = torch.exp(-2 * kappa * torch.sin(angle) ** 2)
    # The logarithm of a tail is nearly straight where the tail itself is not.
    outward = torch.log(mass / (tail * total)) * mass / slope
    inward = ((1 - tail) * total - mass) / slope
    return (angle + torch.where(inner, inward, outward)).clamp(0, _LAST)


def _mass(start: Tensor, end: Tensor, kappa: Tensor) -> Tensor:
    width = (end - start).unsqueeze(-1)
    points = start.unsqueeze(-1) + width * _UNIT_NODES.to(start.device)
    density = torch.exp(-2 * kappa.unsqueeze(-1) * torch.sin(points) ** 2)
    return (width * density * _UNIT_WEIGHTS.to(start.device)).sum(-1)


def _edge(angle: Tensor, kappa: Tensor) -> Tensor:
    """The end of the law, or where its density has fallen to nothing from its value at the angle."""
    sin2 = torch.sin(angle) ** 2 + _FALL / (2 * kappa)
    return torch.where(sin2 < 1, torch.asin(torch.sqrt(sin2.clamp(max=1))), torch.pi / 2)
