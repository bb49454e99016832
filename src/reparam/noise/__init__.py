"""Noise is a value: torch's own stream, a `torch.Generator`, or base noise as a tensor."""

from reparam.noise.bound import (
    BoundNoise,
    Noise,
    NoiseSource,
    NoiseValue,
    TensorNoise,
    TorchStream,
    as_source,
)

__all__ = ["BoundNoise", "Noise", "NoiseSource", "NoiseValue", "TensorNoise", "TorchStream", "as_source"]
