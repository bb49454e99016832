"""Counter-based noise: numbers that depend on where they stand, and on nothing that happened before."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.kernels import noise as kernels
from reparam.noise.counter import check_index, check_word, random_words, rows_of, same_fields
from reparam.noise.quantile import QuantileStream
from reparam.noise.variates import variate

# The variable that no user's can be: its words scramble Sobol points.
SCRAMBLING = 0xFFFF
_REQUESTS = 1 << 16
# Elements of a draw on a CPU from which on its noise is worth making twice so as not to be stored: 256 KiB in float32.
_WORTH_MAKING_ANEW = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Philox:
    r"""Noise that is a pure function of where it stands: (seed, step, variable, global index).

    .. math:: \epsilon_{ij} = \Phi^{-1}\!\left(2^{-w}\left(\mathrm{Philox}_{\text{seed}}
              (j,\, i,\, \text{step},\, \text{variable}) + \tfrac12\right)\right)

    with *i* the global index of the row, *j* the place inside the row, and *w* = 53 bits in float64, 32 in every other
    dtype. Laws with parameters that have no such transform (Gamma and what is made of it, von Mises, Poisson, binomial)
    are sampled by rejection, each number from counters of its own. The value is immutable: the same object gives the
    same numbers however often, in whatever thread or process, and whichever part of the rows is asked for. A draw in
    parts equals the whole draw, bit for bit, in eager mode on one kind of device; between devices, and between the
    native kernels and torch's operations, the integers and the uniform noise agree bit for bit, the normal and
    exponential noise up to rounding, and a number sampled by rejection up to rounding or, once in about :math:`10^7`
    float32 numbers, to another candidate.

    A row is one entry of the draw's first dimension: the first of `sample_shape` if there is one, else of
    the batch. What one draw asks for in succession (the two gammas of a Beta; the variables of a program)
    comes from separate streams. Two calls of `rsample` with the *same* value get the *same* noise: give them
    different variables or steps.

    Args:
        seed: from 0 to `2**64 - 1`.
        step: the training step, an int or an integer tensor, modulo `2**32`. A tensor step is data to a
            compiled function, which then need not recompile.
        index: the global index of the rows. An int, or a tensor without dimensions: that of the first row,
            the others following. A tensor with k dimensions: one index for each entry of the draw's first k
            dimensions, whose shape it must have. Modulo `2**32`.
        variable: which random variable of the step this is, below 65535.

    Gradient:
        None: noise is a constant. Under `vmap` every batch element gets the same noise, in each randomness
        mode, unless `step` or `index` is batched: it is a value, and draws nothing at random.

    Errors:
        `InvalidArgument` for a seed, step or variable out of range, and for an index that does not fit the
        draw.

    References:
        Salmon, Moraes, Dror and Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.

    Example:
        >>> import torch, reparam as rp
        >>> noise, prior = rp.noise.Philox(seed=7).at(step=3), torch.distributions.Normal(0.0, 1.0)
        >>> whole = rp.rsample(prior, (6,), noise=noise)
        >>> parts = [rp.rsample(prior, (3,), noise=noise.at(3, index=first)) for first in (0, 3)]
        >>> torch.equal(whole, torch.cat(parts))
        True
    """

    seed: int
    step: int | Tensor = 0
    index: int | Tensor = 0
    variable: int = 0

    def __post_init__(self) -> None:
        check_word("seed", self.seed, 1 << 64, "Philox(seed=0)")
        check_word("step", self.step, 1 << 32, "Philox(seed).at(step), the number of the training step", dimensions=0)
        check_word("index", self.index, 1 << 32, "Philox(seed).at(step, index=first_row)", dimensions=64)
        check_word("variable", self.variable, SCRAMBLING, "Philox(seed).at(step, variable=1)")

    def at(self, step: int | Tensor, index: int | Tensor | None = None, variable: int | None = None) -> Philox:
        """The same noise at another step, and at another index or variable where one is given."""
        return Philox(
            self.seed,
            step,
            self.index if index is None else index,
            self.variable if variable is None else variable,
        )

    def bind(self, sample_shape: torch.Size) -> PhiloxStream:
        """A source for one draw, its requests numbered from 0."""
        return PhiloxStream(self)

    def __eq__(self, other: object) -> bool:
        return same_fields(self, other) if isinstance(other, Philox) else NotImplemented

    def __hash__(self) -> int:
        # Equal tensors are distinct objects and a step may change in place, so tensors stay out of it.
        return hash((Philox, self.seed, self.variable))


@dataclasses.dataclass
class PhiloxStream(QuantileStream):
    """A `Philox` bound to one draw, counting its requests."""

    value: Philox
    requests: int = 0

    def cells(self, shape: Sequence[int], width: int, device: torch.device) -> Tensor:
        """The next request's integers: one word each, or 53 bits of two."""
        value, tag = self.value, self._next_tag()
        rows = rows_of(self.index(shape), shape, device)
        per_cell = 2 if width > 32 else 1
        count = math.prod(shape[rows.ndim :]) * per_cell
        words = random_words(rows, count, seed=value.seed, step=value.step, tag=tag)
        if per_cell == 2:
            high, low = words.unflatten(-1, (-1, 2)).unbind(-1)
            words = (high << 21) | (low >> 11)
        return words.reshape(tuple(shape))

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal noise by the inverse distribution function."""
        if not self._has_kernel("normal", dtype, device):
            return super().normal(shape, dtype, device)
        return kernels.noise("normal", shape, dtype, self.place(shape), device)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform noise in the open interval (0, 1)."""
        if not self._has_kernel("uniform", dtype, device):
            return super().uniform(shape, dtype, device)
        return kernels.noise("uniform", shape, dtype, self.place(shape), device)

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard exponential noise."""
        if not self._has_kernel("exponential", dtype, device):
            return super().exponential(shape, dtype, device)
        return kernels.noise("exponential", shape, dtype, self.place(shape), device)

    def scaled_normal(self, loc: Tensor, scale: Tensor, shape: Sequence[int]) -> Tensor:
        """The sum `loc + scale * eps`; in a large draw by a kernel, backward makes eps anew, so that none is stored."""
        small = scale.device.type == "cpu" and math.prod(shape) < _WORTH_MAKING_ANEW
        apart = loc.dtype != scale.dtype or loc.device != scale.device
        if small or apart or not self._has_kernel("normal", scale.dtype, scale.device):
            return loc + self.normal(shape, scale.dtype, scale.device) * scale
        return kernels.scaled_normal(loc, scale, shape, self.place(shape))

    def variate(self, law: str, parameters: Sequence[Tensor]) -> Tensor:
        """A draw of a law that is sampled by rejection, of the parameters' shape and without a derivative."""
        return variate(law, parameters, self.place(parameters[0].shape))

    def place(self, shape: Sequence[int]) -> kernels.Place:
        """The next request's place in the stream."""
        value, index = self.value, self.index(shape)
        check_index(index, shape)
        return kernels.Place(value.seed, value.step, self._next_tag(), index)

    def index(self, shape: Sequence[int]) -> int | Tensor:
        """That of a request's rows."""
        return self.value.index

    def _has_kernel(self, law: str, dtype: torch.dtype, device: torch.device) -> bool:
        return kernels.serves(law, dtype, device, self.value.step, self.value.index)

    def _next_tag(self) -> int:
        if self.requests == _REQUESTS:
            raise InvalidArgument(
                "one draw can ask a Philox for noise 65536 times",
                received=f"request number {self.requests + 1} of {self.value!r}",
                instead="Philox(seed).at(step, variable=v), another v every 65536 draws",
            )
        self.requests += 1
        return self.value.variable << 16 | (self.requests - 1)
