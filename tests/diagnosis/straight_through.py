"""The biased control: what a diagnosis must catch and a choice must not take."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from reparam.estimators import Draw, Estimator


def square(b: Tensor) -> Tensor:
    return (b - 0.45) ** 2


@dataclasses.dataclass(frozen=True)
class StraightThrough(Estimator):
    """A known bias: the derivative of the cost at a hard coin, as if it were that of the probability."""

    unbiased = False

    def evaluations(self, dist) -> int:
        return 1

    def draw(self, dist, noise) -> Draw:
        hard = torch.bernoulli(dist.probs.detach()).unsqueeze(0)
        return Draw(hard + dist.probs - dist.probs.detach(), torch.ones_like(hard))
