"""Arguments on their way into the Beta and Student-t functions."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from reparam.errors import InvalidArgument


def as_float64(**arguments: Tensor | float) -> tuple[list[Tensor], torch.dtype]:
    """The arguments in float64 and one shape, and the dtype of the answer."""
    dtype = _common_dtype(arguments)
    device = next((t.device for t in arguments.values() if isinstance(t, Tensor) and t.dim() > 0), None)
    tensors = [torch.as_tensor(t, device=device, dtype=torch.float64) for t in arguments.values()]
    try:
        return list(torch.broadcast_tensors(*tensors)), dtype
    except RuntimeError as error:
        raise InvalidArgument(
            f"{', '.join(arguments)} must broadcast against each other",
            received=", ".join(f"{name} of shape {tuple(t.shape)}" for name, t in zip(arguments, tensors, strict=True)),
            instead="shapes that agree from the right, where 1 fits anything",
        ) from error


def poisoned(valid: Tensor, *arguments: Tensor) -> list[Tensor]:
    """NaN in every argument where one is out of range: a factor, so that the gradients are NaN as well."""
    factor = torch.where(valid, 1.0, torch.nan).to(torch.float64)
    return [argument * factor for argument in arguments]


def _common_dtype(arguments: dict[str, Tensor | float]) -> torch.dtype:
    """As torch promotes: a tensor without dimensions, or a number, widens no tensor that has some."""
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise InvalidArgument(
                f"{name} must be real",
                received=f"{name} of dtype {tensor.dtype}",
                instead=f"{name}.real, if the imaginary part is meant to vanish",
            )
    floating = [t for t in tensors.values() if t.is_floating_point()]
    deciding = [t for t in floating if t.dim() > 0] or floating
    return reduce(torch.promote_types, (t.dtype for t in deciding)) if deciding else torch.get_default_dtype()
