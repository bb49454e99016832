"""Noise is a value: torch's stream, a `torch.Generator`, a tensor of base noise, or an immutable source."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reparam.noise.bound import (
    BoundNoise,
    Noise,
    NoiseSource,
    NoiseValue,
    TensorNoise,
    TorchStream,
    as_source,
)
from reparam.noise.philox import Philox
from reparam.noise.shared import SharedNoise

if TYPE_CHECKING:
    from reparam.noise.antithetic import Antithetic
    from reparam.noise.sobol import Sobol

__all__ = [
    "Antithetic",
    "BoundNoise",
    "Noise",
    "NoiseSource",
    "NoiseValue",
    "Philox",
    "SharedNoise",
    "Sobol",
    "TensorNoise",
    "TorchStream",
    "as_source",
]


def __getattr__(name: str) -> object:
    if name in ("Antithetic", "Sobol"):  # loaded at the first mention
        return getattr(importlib.import_module(f"reparam.noise.{name.lower()}"), name)
    raise AttributeError(f"module 'reparam.noise' has no attribute {name!r}")
