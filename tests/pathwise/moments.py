"""Judging a sample gradient by moments whose gradient is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

import reparam as rp

BATCHES = 40
# Two-sided, for the mean of 40 batches (Student's t with 39 degrees of freedom): 1e-6 a comparison.
LIMIT = 5.8


def scalar_gradient_z(
    make: Callable[..., Distribution], values: Sequence[float], exact: Sequence[float], n: int
) -> Tensor:
    """The same for the mean of a law of scalar parameters, all batches in one call."""
    parameters = [torch.full((BATCHES,), v, dtype=torch.float64, requires_grad=True) for v in values]
    x = rp.rsample(make(*parameters), (n,))
    gradients = torch.stack(torch.autograd.grad(x.mean(0).sum(), parameters), -1)
    error = gradients.mean(0) - torch.tensor(exact, dtype=torch.float64)
    return error / (gradients.std(0) / BATCHES**0.5)


def gradient_z(
    sample: Callable[[], Tensor],
    cost: Callable[[Tensor], Tensor],
    parameters: Sequence[Tensor],
    exact: Sequence[Tensor],
) -> Tensor:
    """The error of the mean gradient in standard errors, over independent batches of samples."""
    rows = []
    for _ in range(BATCHES):
        gradients = torch.autograd.grad(cost(sample()).mean(0).sum(), parameters)
        rows.append(torch.cat([g.flatten() for g in gradients]))
    gradients = torch.stack(rows)
    error = gradients.mean(0) - torch.cat([e.flatten() for e in exact])
    return error / (gradients.std(0) / BATCHES**0.5).clamp(min=1e-9)
