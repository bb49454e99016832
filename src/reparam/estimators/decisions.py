r"""Discrete laws as independent binary decisions, so that what couples coin tosses serves categories too.

A categorical variable is a path through a balanced binary tree: at each inner node a coin, independent of the others,
says left or right. The expectation is linear in the probability of every coin, and so

.. math:: E_\theta[f] = E\Big[f(b) \prod_i \big(1 + r_i (t_i(\theta) - \operatorname{stop} t_i)\big)\Big]
          \quad\text{whenever}\quad E[r_i] = 0,\ E[r_i 1_{b_i}] = 1

holds for every parameter, not only at first order: such weights have all derivatives right. Each coin is described by
its rarer side, of probability t at most 1/2, whose coefficient r stays accurate where the other side is nearly certain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.checks import innermost
from reparam.errors import InvalidArgument
from reparam.estimators.score import refuse_boundary
from reparam.estimators.support import is_logits
from reparam.pathwise.sampling import unit_vector


@dataclasses.dataclass(frozen=True)
class Decisions:
    """A law as D independent coins.

    Attributes:
        rare: the probability of each coin's rarer side, of shape `(*batch_shape, D)`, differentiable.
        flipped: whether the rarer side is 0 ("no", "left"), of the same shape.
        decode: from bits of shape `(n, *batch_shape, D)` to points.
        reached: from bits to which coins the point depends on, or None where it is all of them.
    """

    rare: Tensor
    flipped: Tensor
    decode: Callable[[Tensor], Tensor]
    reached: Callable[[Tensor], Tensor] | None


def decisions(dist: Distribution, estimator: str) -> Decisions:
    """`dist` as coins, or an error that names what would serve it."""
    base = innermost(dist)
    build = _COINS.get(type(base))
    if build is None:
        raise InvalidArgument(
            f"rp.{estimator} couples coin tosses: Bernoulli, Categorical, OneHotCategorical, and Independent of them",
            received=f"{dist}",
            instead="rp.LeaveOneOut(4), or rp.MeasureValued() for counts",
        )
    refuse_boundary(dist)
    return build(base, dist)


def _decisions(
    yes: Tensor,
    no: Tensor,
    dist: Distribution,
    site: Callable[[Tensor], Tensor],
    reached: Callable[[Tensor], Tensor] | None,
) -> Decisions:
    """Coins of shape `(*batch_shape, *sites, N)`, flattened to `(*batch_shape, D)` and unflattened for each decoder."""
    batch = len(dist.batch_shape)
    shape = yes.shape
    flipped = yes.detach() > no.detach()
    rare = torch.where(flipped, no, yes).flatten(batch)

    def decode(bits: Tensor) -> Tensor:
        return site(bits.reshape(bits.shape[0], *shape)).reshape(bits.shape[0], *dist.batch_shape, *dist.event_shape)

    def flat(bits: Tensor) -> Tensor:
        assert reached is not None
        return reached(bits.reshape(bits.shape[0], *shape)).reshape(bits.shape)

    return Decisions(rare, flipped.reshape(rare.shape), decode, None if reached is None else flat)


def _bernoulli(base: td.Bernoulli, dist: Distribution) -> Decisions:
    yes, no = (
        (torch.sigmoid(base.logits), torch.sigmoid(-base.logits)) if is_logits(base) else (base.probs, 1 - base.probs)
    )
    dtype = yes.dtype
    return _decisions(yes.unsqueeze(-1), no.unsqueeze(-1), dist, lambda bits: bits.squeeze(-1).to(dtype), None)


def _categorical(base: td.Categorical, dist: Distribution) -> Decisions:
    yes, no = _tree(base)
    return _decisions(yes, no, dist, lambda bits: _walk(bits)[0], lambda bits: _walk(bits)[1])


def _one_hot(base: td.OneHotCategorical, dist: Distribution) -> Decisions:
    yes, no = _tree(base._categorical)
    size, dtype = base.event_shape[0], base.probs.dtype
    return _decisions(
        yes,
        no,
        dist,
        lambda bits: unit_vector(_walk(bits)[0], size).to(dtype),
        lambda bits: _walk(bits)[1],
    )


_COINS: dict[type[Distribution], Callable[..., Decisions]] = {
    td.Bernoulli: _bernoulli,
    td.Categorical: _categorical,
    td.OneHotCategorical: _one_hot,
    td.OneHotCategoricalStraightThrough: _one_hot,
}


def _tree(dist: td.Categorical) -> tuple[Tensor, Tensor]:
    """The chances of right and left at each inner node of a balanced tree over the categories, in order of level."""
    mass = torch.softmax(dist.logits, -1) if is_logits(dist) else dist.probs
    levels = max((mass.shape[-1] - 1).bit_length(), 1)
    mass = torch.nn.functional.pad(mass, (0, 2**levels - mass.shape[-1]))
    right: list[Tensor] = []
    left: list[Tensor] = []
    for _ in range(levels):
        halves = mass.unflatten(-1, (-1, 2))
        mass = halves.sum(-1)
        # No path reaches a node without mass; its coin always says left.
        dead = mass.detach() == 0
        safe = torch.where(dead, 1.0, mass)
        right.insert(0, halves[..., 1] / safe)
        left.insert(0, torch.where(dead, 1.0, halves[..., 0] / safe))
    return torch.cat(right, -1), torch.cat(left, -1)


def _walk(bits: Tensor) -> tuple[Tensor, Tensor]:
    """The leaf that the coins lead to, and which nodes the way passes."""
    levels = int(math.log2(bits.shape[-1] + 1))
    leaf = torch.zeros_like(bits[..., 0], dtype=torch.int64)
    passed: list[Tensor] = []
    for level in range(levels):
        first = 2**level - 1
        coins = bits[..., first : first + 2**level]
        passed.append(leaf.unsqueeze(-1) == torch.arange(2**level, device=bits.device))
        leaf = 2 * leaf + coins.gather(-1, leaf.unsqueeze(-1)).squeeze(-1).to(torch.int64)
    return leaf, torch.cat(passed, -1)
