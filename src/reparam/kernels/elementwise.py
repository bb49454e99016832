"""Elementwise functions with a native kernel: values in every mode of torch, to which `implicit.attach` adds slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.kernels import memory, twins
from reparam.kernels.native import native

# The number by which the extension knows a function.
INDEX = {name: index for index, name in enumerate(native.elementwise_names())} if native is not None else {}
# What a user meets of them; the elementary functions beneath are there for their tests.
DERIVATIVES = tuple(name for name in INDEX if "_d" in name)


def serves(name: str, inputs: Sequence[Tensor]) -> bool:
    """Whether there is a kernel for these inputs."""
    dtype, device = inputs[0].dtype, inputs[0].device
    if dtype not in memory.DTYPES or any(t.dtype != dtype or t.device != device for t in inputs):
        return False
    if device.type == "cuda":
        return twins.serves(name)
    return device.type == "cpu" and name in INDEX


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
    first = inputs[0]
    out = torch.empty_like(first, memory_format=torch.contiguous_format)
    n = out.numel()
    if n and first.is_cuda:
        twins.derivative(name, out, inputs)
    elif n:
        assert native is not None
        words, _held = memory.words(inputs)
        wide = first.dtype == torch.float64
        native.elementwise(INDEX[name], wide, n, torch.get_num_threads(), out.data_ptr(), *words)
    return out


# One operation for all kernels. It carries no derivative (asked for one, it raises): `attach` does.
@torch.library.custom_op("reparam::elementwise", mutates_args=(), device_types=("cpu", "cuda"))
def elementwise_op(name: str, inputs: Sequence[Tensor]) -> Tensor:
    """A kernel as an operation that the compiler, fake tensors and vmap know."""
    if not inputs or not serves(name, inputs) or any(t.shape != inputs[0].shape for t in inputs):
        raise InvalidArgument(
            f"no kernel serves {name} of these arguments, which must be of one shape and of float32 or float64",
            received=", ".join(f"{tuple(t.shape)} of {t.dtype} on {t.device}" for t in inputs),
            instead="the function in reparam.special, which converts and broadcasts",
        )
    return run(name, inputs)


@elementwise_op.register_fake
def _fake(name: str, inputs: Sequence[Tensor]) -> Tensor:
    return torch.empty_like(inputs[0], memory_format=torch.contiguous_format)


@elementwise_op.register_vmap
def _vmap(info: Any, in_dims: tuple, name: str, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
    batched = [t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in zip(inputs, in_dims[1], strict=True)]
    return elementwise_op(name, list(torch.broadcast_tensors(*batched))), 0
