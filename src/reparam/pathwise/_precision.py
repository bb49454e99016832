"""Half precision: a rule runs in float32, and its sample is rounded once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.noise import BoundNoise, TensorNoise

_HALVES = (torch.bfloat16, torch.float16)
_Rule = TypeVar("_Rule", bound=Callable[..., Tensor])


def rounded_once(rule: _Rule) -> _Rule:
    """A rule that, for bfloat16 and float16 parameters, sees float32 parameters and noise; other dtypes pass through.

    The result saturates at the largest finite number of the narrow dtype, as the rules themselves do at float32's.
    """

    @functools.wraps(rule)
    def rounded(dist: Distribution, noise: BoundNoise) -> Tensor:
        dtype = noise.like.dtype
        if dtype not in _HALVES:
            return rule(dist, noise)
        source = noise.source
        if isinstance(source, TensorNoise) and source.values.dtype == dtype:
            source = TensorNoise(source.values.float())
        wide = BoundNoise(source, noise.shape, noise.sample_shape, noise.like.float())
        limit = torch.finfo(dtype).max
        return rule(_Widened(dist), wide).clamp(-limit, limit).to(dtype)

    return rounded  # type: ignore[return-value]  # functools.wraps keeps the signature, which pyright cannot see


class _Widened:
    """A distribution seen through float32 spectacles: half-precision attributes are widened as they are read."""

    def __init__(self, dist: Distribution) -> None:
        self._dist = dist

    def __getattr__(self, name: str) -> object:
        value = getattr(self._dist, name)
        return value.float() if isinstance(value, Tensor) and value.dtype in _HALVES else value
