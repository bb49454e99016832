"""A native kernel in the place of a reference, wherever no derivative of the result can be asked for."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from reparam.kernels import elementwise
from reparam.kernels.implicit import watched


def native_value(name: str, *inputs: Tensor | float) -> Tensor | None:
    """The kernel's value, or None where the reference must answer.

    That is the case for other devices and dtypes, mixed ones and plain numbers; for shapes that do not broadcast; where
    there is no kernel; and where the result may be differentiated, which the reference can be to any order. A pathwise
    derivative is mostly wanted as a number, in a backward pass, and then the kernel gives it.
    """
    for value in inputs:
        if not isinstance(value, Tensor):
            return None
    tensors = cast("tuple[Tensor, ...]", inputs)
    if watched(tensors) or not elementwise.serves(name, tensors):
        return None
    if any(t.shape != tensors[0].shape for t in tensors):
        try:
            tensors = torch.broadcast_tensors(*tensors)
        except RuntimeError:
            return None  # the reference names what does not fit
    return elementwise.evaluate(name, tensors)
