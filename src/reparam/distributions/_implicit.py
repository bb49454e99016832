"""Attach a derivative that is known in closed form to a value that was drawn by other means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Slope = Callable[..., Tensor]


def follow(value: Tensor, slopes: tuple[Slope, ...], *parameters: Tensor) -> Tensor:
    r"""The sample `value` with the derivative :math:`dx / d\theta_i` given by `slopes[i](x, *parameters)`.

    Each slope is evaluated only where its parameter needs a gradient, in torch operations, so that every
    order of derivative is the derivative of the same formula. Compiled code is given the derivatives of first
    and second order: there a custom function differentiated twice returns zero, so ordinary operations do it.
    """
    value = value.detach()
    expanded = tuple(parameter.expand(value.shape) for parameter in parameters)
    if torch.compiler.is_compiling():
        return _midpoint(value, slopes, expanded)
    return _Follow.apply(value, slopes, *expanded)  # type: ignore[return-value]


def _midpoint(value: Tensor, slopes: tuple[Slope, ...], parameters: tuple[Tensor, ...]) -> Tensor:
    # One midpoint step of the ordinary differential equation dx = sum_i slope_i dtheta_i, of length zero: its
    # Taylor expansion in the parameters is right through second order, and its value is `value`.
    fixed = [parameter.detach() for parameter in parameters]
    steps = [parameter - origin for parameter, origin in zip(parameters, fixed, strict=True)]
    halfway = [origin + step / 2 for origin, step in zip(fixed, steps, strict=True)]
    x = value
    for slope, step in zip(slopes, steps, strict=True):
        x = x + slope(value, *fixed) * step / 2
    return value + sum(slope(x, *halfway) * step for slope, step in zip(slopes, steps, strict=True))


class _Follow(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, slopes: tuple[Slope, ...], *parameters: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, ctx.slopes, *parameters = inputs
        ctx.save_for_backward(output, *parameters)
        ctx.save_for_forward(output, *parameters)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        saved, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        partials = (slope(*saved) if need else None for slope, need in zip(ctx.slopes, needed, strict=True))
        return None, None, *(None if partial is None else grad_outputs[0] * partial for partial in partials)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Tensor | None) -> Tensor:
        saved = ctx.saved_tensors
        moves = (slope(*saved) * t for slope, t in zip(ctx.slopes, grad_inputs[2:], strict=True) if t is not None)
        return sum(moves, start=torch.zeros_like(saved[0]))
