"""Exponentials that stay inside the floats, for the families whose logarithm is what can be computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.kernels.memory import within

_LOG_2 = math.log(2)
_ROOM = math.log(1e9)
# `exp` of the rounded logarithm of the largest float may round up to infinity; a few roundings below, it cannot.
_LOG_LIMITS = {
    dtype: (
        math.log(torch.finfo(dtype).tiny),
        math.log(torch.finfo(dtype).max) * (1 - 4 * torch.finfo(dtype).eps),
    )
    for dtype in (torch.float32, torch.float64)
}


def exp_in_range(log_x: Tensor) -> Tensor:
    r"""`exp(log_x)`, held between the smallest normal and the largest finite float, with a finite derivative.

    Below the range the derivative is still `x dlog_x`: negligible for a cost of x, and right for a cost of log x. Above
    a billionth of the largest float it is held at a billionth of the largest float times `dlog_x`: times the slope of a
    logarithm, and summed over samples, the true one would overflow to infinities, and those of two signs to NaN.
    """
    low, high = _LOG_LIMITS[log_x.dtype]
    top = high - _ROOM
    if within(log_x, low, top):
        return torch.exp(log_x)
    limit = torch.finfo(log_x.dtype).max
    bounded = log_x.clamp(-limit, limit)
    fixed = bounded.detach()
    # Below the range a step of zero carries the derivative: lifting -1e10 by 1e10 - 87 would land anywhere near it.
    x = torch.exp(torch.where(fixed < low, low + (bounded - fixed), bounded.clamp(max=top)))
    excess = torch.exp(fixed.clamp(max=high)) - math.exp(top)
    return x + torch.where(fixed > top, excess + math.exp(top) * (bounded - fixed), 0.0)


def log1mexp(t: Tensor) -> Tensor:
    r""":math:`\log(1 - e^{-t})` for t > 0, to rounding error at both ends (Mächler, 2012)."""
    near = torch.log(-torch.expm1(-t))
    # Of the two ways only this one has an infinite derivative, which times zero would be NaN, where it is not taken.
    far = torch.log1p(-torch.exp(-t.clamp(min=_LOG_2)))
    return torch.where(t < _LOG_2, near, far)
