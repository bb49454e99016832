"""The components of a mixture, one coordinate at a time: each given the coordinates before it.

`Components.tails(d, x)` is the conditional law of coordinate d at x; `Components.follow(d, x)` then fixes that
coordinate, and returns its log-density. x has a last dimension that broadcasts over the components.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Pareto,
)

from reparam.checks import all_true, values_visible
from reparam.pathwise._tails import (
    Tails,
    columns,
    ends_move,
    has_tails,
    in_float64,
    log_density,
    parameters,
    rebuilt,
    tails,
)
from reparam.special.student_t import stdtr


class Components(Protocol):
    """Components whose coordinates can be taken in turn; x is given in the dtype of their parameters."""

    def parameters(self) -> list[Tensor]:
        """The tensors their laws are made of."""
        ...

    def tails(self, d: int, x: Tensor) -> Tails:
        """Tails and log-density of coordinate d, given those already followed."""
        ...

    def follow(self, d: int, x: Tensor) -> Tensor:
        """Fix coordinate d at x, and return its log-density there, given those already followed."""
        ...


_SEQUENTIAL: dict[type[Distribution], Callable[..., Components]] = {}


def register_sequential(cls: type[Distribution]) -> Callable[[Callable[..., Components]], Callable[..., Components]]:
    """Say how the coordinates of a multivariate class can be taken in turn, so that mixtures of it get gradients."""

    def add(make: Callable[..., Components]) -> Callable[..., Components]:
        _SEQUENTIAL[cls] = make
        return make

    return add


def components(dist: Distribution, dtype: torch.dtype) -> Components | None:
    """The components of `dist`, whose last batch dimension numbers them, or None where they cannot move together.

    That is where their law is not known here, and where their mixture's quantile jumps: across a gap between the
    supports, and, given other coordinates, where one of those passes the end of a support.
    """
    if type(dist) in _SEQUENTIAL:
        return _SEQUENTIAL[type(dist)](dist, dtype)
    base, event_dims = dist, 0
    while type(base) is Independent:
        base, event_dims = base.base_dist, event_dims + base.reinterpreted_batch_ndims
    if not has_tails(type(base)) or (ends_move(base) and not _overlap(base, dist)):
        return None
    return Product(base, event_dims, torch.float64 if in_float64(base) else dtype)


def _overlap(base: Distribution, dist: Distribution) -> bool:
    """Whether there is one coordinate, and the supports of the components leave no gap in it."""
    if dist.event_shape.numel() != 1:
        return False
    if isinstance(base, Pareto):
        return True
    ends = parameters(base)
    low, order = ends["low"].reshape(dist.batch_shape).sort(-1)
    reach = ends["high"].reshape(dist.batch_shape).gather(-1, order).cummax(-1).values
    return values_visible() and all_true(low[..., 1:] <= reach[..., :-1])


class Product:
    """Independent coordinates: their laws do not depend on the coordinates before them."""

    def __init__(self, base: Distribution, event_dims: int, dtype: torch.dtype) -> None:
        self.base = rebuilt(
            base, lambda p: p.to(dtype).flatten(p.dim() - event_dims) if event_dims else p.to(dtype).unsqueeze(-1)
        )
        # Taken apart once: each look at a column through an index of its own costs a backward of the whole's size.
        self.coordinates = columns(self.base)

    def parameters(self) -> list[Tensor]:
        return list(parameters(self.base).values())

    def tails(self, d: int, x: Tensor) -> Tails:
        return tails(self.coordinates[d], x)

    def follow(self, d: int, x: Tensor) -> Tensor:
        return log_density(self.coordinates[d], x)


class Elliptical:
    """A linear image of a spherical law, by its triangular factor: the Normal, and Student's t for a finite df."""

    def __init__(self, loc: Tensor, scale_tril: Tensor, df: Tensor | None = None) -> None:
        self.loc, self.scale_tril, self.df = torch.broadcast_tensors(loc, scale_tril[..., 0])[0], scale_tril, df
        self.whitened: list[Tensor] = []

    def parameters(self) -> list[Tensor]:
        return [self.loc, self.scale_tril] + ([] if self.df is None else [self.df])

    def tails(self, d: int, x: Tensor) -> Tails:
        t, log_density = self._standardized(d, self._whiten(d, x))
        if self.df is None:
            return Tails(torch.special.ndtr(t), torch.special.ndtr(-t), log_density)
        return Tails(stdtr(self.df + d, t), stdtr(self.df + d, -t), log_density)

    def follow(self, d: int, x: Tensor) -> Tensor:
        z = self._whiten(d, x)
        _, log_density = self._standardized(d, z)
        self.whitened.append(z)
        return log_density

    def _standardized(self, d: int, z: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinate d on the scale of its own law, given those before it, and its log-density."""
        log_scale = self.scale_tril[..., d, d].log()
        if self.df is None:
            return z, -(z * z) / 2 - 0.5 * math.log(2 * math.pi) - log_scale
        # Given d coordinates of squared length q, a t with d more degrees of freedom, widened by what q shows.
        df, length = self.df + d, sum((w * w for w in self.whitened), torch.zeros_like(z))
        widening = torch.sqrt((self.df + length) / df)
        t = z / widening
        normalizer = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * torch.log(df * math.pi)
        log_density = normalizer - (df + 1) / 2 * torch.log1p(t * t / df)
        return t, log_density - widening.log() - log_scale

    def _whiten(self, d: int, x: Tensor) -> Tensor:
        centred = x - self.loc[..., d]
        for j, z in enumerate(self.whitened):
            centred = centred - self.scale_tril[..., d, j] * z
        return centred / self.scale_tril[..., d, d]


@register_sequential(MultivariateNormal)
def sequential_normal(dist: MultivariateNormal, dtype: torch.dtype) -> Elliptical:
    """Conditionals of a multivariate Normal."""
    return Elliptical(dist.loc.to(dtype), dist._unbroadcasted_scale_tril.to(dtype))


@register_sequential(LowRankMultivariateNormal)
def sequential_low_rank_normal(dist: LowRankMultivariateNormal, dtype: torch.dtype) -> Elliptical:
    """Conditionals of a multivariate Normal, whose triangular factor is formed for the purpose."""
    return Elliptical(dist.loc.to(dtype), dist.scale_tril.to(dtype))
