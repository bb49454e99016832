"""Randomness that is a function of the seed, the step and a sample's place in the global batch, and of nothing else.

No stream has a position that a checkpoint would have to keep, and no process draws what another one needs: a run on two
processes sees the data, the binarisation and the latent noise of the run on one, and so does a run that was resumed.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from reparam.noise import Philox
from reparam.recipes.machine import Machine

GOLDEN = -7046029254386353131  # 2**64 over the golden ratio, as a signed word


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of a step's global batch that falls to this process.

    Args:
        rows: which rows of the data, int64, on the device of the run.
        first: the place of the first of them in the global batch.
        total: rows of the global batch, over all processes.
        step: the number of the step, from 0, int64 without dimensions: to a compiled step it is data.
        seed: the seed of the run.
    """

    rows: Tensor
    first: int
    total: int
    step: Tensor
    seed: int

    def noise(self, samples: int | None = None, variable: int = 0) -> Philox:
        """Noise for draws of shape (rows, ...) or (samples, rows, ...), keyed by the places over all processes.

        Several random variables of one step take a `variable` each.
        """
        index = self.first + torch.arange(len(self.rows), device=self.rows.device)
        if samples is not None:
            index = index + self.total * torch.arange(samples, device=index.device).unsqueeze(-1)
        return Philox(self.seed, self.step, index, variable)

    def bernoulli(self, probabilities: Tensor) -> Tensor:
        """Zeros and ones of the given probabilities, shape (rows, columns): dynamic binarisation.

        A `Philox` would serve too; this takes a tenth of its time, which counts at hundreds of pixels an image.
        """
        rows = self.first + torch.arange(len(self.rows), device=self.rows.device)
        return (uniform(self.seed, self.step, rows, probabilities.shape[-1]) < probabilities).to(probabilities.dtype)


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
            stream = torch.Generator().manual_seed(int(_key(self.seed, torch.tensor(epoch))))
            self._permutation = torch.randperm(self.rows, generator=stream).to(self.machine.device)
            self._epoch = epoch
        batch = self._permutation[place * self.batch : (place + 1) * self.batch]
        rank, world = self.machine.rank, self.machine.world
        first, end = (len(batch) * k // world for k in (rank, rank + 1))
        return Share(batch[first:end], first, len(batch), torch.tensor(step, device=batch.device), self.seed)


def uniform(seed: int, step: Tensor, rows: Tensor, columns: int) -> Tensor:
    """Uniform float32 noise in [0, 1), shape (len(rows), columns): each row is a SplitMix64 stream of its own.

    References:
        Steele, Lea, Flood (2014), Fast Splittable Pseudorandom Number Generators, OOPSLA.
    """
    state = _mix(rows + _key(seed, step))
    words = _mix(state.unsqueeze(-1) + GOLDEN * torch.arange(1, columns + 1, device=rows.device))
    return ((words >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24


def _key(seed: int, step: Tensor) -> Tensor:
    return _mix(step + _mix(torch.tensor(seed, device=step.device)))


def _mix(word: Tensor) -> Tensor:
    """SplitMix64's finaliser; torch shifts signed words, so that the bits moved in from above are cut off."""
    word = (word ^ ((word >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    word = (word ^ ((word >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return word ^ ((word >> 31) & 0x1FFFFFFFF)
