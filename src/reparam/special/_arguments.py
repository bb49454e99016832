"""Arguments on their way into a special function: what is wrong with them is said by name, before any work."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from reparam.errors import InvalidArgument

# A shape parameter below it counts as out of range: its reciprocal, or a few of them, leaves the floats.
LEAST_SHAPE = 1e-300


def promote(**arguments: Tensor | float) -> tuple[list[Tensor], torch.dtype]:
    """The arguments in the dtype to compute in, and the dtype of the result.

    Tensors promote as in torch, numbers follow the tensors, integers become the default dtype. Half precision
    computes in float32, so that the caller rounds once, at the end.

    Example:
        >>> (x, y), dtype = promote(x=torch.ones(2, dtype=torch.bfloat16), y=0.5)
        >>> x.dtype, y.dtype, dtype
        (torch.float32, torch.float32, torch.bfloat16)
    """
    _check_kinds(arguments)
    dtype = _common_dtype(arguments)
    tensors = _as_tensors(arguments, torch.promote_types(dtype, torch.float32))
    _broadcast(arguments, tensors)
    return tensors, dtype


def as_float64(**arguments: Tensor | float) -> tuple[list[Tensor], torch.dtype]:
    """The arguments in float64 and one shape, and the dtype of the answer.

    Example:
        >>> (x, y), dtype = as_float64(x=torch.ones(2), y=0.5)
        >>> x.dtype, y.shape, dtype
        (torch.float64, torch.Size([2]), torch.float32)
    """
    _check_kinds(arguments)
    dtype = _common_dtype(arguments)
    return _broadcast(arguments, _as_tensors(arguments, torch.float64)), dtype


def poisoned(valid: Tensor, *arguments: Tensor) -> list[Tensor]:
    """NaN in every argument where one is out of range: a factor, so that the gradients are NaN as well."""
    factor = torch.where(valid, 1.0, torch.nan).to(torch.float64)
    return [argument * factor for argument in arguments]


def _check_kinds(arguments: dict[str, Tensor | float]) -> None:
    placed: dict[str, Tensor] = {}
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            if value.is_complex():
                raise InvalidArgument(
                    f"{name} must be real",
                    received=f"{name} of dtype {value.dtype}",
                    instead=f"{name}.real, if the imaginary part is meant to vanish",
                )
            # As in torch, a number in a CPU tensor goes anywhere.
            if value.dim() or value.device.type != "cpu":
                placed[name] = value
        elif isinstance(value, complex | str) or value is None:
            raise InvalidArgument(
                f"{name} must be a tensor or a real number",
                received=f"{name} of type {type(value).__name__}",
                instead=f"{name} as a float, or as a tensor of real numbers",
            )
    if len({value.device for value in placed.values()}) > 1:
        raise InvalidArgument(
            f"{', '.join(placed)} must be on one device",
            received=", ".join(f"{name} on {value.device}" for name, value in placed.items()),
            instead=f"{list(placed)[-1]}.to({next(iter(placed))}.device)",
        )


def _common_dtype(arguments: dict[str, Tensor | float]) -> torch.dtype:
    """As torch promotes: a tensor without dimensions, or a number, widens no tensor that has some."""
    # torch.result_type is not traced by the compiler.
    floating = [t for t in arguments.values() if isinstance(t, Tensor) and t.is_floating_point()]
    deciding = [t for t in floating if t.dim() > 0] or floating
    return reduce(torch.promote_types, (t.dtype for t in deciding)) if deciding else torch.get_default_dtype()


def _as_tensors(arguments: dict[str, Tensor | float], dtype: torch.dtype) -> list[Tensor]:
    placed = [t for t in arguments.values() if isinstance(t, Tensor)]
    device = next((t.device for t in placed if t.dim() or t.device.type != "cpu"), placed[0].device if placed else None)
    return [torch.as_tensor(t, device=device, dtype=dtype) for t in arguments.values()]


def _broadcast(arguments: dict[str, Tensor | float], tensors: list[Tensor]) -> list[Tensor]:
    try:
        return list(torch.broadcast_tensors(*tensors))
    except RuntimeError as error:
        raise InvalidArgument(
            f"{', '.join(arguments)} must broadcast against each other",
            received=", ".join(f"{name} of shape {tuple(t.shape)}" for name, t in zip(arguments, tensors, strict=True)),
            instead="shapes that agree from the right, where 1 fits anything",
        ) from error
