"""Training a control variate inside the same backward pass, whatever becomes of the estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reparam.errors import InvalidArgument, UnsupportedTransform
from reparam.estimators.base import Estimator


class Controlled(Estimator):
    """An estimator with a control variate that learns.

    Attributes:
        control: the module that learns.
    """

    control: nn.Module

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the control variate, for an optimiser."""
        return self.control.parameters()

    def state_dict(self) -> dict[str, Any]:
        """That of the control variate."""
        return self.control.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the control variate."""
        self.control.load_state_dict(state)


def require_module(name: str, control: object) -> None:
    """Raise unless a control variate is a module, which can be trained and saved."""
    if not isinstance(control, nn.Module):
        raise InvalidArgument(
            "a control variate must be a torch.nn.Module",
            received=f"control = {control!r}",
            instead=f"rp.{name}(control=torch.nn.Sequential(...)), or rp.{name}() for its own",
        )


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a control variate that are to be trained now: none without gradients, or in `eval()` mode."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    if not wanted or not module.training or not torch.is_grad_enabled():
        return []
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        raise UnsupportedTransform(
            "a control variate is trained by a backward pass of its own, which these transforms do not see",
            received=f"{type(module).__name__} in training mode, inside torch.compile or torch.func",
            instead="estimator.control.eval(), which uses it as it stands, still without bias",
        )
    return wanted


def descend(result: Tensor, objective: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """`result`, whose backward pass also gives the parameters the gradient of `objective`.

    The node ignores the gradient that arrives: the objective is a variance or an error to be minimised, and maximising
    the expectation, or scaling it, must not train the control variate backwards.
    """
    gradients = torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True)
    found = [(p, g.detach()) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    return _Descend.apply(result, *(p for p, _ in found), *(g for _, g in found))  # pyright: ignore[reportReturnType]


class _Descend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, result: Tensor, *pairs: Tensor) -> Tensor:
        ctx.save_for_backward(*pairs[len(pairs) // 2 :])
        return result.view_as(result)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        return (grad, *gradients, *[None] * len(gradients))
