"""Randomness that is a function of the seed, the step and a sample's place in the global batch, and of nothing else.

No stream has a position that a checkpoint would have to keep, and no process draws what another one needs: a run on two
processes sees the data, the binarisation and the latent noise of the run on one, and so does a run that was resumed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.noise import Philox
from reparam.noise.philox import PhiloxStream
from reparam.recipes.machine import Machine

BINARISATION = 0xFFFE  # the variable of its noise, which no latent has
_WORD = 2**64 - 1


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of a step's global batch that falls to this process.

    Args:
        rows: which rows of the data, int64, on the device of the run.
        first: the place of the first of them in the global batch.
        total: rows of the global batch, over all processes.
        step: the number of the step, from 0.
        seed: the seed of the run.
    """

    rows: Tensor
    first: int
    total: int
    step: int
    seed: int

    def noise(self, samples: int | None = None, variable: int = 0) -> Philox:
        """Noise for draws of shape (rows, ...) or (samples, rows, ...), keyed by the places over all processes.

        Several random variables of one step take a `variable` each.
        """
        index = _places(self.first, len(self.rows), self.total, samples, self.rows.device)
        # A tensor is data to a compiled step, which an int would compile anew.
        step = torch.full((), self.step, device=index.device)
        return Philox(self.seed, step, index, variable)

    def particles(self) -> Particles:
        """The same for draws of shape (particles, rows, ...), however many particles an estimator asks for."""
        return Particles(self)

    def bernoulli(self, probabilities: Tensor) -> Tensor:
        """Zeros and ones of the given probabilities, shape (rows, columns): dynamic binarisation.

        Keyed like the noise of latents, by the place in the global batch.
        """
        if len(self.rows) == 0:
            return probabilities
        noise = Philox(self.seed, self.step, self.first, BINARISATION).bind(probabilities.shape)
        return noise.uniform(probabilities.shape, probabilities.dtype, probabilities.device).lt_(probabilities)


@dataclasses.dataclass(frozen=True)
class Particles:
    """Noise for estimators, keyed by each row's place over all processes and the number of the particle."""

    share: Share

    def bind(self, sample_shape: torch.Size) -> PhiloxStream:
        """A source for the draws of one expectation."""
        return _ParticleStream(self.share.noise(), share=self.share)


@dataclasses.dataclass
class _ParticleStream(PhiloxStream):
    share: Share = dataclasses.field(kw_only=True)

    def index(self, shape: Sequence[int]) -> Tensor:
        share = self.share
        return _places(share.first, len(share.rows), share.total, shape[0], share.rows.device)


@functools.lru_cache(maxsize=16)
def _places(first: int, rows: int, total: int, samples: int | None, device: torch.device) -> Tensor:
    """The keys of (rows, ...) or (samples, rows, ...) draws: the same in every full batch, and read only."""
    index = first + torch.arange(rows, device=device)
    return index if samples is None else index + total * torch.arange(samples, device=device).unsqueeze(-1)


class Order:
    """The data in a new random order in each epoch, cut into global batches, and those into shares.

    Args:
        rows: rows of the data.
        batch: rows of a global batch; the last of an epoch may be shorter.
        seed: the seed of the run.
        machine: whose share is asked for.

    Example:
        >>> from reparam.recipes.engine import Settings
        >>> order = Order(5, 2, seed=0, machine=Machine(Settings()))
        >>> order.steps_per_epoch, sorted(int(row) for step in range(3) for row in order.share(step).rows)
        (3, [0, 1, 2, 3, 4])
    """

    def __init__(self, rows: int, batch: int, seed: int, machine: Machine) -> None:
        self.rows, self.batch, self.seed, self.machine = rows, batch, seed, machine
        self.steps_per_epoch = math.ceil(rows / batch)
        self._epoch = -1

    def share(self, step: int) -> Share:
        """The part of a step's global batch that falls to this process."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            stream = torch.Generator().manual_seed(_key(self.seed, epoch))
            self._permutation = torch.randperm(self.rows, generator=stream).to(self.machine.device)
            self._epoch = epoch
        batch = self._permutation[place * self.batch : (place + 1) * self.batch]
        rank, world = self.machine.rank, self.machine.world
        first, end = (len(batch) * k // world for k in (rank, rank + 1))
        return Share(batch[first:end], first, len(batch), step, self.seed)


def _key(*numbers: int) -> int:
    """A seed from several numbers, by SplitMix64's finaliser.

    References:
        Steele, Lea, Flood (2014), Fast Splittable Pseudorandom Number Generators, OOPSLA.
    """
    word = 0
    for number in numbers:
        word = (word + number + 0x9E3779B97F4A7C15) & _WORD
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
        word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
        word ^= word >> 31
    return word
