"""Exponentials that stay inside the floats, for the families whose logarithm is what can be computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.kernels.memory import within

_LOG_2 = math.log(2)
# `exp` of the rounded logarithm of the largest float may round up to infinity; a few roundings below, it cannot.
_LOG_LIMITS = {
    dtype: (
        math.log(torch.finfo(dtype).tiny),
        math.log(torch.finfo(dtype).max) * (1 - 4 * torch.finfo(dtype).eps),
    )
    for dtype in (torch.float32, torch.float64)
}


def exp_in_range(log_x: Tensor) -> Tensor:
    r"""`exp(log_x)`, held between the smallest normal and the largest finite float.

    Above the range the sample saturates and its derivative is 0, as for any clamp. Below it the value saturates and
    the derivative is still `x dlog_x`: negligible for a cost of x, and right for a cost of log x.
    """
    low, high = _LOG_LIMITS[log_x.dtype]
    if within(log_x, low, high):
        return torch.exp(log_x)
    lift = (low - log_x.detach()).clamp(min=0)
    return torch.exp(log_x.clamp(max=high) + lift)


def log1mexp(t: Tensor) -> Tensor:
    r""":math:`\log(1 - e^{-t})` for t > 0, to rounding error at both ends (Mächler, 2012)."""
    near = torch.log(-torch.expm1(-t))
    # Of the two ways only this one has an infinite derivative, which times zero would be NaN, where it is not taken.
    far = torch.log1p(-torch.exp(-t.clamp(min=_LOG_2)))
    return torch.where(t < _LOG_2, near, far)
