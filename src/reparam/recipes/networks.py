"""The encoders and decoders that a recipe can choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import Tensor, nn

NetworkName: TypeAlias = Literal["dense", "conv"]
Networks: TypeAlias = "tuple[nn.Module, nn.Module]"


class Folded(nn.Module):
    """A network for tensors of shape (batch, ...), applied to any number of leading dimensions."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., features) to (..., outputs)."""
        return self.layers(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


def dense(shape: tuple[int, int], hidden: int, latent: int, outputs: int) -> Networks:
    """One hidden layer each: an encoder from pixels to `outputs`, a decoder from `latent` to the logits of pixels."""
    pixels = shape[0] * shape[1]
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))
    return encoder, decoder


def conv(shape: tuple[int, int], hidden: int, latent: int, outputs: int) -> Networks:
    """Two convolutions of stride two and a dense layer of `hidden` units, and their mirror image."""
    height, width = shape
    half = (height + 1) // 2, (width + 1) // 2
    low = (half[0] + 1) // 2, (half[1] + 1) // 2
    features = 32 * low[0] * low[1]
    encoder = Folded(
        nn.Unflatten(-1, (1, height, width)),
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs)),
    )
    decoder = Folded(
        *(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, features), nn.ReLU()),
        *(nn.Unflatten(-1, (32, *low)), nn.Upsample(half), nn.Conv2d(32, 16, 3, padding=1), nn.ReLU()),
        *(nn.Upsample(shape), nn.Conv2d(16, 1, 3, padding=1), nn.Flatten()),
    )
    return encoder, decoder


NETWORKS: dict[NetworkName, Callable[[tuple[int, int], int, int, int], Networks]] = {"dense": dense, "conv": conv}
