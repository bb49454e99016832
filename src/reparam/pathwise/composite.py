"""Distributions made of others: reinterpreted batch dimensions, and transforms of a base."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.distributions import AffineTransform, Independent, LogNormal, TransformedDistribution

from reparam.checks import all_true, summary, wants_validation
from reparam.errors import InvalidArgument
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
        if isinstance(transform, AffineTransform) and wants_validation(dist):
            _check_numbers(dist, transform)
        x = cast(Tensor, transform(x))
    return x


def _check_numbers(dist: TransformedDistribution, transform: AffineTransform) -> None:
    """A shift and a stretch are parameters that no constraint of torch's looks at."""
    for name in ("loc", "scale"):
        value = getattr(transform, name)
        if isinstance(value, Tensor) and not all_true(torch.isfinite(value)):
            raise InvalidArgument(
                f"{type(dist).__name__}: the {name} of its AffineTransform must be finite",
                received=f"{name} = {summary(value)}",
                instead="finite numbers (validate_args=False turns this check off for one object)",
            )
