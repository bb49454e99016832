"""Inputs and targets to learn from, by name: labelled images, or a curve with a gap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reparam.errors import DataError
from reparam.recipes.data import load


class Examples(NamedTuple):
    """Inputs and targets, split."""

    x: Tensor
    """Shape (examples, features)."""
    y: Tensor
    """Classes, int64, or values, float32; shape (examples,)."""
    test_x: Tensor
    test_y: Tensor
    classes: int
    """How many there are; 0 where y is a value."""
    attribution: str


WAVE_SEED, WAVE_NOISE = 3, 0.1


def examples(name: str, root: str | None = None) -> Examples:
    """The curve `wave`, or images as `data.load` finds them, scaled to mean 0 and variance 1, with their labels.

    Raises:
        DataError: the images cannot be found, or have no labels.
    """
    if name == "wave":
        return _wave()
    images = load(name, root)
    if images.train_labels is None or images.test_labels is None:
        raise DataError(
            "these images have no labels to learn",
            received=repr(name),
            instead="digits, fashion-mnist, mnist, or a folder with labels beside its images",
        )
    x, test_x = images.train_images.flatten(1), images.test_images.flatten(1)
    mean, spread = x.mean(), x.std()
    classes = int(images.train_labels.max()) + 1
    x, test_x = (x - mean) / spread, (test_x - mean) / spread
    return Examples(x, images.train_labels, test_x, images.test_labels, classes, images.attribution)


def wave(x: Tensor) -> Tensor:
    """The curve to regress, without its noise."""
    return torch.sin(3 * x) + 0.3 * torch.cos(9 * x)


def _wave() -> Examples:
    """Points left and right of a gap, with noise of standard deviation `WAVE_NOISE`; the test points are like them."""
    noise = torch.Generator().manual_seed(WAVE_SEED)
    u = torch.rand(600, generator=noise)
    x = torch.where(u < 0.5, -1 + 1.2 * u, 0.4 + 1.2 * (u - 0.5))
    y = wave(x) + WAVE_NOISE * torch.randn(len(x), generator=noise)
    x = x.unsqueeze(1)
    return Examples(x[:300], y[:300], x[300:], y[300:], 0, "a curve with a gap, made here")
