"""Judging a sample gradient by moments whose gradient is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

BATCHES = 40
# Two-sided, for the mean of 40 batches (Student's t with 39 degrees of freedom): 1e-6 a comparison.
LIMIT = 5.8


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
