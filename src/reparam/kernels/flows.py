"""What flows back through a whole sample of a Gamma, Beta or Dirichlet law, as numbers, by one pass of a kernel.

For 64 elements a call of torch costs more than all the arithmetic, and each of these stands for seven to twelve. Where
one returns None, torch's operations do the same work: for other dtypes and devices, broadcast parameters, a tracer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.kernels import memory
from reparam.kernels.elementwise import INDEX
from reparam.kernels.native import native


def gamma_flows(
    grad: Tensor, y: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None] | None:
    """From y ~ Gamma(a, rate) to a and the rate."""
    a, rate = parameters
    if native is None or not needed[0] or not _served(y, grad, a, rate):
        return None
    to_a = torch.empty_like(y)
    to_rate = torch.empty_like(y) if needed[1] else None
    words, _held = memory.words((grad, a, y, rate))
    out = to_a.data_ptr(), 0 if to_rate is None else to_rate.data_ptr()
    wide, threads = y.dtype == torch.float64, torch.get_num_threads()
    native.gamma_flows(INDEX["gamma_flow"], wide, y.numel(), threads, *out, *words)
    return [to_a, to_rate]


def beta_flows(grad: Tensor, x: Tensor, pair: Tensor) -> Tensor | None:
    """From x ~ Beta(a, b) to both, side by side in the last dimension of one tensor."""
    if native is None or not pair.is_contiguous() or pair.shape[:-1] != x.shape or not _served(x, grad):
        return None
    out = torch.empty_like(pair)
    words, _held = memory.words((grad,))
    wide, threads, which = x.dtype == torch.float64, torch.get_num_threads(), (INDEX["beta_dx_da"], INDEX["beta_dx_db"])
    native.beta_flows(*which, wide, x.numel(), threads, out.data_ptr(), *words, pair.data_ptr(), x.data_ptr())
    return out


def dirichlet_flows(grad: Tensor, y: Tensor, total: Tensor, a: Tensor) -> Tensor | None:
    """From the shares y of independent Gammas, and their total, to the concentrations a."""
    if native is None or not _served(y, grad, a) or not total.is_contiguous():
        return None
    width = y.shape[-1]
    if width > native.BLOCK:
        return None
    out = torch.empty_like(y)
    words, _held = memory.words((grad, a))
    wide, threads, which = y.dtype == torch.float64, torch.get_num_threads(), INDEX["gamma_dx_da"]
    where = (out.data_ptr(), *words, y.data_ptr(), total.data_ptr())
    native.dirichlet_flows(which, wide, total.numel(), width, threads, *where)
    return out


def _served(x: Tensor, grad: Tensor, *parameters: Tensor) -> bool:
    """Whether a kernel can walk over these side by side: in one look, which small samples feel.

    Autograd sees to it that the gradient has the shape and the dtype of x, and the rule that the parameters have its
    dtype and device; they broadcast to its shape, so those of as many numbers have them in the same order.
    """
    n = x.numel()
    for parameter in parameters:
        if parameter.numel() != n:
            return False
    kernel = n > 0 and x.dtype in memory.DTYPES and x.is_cpu and x.is_contiguous()
    return kernel and memory.visible((grad, x, *parameters))
