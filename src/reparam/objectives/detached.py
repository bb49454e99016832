"""A distribution whose parameters are constants: what "stop gradient at the parameters of q" means in code."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from reparam.errors import UnsupportedTransform

_T = TypeVar("_T", Distribution, Transform)


def detached(value: _T) -> _T:
    """A shallow copy of a distribution or transform in which every tensor, however deep, is detached.

    Errors:
        `UnsupportedTransform` for a transform that holds an `nn.Module`, whose parameters cannot be stopped.
    """
    new = copy.copy(value)
    new.__dict__.update({name: _detach(held) for name, held in value.__dict__.items()})
    return new


def _detach(held: Any) -> Any:
    if isinstance(held, Tensor):
        return held.detach()
    if isinstance(held, nn.Module):
        raise UnsupportedTransform(
            "the parameters of a module inside a distribution cannot be stopped",
            received=f"{type(held).__name__} inside a transform",
            instead="stick_the_landing=False and doubly_reparameterized=False for this posterior",
        )
    if isinstance(held, Distribution):
        return detached(held)
    if isinstance(held, Transform):
        return detached(held)
    if isinstance(held, list):
        return [_detach(item) for item in held]
    return held
