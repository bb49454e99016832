"""One piece of noise for all entries of some dimensions: common random numbers after coupled points."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reparam.noise.bound import NoiseSource


@dataclasses.dataclass(frozen=True)
class SharedNoise:
    """A source whose numbers do not vary along some dimensions of what is asked for.

    Attributes:
        source: where the numbers come from.
        dims: the dimensions along which all entries get the same number.
    """

    source: NoiseSource
    dims: tuple[int, ...]

    def _shared(self, draw: Callable[..., Tensor], shape: Sequence[int], *where: object) -> Tensor:
        small = tuple(1 if dim in self.dims else n for dim, n in enumerate(shape))
        return draw(small, *where).expand(tuple(shape))

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal noise, shared."""
        return self._shared(self.source.normal, shape, dtype, device)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform noise, shared."""
        return self._shared(self.source.uniform, shape, dtype, device)

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard exponential noise, shared."""
        return self._shared(self.source.exponential, shape, dtype, device)
