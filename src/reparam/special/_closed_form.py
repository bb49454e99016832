"""Functions of tensors whose derivatives are given in closed form, instead of through their own operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def closed_form(value: Callable[..., Tensor], partials: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """The elementwise function `value(*args)` of up to three tensors, with derivatives `partials(output, *args)`.

    The partials are themselves differentiable functions of the output and the arguments, so derivatives of every
    order follow, in reverse and forward mode, under vmap and in a compiled graph. Arguments broadcast first.

    Example:
        >>> exp = closed_form(torch.exp, lambda output, x: (output,))
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> y = exp(x)
        >>> torch.autograd.grad(y, x)[0] == y
        tensor(True)
    """

    class Reverse(torch.autograd.Function):
        generate_vmap_rule = True

        # Three places and no star: the compiler counts the parameters of `forward`.
        @staticmethod
        def forward(x: Tensor, y: Tensor | None, z: Tensor | None) -> Tensor:
            return value(*_given(x, y, z))

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
            x, y, z = inputs
            ctx.save_for_backward(output, x, y, z)
            ctx.save_for_forward(output, x, y, z)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
            flows = [*partials(*_given(*ctx.saved_tensors)), None, None][:3]
            return tuple(
                grad * flow if flow is not None and needed else None
                for flow, needed in zip(flows, ctx.needs_input_grad, strict=True)
            )

    class ReverseAndForward(Reverse):
        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
            saved = _given(*ctx.saved_tensors)
            result = torch.zeros_like(saved[0])
            for flow, tangent in zip(partials(*saved), tangents, strict=False):
                if tangent is not None:
                    result = result + flow * tangent
            return result

    def apply(*args: Tensor) -> Tensor:
        x, y, z, *_ = [*torch.broadcast_tensors(*args), None, None]
        # The compiler refuses a function with a forward rule; without one it differentiates the operations of
        # `value` in forward mode, so these must be differentiable too.
        function = Reverse if torch.compiler.is_compiling() else ReverseAndForward
        result: Tensor = function.apply(x, y, z)  # pyright: ignore[reportAssignmentType]
        return result

    return apply


def _given(*args: Tensor | None) -> list[Tensor]:
    return [arg for arg in args if arg is not None]
