"""Implicit reparameterisation: a sample drawn by any sampler, then given the derivative of its distribution function.

One mathematical fact, three doors to it, because torch has no single one that is both cheap in eager mode and right
under every transform: a plain `autograd.Function`; one with a forward rule under `torch.func` and dual numbers; and
ordinary operations where the compiler traces a `torch.func` transform, which drops a Function's derivative in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

Slopes = Callable[[Tensor, Sequence[Tensor], Sequence[bool]], Sequence[Tensor | None]]
Flows = Callable[[Tensor, Tensor, Sequence[Tensor], Sequence[bool]], "Sequence[Tensor | None] | None"]


def attach(slopes: Slopes, x: Tensor, *parameters: Tensor) -> Tensor:
    r"""The sample x, given the derivative :math:`dx/d\theta_i` = `slopes(x, parameters, needed)[i]`.

    The slopes are computed only when a derivative is asked for, and only for the parameters that need one (None may
    stand for the others). They are themselves differentiated through x and the parameters, so every order of
    derivative that they support is right; where the compiler traces a `torch.func` transform, the first two are.

    Args:
        slopes: elementwise derivatives of x in each parameter, None where x does not depend on it; a function at
            module level.
        x: the sample, without a gradient, of the full shape.
        parameters: tensors that broadcast to the shape of x.
    """
    if not watched(parameters):
        return x
    if not torch._C._are_functorch_transforms_active() and not _dual():
        return _node(_Plain, slopes, x, *parameters)
    full = [p.expand(x.shape) for p in parameters]
    if torch.compiler.is_compiling():
        return _by_operations(slopes, x, full)
    return _Transformable.apply(slopes, x, *full)  # pyright: ignore[reportReturnType]


class Drawn:
    """A sample `draw(*parameters)` with the derivative of `attach`: for samplers that see parameters as numbers.

    In eager mode the sampler runs inside the one node of autograd, where nothing has to be detached first; that is a
    third of the call overhead of a small sample. A backward pass that is not differentiated itself asks `flows` first:
    one pass of a kernel in the place of one for each product.

    Made once for a law, at module level: what a node holds beside its tensors costs time in every call.

    Args:
        slopes: as for `attach`.
        flows: `flows(grad, x, parameters, needed)` gives the products of `grad` with the slopes, in the shapes of the
            parameters, as numbers; or None to leave them to the slopes.
    """

    def __init__(self, slopes: Slopes, flows: Flows | None = None) -> None:
        self._slopes = slopes

        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
            x, *parameters = ctx.saved_tensors
            needed = ctx.needs_input_grad[1:]
            if flows is not None and not torch.is_grad_enabled():
                products = flows(grad, x, parameters, needed)
                if products is not None:
                    return None, *products
            return None, *_pulled_back(slopes, grad, x, parameters, needed)

        self._apply = _apply_of("Drawn", _draw, backward)

    def __call__(self, draw: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
        """The sample; `draw` is given the parameters as numbers."""
        if _transformed():
            return attach(self._slopes, draw(*(p.detach() for p in parameters)), *parameters)
        for parameter in parameters:
            if parameter.requires_grad and torch.is_grad_enabled():
                return self._apply(draw, *parameters)
        return draw(*parameters)


class DrawnFromPair:
    """`Drawn`, for two parameters that lie side by side in the last dimension of one tensor.

    Taking them apart first would be a node of autograd, and as much overhead as the sampler. The slopes see them apart,
    `flows(grad, x, pair)` together.
    """

    def __init__(self, slopes: Slopes, flows: Callable[[Tensor, Tensor, Tensor], Tensor | None]) -> None:
        self._slopes = slopes

        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
            x, pair = ctx.saved_tensors
            flow = None if torch.is_grad_enabled() else flows(grad, x, pair)
            if flow is None:
                both = slopes(x, [p.expand(x.shape) for p in pair.unbind(-1)], (True, True))
                flow = torch.stack([grad * slope for slope in both if slope is not None], -1).sum_to_size(pair.shape)
            return None, flow

        self._apply = _apply_of("DrawnFromPair", _draw, backward)

    def __call__(self, draw: Callable[[Tensor], Tensor], pair: Tensor) -> Tensor:
        """The sample; `draw` is given the pair as numbers."""
        if _transformed():
            return attach(self._slopes, draw(pair.detach()), *pair.unbind(-1))
        return self._apply(draw, pair) if watched((pair,)) else draw(pair)


class DrawnShares:
    """The shares `x / x.sum(-1)` of a sample x = `draw(a)`, whose derivative is `slope(a, x)`, in one node.

    `flows(grad, shares, total, a)` as for `Drawn`.
    """

    def __init__(self, slope: Callable[[Tensor, Tensor], Tensor], flows: Callable[..., Tensor | None]) -> None:
        self._slope = slope

        def backward(ctx: Any, grad: Tensor | None, grad_total: Tensor | None) -> tuple[Tensor | None, ...]:
            shares, total, a = ctx.saved_tensors
            flow = None
            if grad is not None and grad_total is None and not torch.is_grad_enabled():
                flow = flows(grad, shares, total, a)
            if flow is None:
                across = 0 if grad is None else (grad - (grad * shares).sum(-1, keepdim=True)) / total
                along = slope(a.expand(shares.shape), shares * total)
                flow = (along * (across if grad_total is None else across + grad_total)).sum_to_size(a.shape)
            return None, flow

        self._apply = _apply_of("DrawnShares", _draw_shares, backward)

    def __call__(self, draw: Callable[[Tensor], Tensor], a: Tensor) -> Tensor:
        """The shares; `draw` is given the parameter as numbers."""
        if not _transformed():
            return self._apply(draw, a)[0] if watched((a,)) else _shares(draw(a))[0]
        x = attach(lambda x, parameters, _needed: (self._slope(parameters[0], x),), draw(a.detach()), a)
        return x / x.sum(-1, keepdim=True)


def _draw(ctx: Any, draw: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    x = draw(*parameters)
    ctx.save_for_backward(x, *parameters)
    return x


def _draw_shares(ctx: Any, draw: Callable[[Tensor], Tensor], a: Tensor) -> tuple[Tensor, Tensor]:
    """The shares and, for the derivatives beyond the first, the total that they are of."""
    shares, total = _shares(draw(a))
    ctx.save_for_backward(shares, total, a)
    ctx.set_materialize_grads(False)
    return shares, total


def _shares(x: Tensor) -> tuple[Tensor, Tensor]:
    total = x.sum(-1, keepdim=True)
    return x.div_(total), total


def _apply_of(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """`apply` of a new Function, without its own look for `torch.func` transforms, which its callers have had."""
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function = type(name, (torch.autograd.Function,), body)
    return super(torch.autograd.Function, function).apply  # pyright: ignore[reportAttributeAccessIssue]


def _transformed() -> bool:
    """Whether a `torch.func` transform or forward mode is about; the compiler is not, where numbers can be seen."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _node(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """`function.apply` without its own look for `torch.func` transforms, here absent: a third of its cost."""
    if torch.compiler.is_compiling():
        return function.apply(*arguments)
    return super(torch.autograd.Function, function).apply(*arguments)  # pyright: ignore[reportAttributeAccessIssue]


def watched(parameters: Iterable[Tensor]) -> bool:
    """Whether anyone may ask for a derivative in these parameters."""
    if torch.is_grad_enabled():
        for parameter in parameters:
            if parameter.requires_grad:
                return True
    return torch._C._are_functorch_transforms_active() or _dual()


def _dual() -> bool:
    return not torch.compiler.is_compiling() and forward_ad._current_level >= 0


def _pull_back(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, *parameters = ctx.saved_tensors
    return None, None, *_pulled_back(ctx.slopes, grad, x, parameters, ctx.needs_input_grad[2:])


def _pulled_back(
    slopes: Slopes, grad: Tensor, x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]
) -> list[Tensor | None]:
    """The product with each slope, in the shape of its parameter."""
    full = [p if p.shape == x.shape else p.expand(x.shape) for p in parameters]
    flows = [
        grad * slope if want and slope is not None else None
        for slope, want in zip(slopes(x, full, needed), needed, strict=True)
    ]
    return [
        flow if flow is None or flow.shape == p.shape else flow.sum_to_size(p.shape)
        for flow, p in zip(flows, parameters, strict=True)
    ]


class _Plain(torch.autograd.Function):
    """The cheap door: a third of the call overhead of the next one. It broadcasts by itself, in the backward pass."""

    @staticmethod
    def forward(ctx: Any, slopes: Slopes, x: Tensor, *parameters: Tensor) -> Tensor:
        out = x.view_as(x)
        ctx.slopes = slopes
        ctx.save_for_backward(out, *parameters)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _pull_back(ctx, grad)


class _Transformable(torch.autograd.Function):
    """The door for `torch.func` and for forward-mode dual numbers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(slopes: Slopes, x: Tensor, *parameters: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.slopes = inputs[0]
        ctx.save_for_backward(output, *inputs[2:])
        ctx.save_for_forward(output, *inputs[2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _pull_back(ctx, grad)

    @staticmethod
    def jvp(ctx: Any, _slopes: None, _x: Tensor | None, *tangents: Tensor | None) -> Tensor:
        x, *parameters = ctx.saved_tensors
        slopes = ctx.slopes(x, parameters, [t is not None for t in tangents])
        velocity = torch.zeros_like(x)
        for slope, tangent in zip(slopes, tangents, strict=True):
            if tangent is not None and slope is not None:
                velocity = velocity + slope * tangent
        return velocity


def _by_operations(slopes: Slopes, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    r"""`x + slope(at the middle of the step) * step` for a step of length zero: Runge's midpoint rule.

    A rule of order two for the differential equation :math:`dx/d\theta = slope(x, \theta)` has its first two
    derivatives at step zero. The steps are zero in value and carry the derivative.
    """
    start = [p.detach() for p in parameters]
    steps = [p - p0 for p, p0 in zip(parameters, start, strict=True)]
    needed = [True] * len(steps)
    x = x.detach()
    middle = _advance(x, slopes(x, start, needed), [step / 2 for step in steps])
    halfway = [p0 + step / 2 for p0, step in zip(start, steps, strict=True)]
    return _advance(x, slopes(middle, halfway, needed), steps)


def _advance(x: Tensor, slopes: Sequence[Tensor | None], steps: Sequence[Tensor]) -> Tensor:
    for slope, step in zip(slopes, steps, strict=True):
        if slope is not None:
            x = x + slope * step
    return x
