"""Checks that hold for every law on the sphere that is symmetric about a mean direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import reparam as rp
from reparam.distributions._sphere import Directional, log_area
from reparam.special._quadrature import gauss_legendre

from .conformance import seeded

Z = 5.5
"""Standard errors allowed: one comparison in 26 million fails by chance."""


def direction(*entries: float) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(entries, dtype=torch.float64), dim=0)


def direction_in(d: int) -> Tensor:
    """A direction with every coordinate different from 0 and from the others."""
    return direction(*(math.cos(1.0 + 0.7 * i) for i in range(d)))


def meridian(law: Directional, n: int = 400) -> tuple[Tensor, Tensor]:
    """Points from the mean direction to its opposite, and the weight of each one's circle of latitude."""
    nodes, weights = gauss_legendre(n)
    angle, d = 0.5 * math.pi * (1 + nodes), law.dimension
    across = torch.zeros(d, dtype=torch.float64)
    across[1] = 1.0
    across = across - law.loc * law.loc[1]
    across = across / across.norm()
    points = angle.cos().unsqueeze(-1) * law.loc + angle.sin().unsqueeze(-1) * across
    circle = math.log(2) if d == 2 else log_area(d - 1)
    return points, 0.5 * math.pi * weights * (circle + (d - 2) * angle.sin().log()).exp()


def integrates_to_one(law: Directional) -> None:
    points, weights = meridian(law)
    density = law.log_prob(points).exp()
    torch.testing.assert_close((weights * density).sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-10, atol=0)
    torch.testing.assert_close(
        (weights * density * (points @ law.loc)).sum(), law.mean @ law.loc, rtol=1e-10, atol=1e-13
    )
    across = 1 - law.mean.square().sum() - law.covariance_matrix.trace()
    torch.testing.assert_close(across, torch.zeros_like(across), rtol=0, atol=1e-12)
    second = (weights * density * (points @ law.loc).square()).sum()
    along = law.loc @ (law.covariance_matrix + torch.outer(law.mean, law.mean)) @ law.loc
    torch.testing.assert_close(second, along, rtol=1e-10, atol=0)
    torch.testing.assert_close(law.variance, law.covariance_matrix.diagonal(), rtol=1e-12, atol=1e-15)
    entropy = -(weights * density * law.log_prob(points)).sum()
    torch.testing.assert_close(law.entropy(), entropy, rtol=1e-10, atol=1e-12)


def moves_as_its_moments_do(cls: type[Directional], loc: Tensor, kappa: float, n: int = 20_000) -> None:
    """Gradients of every first and second moment, in the concentration and along the sphere in loc."""
    concentration = torch.tensor(kappa, dtype=torch.float64)
    turn = torch.roll(loc, 1) - loc * (loc @ torch.roll(loc, 1))
    for tangents in ((torch.zeros_like(loc), torch.ones_like(concentration)), (turn, torch.zeros_like(concentration))):
        x, dx = torch.func.jvp(
            lambda m, k: rp.rsample(cls(m, k, validate_args=False), (n,), noise=seeded(3)),
            (loc, concentration),
            tangents,
        )
        (mean, second), (d_mean, d_second) = torch.func.jvp(
            lambda m, k: _moments(cls(m, k, validate_args=False)), (loc, concentration), tangents
        )
        products = x.unsqueeze(-1) * x.unsqueeze(-2)
        moved = x.unsqueeze(-1) * dx.unsqueeze(-2) + dx.unsqueeze(-1) * x.unsqueeze(-2)
        for draws, exact in ((x, mean), (products, second), (dx, d_mean), (moved, d_second)):
            # The floor is for a derivative that is the same for every draw.
            error = draws.std(0) / math.sqrt(n) + 1e-12
            assert ((draws.mean(0) - exact).abs() < Z * error).all()


def _moments(law: Directional) -> tuple[Tensor, Tensor]:
    return law.mean, law.covariance_matrix + torch.outer(law.mean, law.mean)


def is_safe_at_every_direction(cls: type[Directional]) -> None:
    axes = torch.eye(3).repeat(2, 1) * torch.tensor([1.0] * 3 + [-1.0] * 3).unsqueeze(-1)
    loc = axes.clone().requires_grad_()
    kappa = torch.full((6,), 30.0, requires_grad=True)
    x = cls(loc, kappa).rsample((200,))
    assert torch.allclose(x.norm(dim=-1), torch.ones(()), atol=1e-5)
    assert ((x * axes).sum(-1).mean(0) > 0.9).all()
    grads = torch.autograd.grad((x * torch.arange(3.0)).sum(), (loc, kappa))
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert (grads[0] * axes).sum(-1).abs().max() < 1e-3 * grads[0].abs().max()
