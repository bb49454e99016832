"""Tensors as a kernel sees them: an address, and the period with which the values repeat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active, _len_torch_dispatch_stack
from torch._C._functorch import is_legacy_batchedtensor
from torch.compiler import is_compiling

from reparam.checks import values_visible
from reparam.kernels.native import native

# What the native kernels read and write; every other dtype and device is the reference's.
DTYPES = (torch.float32, torch.float64)
_PLAIN = (Tensor, torch.nn.Parameter)


def reachable(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether there are native kernels that read and write this dtype on this device."""
    return native is not None and device.type == "cpu" and dtype in DTYPES


def visible(tensors: Sequence[Tensor]) -> bool:
    """Whether these are plain tensors whose memory can be handed to a kernel here and now.

    Not while the compiler traces, nor under a `torch.func` transform, nor where a dispatch mode (fake tensors, a
    tracer, an audit) wants to see an operation, nor for a batch of gradients (`is_grads_batched`): those go through a
    registered one.
    """
    if is_compiling():
        return False
    for tensor in tensors:
        if type(tensor) not in _PLAIN or is_legacy_batchedtensor(tensor):
            return False
    return not (_are_functorch_transforms_active() or _len_torch_dispatch_stack())


def periodic(tensor: Tensor) -> tuple[Tensor, int]:
    """The tensor, or a contiguous copy, and how many of its values make up all of them by repetition.

    A batch of parameters expanded over the samples in front repeats with the size of the batch: no copy.
    """
    if tensor.is_contiguous():
        return tensor, tensor.numel()
    period = 1
    repeats = False
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if size == 1:
            continue
        if stride == 0:
            repeats = True
        elif repeats or stride != period:
            tensor = tensor.contiguous()
            return tensor, tensor.numel()
        else:
            period *= size
    return tensor, period


def words(tensors: Sequence[Tensor]) -> tuple[list[int], Sequence[Tensor]]:
    """The address and the period of each, as a kernel takes them, and the tensors whose memory that refers to."""
    numbers = []
    for tensor in tensors:
        if not tensor.is_contiguous():
            held = [periodic(tensor) for tensor in tensors]
            return [word for tensor, period in held for word in (tensor.data_ptr(), period)], [t for t, _ in held]
        numbers.append(tensor.data_ptr())
        numbers.append(tensor.numel())
    return numbers, tensors


def within(tensor: Tensor, low: float, high: float) -> bool:
    """Whether all values can be seen to lie in [low, high]: what lets a rule take its shorter way.

    False where nothing can be seen, or only by waiting for an accelerator; the longer way is then right too.
    """
    if native is not None and _native_reads(tensor):
        held, period = periodic(tensor)
        return native.within(tensor.dtype == torch.float64, period, held.data_ptr(), low, high)
    if not _readable(tensor):
        return False
    smallest, largest = torch.aminmax(tensor.detach())
    return low <= smallest.item() and largest.item() <= high


def shares(pairs: Tensor, low: float, high: float) -> Tensor:
    """The share x / (x + y) of the first in each pair of the last dimension, held in [low, high], without a derivative.

    One pass of a kernel in the place of four operations of torch.
    """
    if native is not None and _native_reads(pairs) and pairs.is_contiguous():
        out = pairs.new_empty(pairs.shape[:-1])
        native.shares(pairs.dtype == torch.float64, out.numel(), pairs.data_ptr(), low, high, out.data_ptr())
        return out
    x, y = pairs.unbind(-1)
    return torch.div(x, x + y).clamp_(low, high)


def _readable(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.numel() > 0 and values_visible()


def _native_reads(tensor: Tensor) -> bool:
    """Whether this is `visible`, of a kernel's dtype, on a CPU and not empty: in one look, which small draws feel."""
    return (
        not is_compiling()
        and type(tensor) in _PLAIN
        and tensor.dtype in DTYPES
        and tensor.is_cpu
        and tensor.numel() > 0
        and not _are_functorch_transforms_active()
        and not _len_torch_dispatch_stack()
        and not is_legacy_batchedtensor(tensor)
    )
