"""An elementwise function with a native kernel: one value, one derivative, for every mode of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.kernels import memory
from reparam.kernels.implicit import Slopes, attach
from reparam.kernels.native import native

# Every function that asked for a kernel, and so what `reparam info` speaks of.
FUNCTIONS: list[Elementwise] = []
_INDEX = {name: index for index, name in enumerate(native.elementwise_names())} if native is not None else {}


class Elementwise:
    r"""A function of k real tensors, computed by a native kernel where one serves and by the reference elsewhere.

    Args:
        name: the kernel's in `csrc/kernels.cpp`, where it takes k inputs.
        reference: the same function in differentiable torch operations, for every other device, dtype and machine.
        slopes: `slopes(y, inputs, needed)`: the partial derivatives of the value y = f(inputs), None where not needed;
            differentiable themselves, as far as higher derivatives are promised. A function at module level.

    The inputs broadcast against each other. The kernel serves float32 and float64 on a CPU, all of one dtype.

    Gradient:
        The slopes, in reverse and forward mode, under `torch.func` and the compiler. Nothing but the inputs and the
        value is saved, and slopes are computed for the inputs that need one.
    """

    def __init__(self, name: str, reference: Callable[..., Tensor], slopes: Slopes) -> None:
        self.name = name
        self.reference = reference
        self.slopes = slopes
        FUNCTIONS.append(self)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's value, of the broadcast shape, with its derivative."""
        if not serves(self.name, inputs):
            return self.reference(*inputs)
        return attach(self.slopes, evaluate(self.name, inputs), *inputs)


def serves(name: str, inputs: Sequence[Tensor]) -> bool:
    """Whether there is a kernel for these inputs."""
    if name not in _INDEX:
        return False
    dtype = inputs[0].dtype
    return dtype in memory.DTYPES and all(t.dtype == dtype and t.device.type == "cpu" for t in inputs)


def evaluate(name: str, inputs: Sequence[Tensor]) -> Tensor:
    """The kernel's value, of the broadcast shape, without a derivative."""
    shape = inputs[0].shape
    if any(t.shape != shape for t in inputs):
        inputs = torch.broadcast_tensors(*inputs)
    if memory.visible(inputs):
        return run(name, inputs)
    return elementwise_op(name, [t.detach() for t in inputs])


def run(name: str, inputs: Sequence[Tensor]) -> Tensor:
    """The kernel on plain tensors of one shape, without a derivative."""
    assert native is not None
    first = inputs[0]
    out = torch.empty_like(first, memory_format=torch.contiguous_format)
    n = out.numel()
    if n:
        held = [memory.periodic(t) for t in inputs]
        addresses = [word for t, period in held for word in (t.data_ptr(), period)]
        wide = first.dtype == torch.float64
        native.elementwise(_INDEX[name], wide, n, torch.get_num_threads(), out.data_ptr(), *addresses)
    return out


# One operation for all kernels. It carries no derivative (asked for one, it raises): `attach` does.
@torch.library.custom_op("reparam::elementwise", mutates_args=(), device_types="cpu")
def elementwise_op(name: str, inputs: Sequence[Tensor]) -> Tensor:
    """A kernel as an operation that the compiler, fake tensors and vmap know."""
    return run(name, inputs)


@elementwise_op.register_fake
def _fake(name: str, inputs: Sequence[Tensor]) -> Tensor:
    return torch.empty_like(inputs[0], memory_format=torch.contiguous_format)


@elementwise_op.register_vmap
def _vmap(info: Any, in_dims: tuple, name: str, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
    batched = [t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in zip(inputs, in_dims[1], strict=True)]
    return elementwise_op(name, list(torch.broadcast_tensors(*batched))), 0
