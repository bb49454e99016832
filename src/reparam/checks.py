"""Looking at values without getting in the way: eager mode only, no synchronisation on an accelerator.

Three rules, the same everywhere in the library. Shapes and dtypes are always checked. Values are checked in eager mode
unless the distribution was built with `validate_args=False`; on an accelerator the check is an asynchronous device
assertion. Under `vmap`, the compiler and fake tensors there are no values to look at, so none are checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.distributions import Distribution, Independent, constraints

from reparam.errors import InvalidArgument


def values_visible() -> bool:
    """Whether a tensor's values can be read here: not while compiling, and not inside `vmap`."""
    if torch.compiler.is_compiling():
        return False
    stack = get_interpreter_stack()
    return not stack or all(level.key() != TransformType.Vmap for level in stack)


def all_true(mask: Tensor) -> bool:
    """Whether `mask` holds everywhere, as far as can be told without synchronising; True where it cannot be told."""
    if not values_visible():
        return True
    if mask.device.type == "cpu":
        return bool(mask.all())
    torch._assert_async(mask.all())
    return True


def wants_validation(dist: Distribution) -> bool:
    """Whether the user left validation of this distribution on.

    torch's process-wide switch is not consulted: making any compiled function turns it off for everyone.
    """
    return dist.__dict__.get("_validate_args", True)


def check_parameters(dist: Distribution) -> None:
    """Raise `InvalidArgument` for a parameter outside its constraint; a no-op where torch has looked already."""
    if not wants_validation(dist):
        return
    for part in dist.__dict__.values():
        if isinstance(part, Distribution):
            check_parameters(part)
    # Where torch's own constructor has looked at the parameters, looking again would be waste.
    if not dist._validate_args and values_visible():
        _check_own_parameters(dist)


def _check_own_parameters(dist: Distribution) -> None:
    for name, constraint in dist.arg_constraints.items():
        value = _held(dist, name)
        if (
            isinstance(value, Tensor)
            and value.numel()  # torch's constraints cannot reduce over the events of an empty batch
            and not constraints.is_dependent(constraint)
            and not all_true(constraint.check(value))
        ):
            raise InvalidArgument(
                f"{type(dist).__name__}: {name} must satisfy {constraint}",
                received=f"{name} = {summary(value)}",
                instead=f"a {name} inside its constraint (validate_args=False turns this check off for one object)",
            )


def _held(dist: Distribution, name: str) -> object:
    """A parameter, from the object or, as `HalfNormal.scale`, through a property: not one that torch computes late."""
    value = dist.__dict__.get(name)
    if value is None and isinstance(inspect.getattr_static(type(dist), name, None), property):
        return getattr(dist, name)
    return value


def wrapped(dist: Distribution) -> Sequence[Distribution]:
    """The distributions a composite one is made of: its base, its components, its mixing weights."""
    if type(dist) is Independent:
        return (dist.base_dist,)
    return [value for value in dist.__dict__.values() if isinstance(value, Distribution)]


def innermost(dist: Distribution) -> Distribution:
    """What stands inside one or more `Independent`, or the distribution itself."""
    while isinstance(dist, Independent):
        dist = dist.base_dist
    return dist


def as_sample_shape(sample_shape: Sequence[int]) -> torch.Size:
    """`sample_shape` as a `torch.Size`, or an error that shows how to write it."""
    try:
        shape = torch.Size(sample_shape)
    except TypeError:
        shape = None
    if shape is None or any(n < 0 for n in shape):
        raise InvalidArgument(
            "sample_shape must be a tuple of non-negative integers",
            received=f"sample_shape = {sample_shape!r}",
            instead=f"sample_shape=({sample_shape},)" if isinstance(sample_shape, int) else "sample_shape=(64,)",
        )
    return shape


def summary(value: Tensor) -> str:
    """A short description of a tensor for an error message: its value if small, else shape, dtype and range."""
    if value.numel() <= 4:
        return f"{value.tolist()} ({value.dtype})"
    finite = value[torch.isfinite(value)]
    span = f"from {finite.min().item():.6g} to {finite.max().item():.6g}" if finite.numel() else "no finite value"
    lost = int(torch.isnan(value).sum())
    return f"{value.dtype} of shape {tuple(value.shape)}, {span}" + (f", {lost} NaN" if lost else "")
