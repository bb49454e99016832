"""A native kernel in the place of a reference, wherever no derivative of the result can be asked for."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from reparam.kernels import elementwise
from reparam.kernels.implicit import watched


def native_value(name: str, *inputs: Tensor | float) -> Tensor | None:
    """The kernel's value, or None where the reference must answer.

    That is the case for other devices and dtypes, mixed ones and plain numbers; where there is no kernel; and where the
    result may be differentiated, which the reference can be to any order. A pathwise derivative is mostly wanted as a
    number, in a backward pass, and then the kernel gives it.
    """
    for value in inputs:
        if not isinstance(value, Tensor):
            return None
    tensors = cast("tuple[Tensor, ...]", inputs)
    if watched(tensors) or not elementwise.serves(name, tensors):
        return None
    return elementwise.evaluate(name, tensors)
