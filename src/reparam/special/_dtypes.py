"""Which dtype a special function computes in, and which one it answers in."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from reparam.errors import InvalidArgument

# A shape below it counts as out of range: its reciprocal, or a few of them, leaves the floats.
LEAST_SHAPE = 1e-300


def promote(*values: Tensor | float) -> tuple[list[Tensor], torch.dtype]:
    """The arguments in the dtype to compute in, and the dtype of the result.

    Tensors promote as in torch, numbers follow the tensors, integers become the default dtype. Half precision
    computes in float32, so that the caller rounds once, at the end.

    Example:
        >>> (x, y), dtype = promote(torch.ones(2, dtype=torch.bfloat16), 0.5)
        >>> x.dtype, y.dtype, dtype
        (torch.float32, torch.float32, torch.bfloat16)
    """
    tensors = [value for value in values if isinstance(value, Tensor)]
    for value in values:
        if isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex()):
            raise InvalidArgument(
                "this function is defined here for real arguments only",
                received=f"an argument of {f'dtype {value.dtype}' if isinstance(value, Tensor) else 'type complex'}",
                instead="pass real tensors, for instance z.real",
            )
    dtypes = [tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype() for tensor in tensors]
    dtype = functools.reduce(torch.promote_types, dtypes) if dtypes else torch.get_default_dtype()
    compute = torch.promote_types(dtype, torch.float32)
    device = tensors[0].device if tensors else None
    return [torch.as_tensor(value, dtype=compute, device=_own_device(value, device)) for value in values], dtype


def _own_device(value: Tensor | float, device: torch.device | None) -> torch.device | None:
    # Mixed devices are the caller's error, and torch reports it; only numbers are ours to place.
    return value.device if isinstance(value, Tensor) else device
