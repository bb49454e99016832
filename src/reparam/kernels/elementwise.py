"""Elementwise functions with a native kernel: values in every mode of torch, to which `implicit.attach` adds slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.kernels import memory, twins
from reparam.kernels.native import native

_INDEX = {name: index for index, name in enumerate(native.elementwise_names())} if native is not None else {}
# What a user meets of them; the elementary functions beneath are there for their tests.
DERIVATIVES = tuple(name for name in _INDEX if "_d" in name)


def serves(name: str, inputs: Sequence[Tensor]) -> bool:
    """Whether there is a kernel for these inputs."""
    dtype, device = inputs[0].dtype, inputs[0].device
    if dtype not in memory.DTYPES or any(t.dtype != dtype or t.device != device for t in inputs):
        return False
    if device.type == "cuda":
        return twins.serves(name)
    return device.type == "cpu" and name in _INDEX


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
        held = [memory.periodic(t) for t in inputs]
        addresses = [word for t, period in held for word in (t.data_ptr(), period)]
        wide = first.dtype == torch.float64
        native.elementwise(_INDEX[name], wide, n, torch.get_num_threads(), out.data_ptr(), *addresses)
    return out


def gamma_flows(
    grad: Tensor, y: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None] | None:
    """What flows back from y ~ Gamma(a, rate) to a and the rate, in one pass, as a number; None where torch must do it.

    For 64 elements a call of torch costs more than all the arithmetic, and this is one in the place of seven.
    """
    a, rate = parameters
    inputs = (grad, a, y, rate)
    shape, dtype = y.shape, y.dtype
    if native is None or not needed[0] or dtype not in memory.DTYPES or not y.is_contiguous():
        return None
    for tensor in inputs:
        if tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
            return None
    if not memory.visible(inputs) or not (n := y.numel()):
        return None
    to_a = torch.empty_like(y)
    to_rate = torch.empty_like(y) if needed[1] else None
    held = [memory.periodic(t) for t in inputs]
    words = [word for t, period in held for word in (t.data_ptr(), period)]
    out = to_a.data_ptr(), 0 if to_rate is None else to_rate.data_ptr()
    native.gamma_flows(_INDEX["gamma_flow"], dtype == torch.float64, n, torch.get_num_threads(), *out, *words)
    return [to_a, to_rate]


# One operation for all kernels. It carries no derivative (asked for one, it raises): `attach` does.
@torch.library.custom_op("reparam::elementwise", mutates_args=(), device_types=("cpu", "cuda"))
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
