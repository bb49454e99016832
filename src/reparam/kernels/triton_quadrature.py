"""The kernel of a function of two arguments that is a quadrature in float64, whatever the dtype of its tensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from reparam.kernels import memory
from reparam.kernels.legendre_table import RULES
from reparam.kernels.triton_math import periodic

_BLOCK = 256
_POINTS = 56


@triton.jit
def kernel(
    out,
    first,
    second,
    rule,
    n,
    first_period,
    second_period,
    whole: tl.constexpr,
    function: tl.constexpr,
    points: tl.constexpr,
    pi: tl.constexpr,
    block: tl.constexpr,
):
    """One program: `block` values of a function."""
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    valid = i < n
    a = periodic(first, first_period, i, valid, whole[0]).to(tl.float64)
    b = periodic(second, second_period, i, valid, whole[1]).to(tl.float64)
    tl.store(out + i, function(a, b, rule, points, pi).to(out.dtype.element_ty), mask=valid)


@functools.cache
def rule(points: int, device: torch.device) -> Tensor:
    """Nodes, then weights, on (0, 1)."""
    return torch.tensor(RULES[points], dtype=torch.float64, device=device).flatten()


def constants(function: object, dtype: torch.dtype) -> dict[str, object]:
    """What the kernel is compiled for with every tensor of a dtype."""
    pi = torch.tensor(math.pi, dtype=dtype).item()
    return {"function": function, "points": _POINTS, "pi": pi, "block": _BLOCK}


def filler(function: object) -> Callable[..., None]:
    """What writes a function's values: `fill(name, out, first, second)`, of one shape, float32 or float64."""

    def fill(name: str, out: Tensor, first: Tensor, second: Tensor) -> None:
        (a, a_period), (b, b_period) = memory.periodic(first), memory.periodic(second)
        n = out.numel()
        kernel[(triton.cdiv(n, _BLOCK),)](
            *(out, a, b, rule(_POINTS, out.device), n, a_period, b_period),
            whole=(a_period == n, b_period == n),
            **constants(function, out.dtype),
        )

    return fill
