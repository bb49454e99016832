"""Expectations of estimators without chance: every outcome of an estimator's own randomness, as one batch.

The outcomes lie along the batch dimension, so that one call of `expect` evaluates them all; their probabilities then
turn value, first and second derivative into exact expectations, to be compared with those of the definition.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def derivatives(value: Tensor, parameter: Tensor) -> list[Tensor]:
    """Value, gradient and Hessian of each batch element: values of shape `(n,)` of parameters of shape `(n, P)`."""
    # A gradient that is constant has no graph of its own to differentiate.
    value = value + 0 * parameter.square().sum(-1)
    (first,) = torch.autograd.grad(value.sum(), parameter, create_graph=True)
    second = [torch.autograd.grad(g.sum(), parameter, retain_graph=True)[0] for g in first.unbind(-1)]
    return [value.detach(), first.detach(), torch.stack(second, -2)]


def expectation(estimate: Callable[[Tensor], Tensor], at: Tensor, law: Tensor) -> list[Tensor]:
    """The expectation of an estimate and of its derivatives over outcomes of probability `law`."""
    parameter = at.expand(len(law), -1).clone().requires_grad_()
    return [torch.tensordot(law, part, 1) for part in derivatives(estimate(parameter), parameter)]


def summed(make: Callable[[Tensor], td.Distribution], support: Tensor, cost: Callable, at: Tensor) -> list[Tensor]:
    """By the definition, with no code of the library: the sum over the support of exp(log_prob) times the cost."""
    parameter = at[None].clone().requires_grad_()
    dist = make(parameter)
    points = support.unsqueeze(1).expand(-1, 1, *dist.event_shape) if not dist.event_shape else support.unsqueeze(1)
    value = (dist.log_prob(points).exp() * cost(points, parameter)).sum(0)
    return [part[0] for part in derivatives(value, parameter)]


def cost(points: Tensor, parameter: Tensor, event_dims: int) -> Tensor:
    """Not additive in the sites, not linear in the draw, and dependent on the parameter itself."""
    x = points.to(parameter.dtype)
    if event_dims:
        size = x.shape[-event_dims:].numel()
        x = (x.flatten(-event_dims) * torch.arange(1.0, size + 1, dtype=x.dtype)).sum(-1)
    return torch.sin(1.3 * x + 0.2) + 0.1 * x**2 * parameter.sum(-1).exp()


def product(outcomes: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], Tensor]:
    """Independent pieces of randomness, each as (values along its first dimension, law), combined."""
    index = torch.cartesian_prod(*[torch.arange(len(law)) for _, law in outcomes]).view(-1, len(outcomes))
    values = [v[index[:, i]] for i, (v, _) in enumerate(outcomes)]
    law = torch.stack([law[index[:, i]] for i, (_, law) in enumerate(outcomes)]).prod(0)
    return values, law
