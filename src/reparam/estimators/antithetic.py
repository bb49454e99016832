"""Coin tosses that disagree as often as they can, and what ARM, DisARM and ARMS have in common."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators.base import ParticleEstimator, Proposal
from reparam.estimators.decisions import decisions
from reparam.kernels.implicit import watched
from reparam.noise import NoiseSource


@dataclasses.dataclass(frozen=True)
class AntitheticEstimator(ParticleEstimator):
    """Draws whose coins are coupled within groups of runs.

    In a program the groups lie on the particle axis, unless the variable depends on what was drawn before: coupled
    draws are compared with each other, so all of a group must share what lies upstream. The estimator then adds an axis
    of its own, of `samples` points.
    """

    unbiased: ClassVar[bool] = True
    coupled: ClassVar[bool] = True

    @abc.abstractmethod
    def group(self, runs: int) -> int:
        """How many of `runs` are coupled with each other."""

    @abc.abstractmethod
    def coefficients(self, events: Tensor, uniforms: Tensor, rare: Tensor) -> Tensor:
        """What multiplies the movement of each coin's probability: mean zero, and mean one over the event.

        Args:
            events: whether the rarer side came up, of shape `(n, groups, *batch_shape, D)`, as a float.
            uniforms: what decided it, in the same shape; smaller than `rare` where it came up.
            rare: the probability of the rarer side, of shape `(*batch_shape, D)`, without gradient.
        """

    def propose(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Proposal:
        """Coupled points, and the log of the weights that move with the coins' probabilities."""
        name = type(self).__name__
        coins = decisions(dist, name)
        (runs,) = sample_shape
        n = self.group(runs)
        rare = coins.rare.detach()
        uniforms = antithetic_uniforms(n, runs // n, rare, noise)
        events = uniforms < rare
        bits = (events ^ coins.flipped).flatten(0, 1)
        points = coins.decode(bits)
        if not watched([coins.rare]):
            return Proposal(points, None)
        slopes = self.coefficients(events.to(rare.dtype), uniforms, rare)
        if coins.reached is not None:
            # A coin that none of the group looks at does not matter; one that some look at is a baseline for the rest.
            slopes = slopes * coins.reached(bits).reshape(events.shape).any(0)
        moved = coins.rare - rare
        return Proposal(points, torch.log1p(slopes * moved).sum(-1).flatten(0, 1))


def antithetic_uniforms(n: int, groups: int, like: Tensor, noise: NoiseSource) -> Tensor:
    r"""Uniform variables, n to a group, that are small together as seldom as possible.

    .. math:: d \sim \operatorname{Dirichlet}(1, \dots, 1), \qquad u_i = (1 - d_i)^{n - 1}

    For n = 2 that is u and 1 - u. At most one of n shares can be large, so at most few of the uniforms can be small.
    """
    if n == 2:
        u = noise.uniform((groups, *like.shape), like.dtype, like.device)
        return torch.stack([u, 1 - u])
    # In float64: what matters is the small difference between a large share and 1.
    e = noise.exponential((n * groups, *like.shape), torch.float64, like.device).unflatten(0, (n, groups))
    total = e.sum(0)
    return ((total - e) / total).pow(n - 1).to(like.dtype)


def disagreement(rare: Tensor, n: int) -> Tensor:
    r"""The probability that of two given members of a group the first tosses the rarer side and the second does not.

    .. math:: t - \max(0,\, 2 t^{1/(n-1)} - 1)^{n-1}
    """
    return rare - (2 * rare.pow(1 / (n - 1)) - 1).clamp(min=0).pow(n - 1)


def share_of_disagreement(events: Tensor, rare: Tensor) -> Tensor:
    """For each member of a group: how often it disagrees with the others, over the chance of that, signed."""
    n = events.shape[0]
    disagreements = n * events - events.sum(0)
    # Where the rarer side cannot come up there is none; the clamp keeps 0/0 out.
    return disagreements / ((n - 1) * disagreement(rare, n)).clamp(min=torch.finfo(rare.dtype).tiny)


def require_even(name: str, runs: int) -> None:
    """Raise unless runs come in pairs."""
    if runs % 2:
        raise InvalidArgument(
            f"rp.{name} draws antithetic pairs, so the number of runs must be even",
            received=f"samples = {runs}",
            instead=f"samples={runs + 1}, or rp.ARMS({max(runs, 3)})",
        )
