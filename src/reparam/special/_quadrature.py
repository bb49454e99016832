"""Gauss-Legendre rules, computed once in float64 and cached."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


@functools.cache
def gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    r"""Nodes and weights of the n-point Gauss-Legendre rule on (-1, 1), in float64 on the CPU.

    The nodes are the roots of :math:`P_n`, found by Newton's method from Tricomi's asymptotic start; the weights are
    :math:`2 / ((1 - t^2) P_n'(t)^2)`. The rule is exact for polynomials of degree :math:`2n - 1`.

    Example:
        >>> nodes, weights = gauss_legendre(8)
        >>> round((weights * nodes**14).sum().item(), 12)  # 2/15
        0.133333333333
    """
    # In Python floats: at this size a thousand torch calls would cost the import of the library several times more.
    nodes, weights = [], []
    for k in range(1, n + 1):
        t = (1 - (1 - 1 / n) / (8 * n * n)) * math.cos(math.pi * (4 * k - 1) / (4 * n + 2))
        slope = math.inf
        for _ in range(4):  # quadratic convergence from an error of O(n^-4)
            previous, value = 1.0, t
            for degree in range(2, n + 1):
                previous, value = value, ((2 * degree - 1) * t * value - (degree - 1) * previous) / degree
            slope = n * (t * value - previous) / (t * t - 1)
            t -= value / slope
        nodes.append(t)
        weights.append(2 / ((1 - t * t) * slope * slope))
    return torch.tensor(nodes, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)


Rule = dict[torch.dtype, tuple[Tensor, Tensor]]


def unit_rule(n: int) -> Rule:
    """The n-point rule on (0, 1) in both dtypes, so that a small draw does not spend its time on converting it."""
    points, weights = gauss_legendre(n)
    return {dtype: (((points + 1) / 2).to(dtype), (weights / 2).to(dtype)) for dtype in (torch.float32, torch.float64)}


def nodes(rule: Rule, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a rule, in the dtype and on the device of a tensor."""
    points, weights = rule[like.dtype]
    return (points, weights) if like.device.type == "cpu" else (points.to(like.device), weights.to(like.device))
