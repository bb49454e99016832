"""Many copies of a distribution, each with parameters of its own, so that one backward pass gives many gradients."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument

# Of these, a distribution is given one and computes the others when asked.
_ALTERNATIVES = (("probs", "logits"), ("covariance_matrix", "precision_matrix", "scale_tril"))
_ATTRIBUTES = {"base_distribution": "base_dist"}


class Copies(NamedTuple):
    """A distribution of batch shape `(repeats, *batch_shape)`.

    Attributes:
        dist: the copies.
        leaves: by name, the parameters that gradients are measured for, of shape `(repeats, *batch_shape, ...)`.
    """

    dist: Distribution
    leaves: dict[str, Tensor]


def copies(dist: Distribution, repeats: int, dtype: torch.dtype | None = None) -> Copies:
    """Independent copies of `dist`, whose parameters are leaves of autograd.

    The leaves are the parameters that require grad; where none does, all continuous ones.

    Args:
        dist: what to copy; its class must take its parameters under the names of its attributes.
        repeats: how many copies.
        dtype: that of the copies' parameters; unchanged unless given.
    """
    chosen = any(value.requires_grad for _, value in _parameters(dist))
    leaves: dict[str, Tensor] = {}
    copy = _copy(dist, repeats, dtype, chosen, leaves, "")
    if copy.batch_shape != (repeats, *dist.batch_shape) or not leaves:
        raise _cannot(dist, f"batch_shape {tuple(copy.batch_shape)}, parameters {sorted(leaves)}")
    return Copies(copy, leaves)


def _copy(
    dist: Distribution, repeats: int, dtype: torch.dtype | None, chosen: bool, leaves: dict[str, Tensor], prefix: str
) -> Distribution:
    arguments: dict[str, Any] = {}
    for name, value in _arguments(dist):
        if isinstance(value, Distribution):
            inner = prefix if name == "base_distribution" else f"{prefix}{name}."
            value = _copy(value, repeats, dtype, chosen, leaves, inner)
        elif isinstance(value, Tensor) and name in dist.arg_constraints:
            value = _repeated(dist, name, value, repeats, dtype)
            if _continuous(dist, name) and (not chosen or getattr(dist, name).requires_grad):
                leaves[prefix + name] = value.requires_grad_()
        arguments[name] = value
    return type(dist)(**arguments)


def _repeated(dist: Distribution, name: str, value: Tensor, repeats: int, dtype: torch.dtype | None) -> Tensor:
    event = value.shape[value.dim() - dist.arg_constraints[name].event_dim :]
    value = value.detach() if dtype is None or not value.is_floating_point() else value.detach().to(dtype)
    return value.expand(repeats, *dist.batch_shape, *event).clone()


def _continuous(dist: Distribution, name: str) -> bool:
    value = getattr(dist, name)
    return value.is_floating_point() and not dist.arg_constraints[name].is_discrete


def _parameters(dist: Distribution) -> Iterator[tuple[str, Tensor]]:
    for name, value in _arguments(dist):
        if isinstance(value, Distribution):
            yield from _parameters(value)
        elif isinstance(value, Tensor) and name in dist.arg_constraints and _continuous(dist, name):
            yield name, value


def _arguments(dist: Distribution) -> Iterator[tuple[str, Any]]:
    """What the constructor of `dist` was given, read off its attributes."""
    for name, kind in _constructor(type(dist)):
        if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise _cannot(dist, f"a constructor that takes *{name}")
        if name == "validate_args":
            yield name, dist.__dict__.get("_validate_args")
        elif name == _given(dist, name):
            attribute = _ATTRIBUTES.get(name, name)
            if not hasattr(dist, attribute):
                raise _cannot(dist, f"a constructor that takes {name!r}, and no attribute of that name")
            yield name, getattr(dist, attribute)


@functools.cache
def _constructor(cls: type[Distribution]) -> list[tuple[str, Any]]:
    return [(name, parameter.kind) for name, parameter in inspect.signature(cls).parameters.items()]


def _given(dist: Distribution, name: str) -> str | None:
    """Which of the alternatives to a parameter `dist` holds: what was given was stored first."""
    group = next((group for group in _ALTERNATIVES if name in group), (name,))
    if len(group) == 1:
        return name
    holder = dist
    while True:
        held = next((key for key in holder.__dict__ if key in group), None)
        if held is not None:
            return held
        holder = holder.__dict__.get("_categorical", holder.__dict__.get("base_dist"))
        if holder is None:
            return None


def _cannot(dist: Distribution, received: str) -> InvalidArgument:
    return InvalidArgument(
        f"the parameters of {type(dist).__name__} cannot be read off it, so its gradients cannot be measured",
        received=received,
        instead="a class of torch.distributions or reparam.distributions, or one whose constructor arguments are its "
        "attributes",
    )
