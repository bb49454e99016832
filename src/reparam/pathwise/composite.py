"""Distributions made of others: reinterpreted batch dimensions, and transforms of a base."""

from __future__ import annotations

from typing import cast

from torch import Tensor
from torch.distributions import Independent, LogNormal, TransformedDistribution

from reparam.noise import BoundNoise
from reparam.pathwise.registry import draw, register


@register(Independent, kind="composite", parameters=(), reference="as the distribution it wraps")
def independent(dist: Independent, noise: BoundNoise) -> Tensor:
    """The base's own sample; only the meaning of its dimensions changes."""
    return draw(dist.base_dist, noise.source, noise.sample_shape)


@register(LogNormal, kind="composite", parameters=("loc", "scale"), reference="exp of a Normal")
@register(TransformedDistribution, kind="composite", parameters=(), reference="the base's sample, transformed")
def transformed(dist: TransformedDistribution, noise: BoundNoise) -> Tensor:
    """The base's sample pushed through the object's own transforms, so that their caches know its origin."""
    x = draw(dist.base_dist, noise.source, noise.sample_shape)
    for transform in dist.transforms:
        x = cast(Tensor, transform(x))
    return x
