"""Noise is a value: torch's stream, a `torch.Generator`, a tensor of base noise, or an immutable source."""

from reparam.noise.antithetic import Antithetic
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
