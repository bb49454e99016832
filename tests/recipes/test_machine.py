"""Learners: gradients are means over the batch, clipped if asked, and their signal-to-noise ratio is the true one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reparam.recipes.machine import Learner, Machine
from reparam.recipes.settings import Settings


def learner(module: nn.Module, optimizer: Callable[..., torch.optim.Optimizer], **how: Any) -> Learner:
    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return module(x).squeeze(-1)

    return Machine(Settings()).learner(module, loss, optimizer(module.parameters(), lr=0.0), **how)


@pytest.mark.parametrize(("of", "scale"), [(None, 1.0), (4, 1.0), (8, 0.5)])
def test_the_gradient_is_that_of_the_mean_over_the_batch(of, scale):
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    module = nn.Linear(2, 1)
    losses = learner(module, torch.optim.SGD).step(x, of=of)
    torch.testing.assert_close(losses, module(x).squeeze(-1).detach())
    torch.testing.assert_close(module.weight.grad, scale * x.mean(0, keepdim=True))


def test_mixed_precision_is_that_of_the_forward_pass_alone():
    seen = []

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        seen.append(module(x))
        return seen[-1].squeeze(-1)

    module = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    Machine(Settings(precision="bf16-mixed")).learner(module, loss, optimizer).step(torch.ones(4, 2))
    assert module.weight.grad is not None
    assert (seen[0].dtype, module.weight.grad.dtype) == (torch.bfloat16, torch.float32)


def test_the_gradient_is_clipped():
    module = nn.Linear(2, 1)
    learner(module, torch.optim.SGD, clip=0.5).step(torch.full((4, 2), 9.0))
    norm = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm()
    torch.testing.assert_close(norm, torch.tensor(0.5))


def test_signal_to_noise_is_the_ratio_of_the_gradients():
    """Of a linear loss the gradient is the input: here of mean 0.5 and standard deviation 1 in each of 500 weights."""
    stream = torch.Generator().manual_seed(0)
    module = nn.Linear(500, 1, bias=False)
    player = learner(module, torch.optim.Adam)
    assert math.isnan(player.signal_to_noise())
    ratios = []
    for _ in range(300):
        player.step(0.5 + torch.randn((1, 500), generator=stream))
        ratios.append(player.signal_to_noise())
    assert ratios[-1] == pytest.approx(0.5, rel=0.1)


def test_other_optimizers_have_no_signal_to_noise():
    player = learner(nn.Linear(2, 1), torch.optim.SGD)
    player.step(torch.ones(1, 2))
    assert math.isnan(player.signal_to_noise())
