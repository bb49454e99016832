"""Quasi-Monte Carlo noise: Sobol points along the samples, one coordinate for each number a sample needs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from reparam.errors import InvalidArgument
from reparam.noise.antithetic import require_leading, sample_dimension
from reparam.noise.counter import check_word, random_words, same_fields
from reparam.noise.philox import SCRAMBLING
from reparam.noise.quantile import QuantileStream

_DIGITS = SobolEngine.MAXBIT


@torch.library.custom_op("reparam::sobol_directions", mutates_args=())
def _directions(coordinates: int, device: torch.device) -> Tensor:
    """The direction numbers of Joe and Kuo, shape (coordinates, 30), as integers of 30 binary digits."""
    return SobolEngine(coordinates).sobolstate.to(device)


@_directions.register_fake
def _directions_fake(coordinates: int, device: torch.device) -> Tensor:
    return torch.empty((coordinates, _DIGITS), dtype=torch.int64, device=device)


@dataclasses.dataclass(frozen=True, eq=False)
class Sobol:
    r"""Noise that fills the unit cube evenly: the samples of one draw are points of a scrambled Sobol sequence.

    .. math:: \epsilon_{ij} = \Phi^{-1}(x_{ij}), \qquad x_i \in (0, 1)^d \text{ the } i\text{-th point}

    with *i* running over the samples (all of `sample_shape`, in order) and *j* over the numbers that one
    sample needs: every element of the batch and event shapes, and of what a rule asks for next. The
    scrambling (a random lower-triangular matrix for each coordinate's digits, then a random digital shift)
    makes each point uniform on its own, so a mean over the samples is unbiased, and its error falls like
    :math:`n^{-3/2}` up to logarithms for a smooth cost, against :math:`n^{-1/2}` for independent samples.
    Powers of two are the sample sizes that are even in every coordinate. Points have 30 binary digits, and
    lie in the middle of their cells.

    The batch elements of one draw are *different coordinates*: independent of each other, evenly spread over
    samples.

    Args:
        seed: of the scrambling, from 0 to `2**64 - 1`: the value is then a constant, and the same seed and
            step give the same points. None takes a new seed from torch's global generator at each draw.
        scramble: False for the sequence itself, centred in its cells: no randomness, hence no unbiasedness.
        step: see `at`.

    Gradient:
        None: noise is a constant. Under `vmap` a seeded value gives every batch element the same points
        (unless `step` is batched), in each randomness mode; an unseeded one obeys the mode, as its seed is
        drawn by torch.

    Errors:
        `InvalidArgument` for a draw without a sample dimension, for more than 21201 coordinates, for more
        than `2**30` points, for a step without a seed, and for a seed without scrambling.

    References:
        Sobol', USSR Comput. Math. Math. Phys. 1967. Joe and Kuo, SIAM J. Sci. Comput. 2008 (direction
        numbers). Matoušek, On the L2-Discrepancy for Anchored Boxes, J. Complexity 1998 (scrambling). Owen,
        Scrambled Net Variance for Integrals of Smooth Functions, Ann. Statist. 1997. Buchholz, Wenzel and
        Mandt, Quasi-Monte Carlo Variational Inference, ICML 2018.

    Example:
        >>> import torch, reparam as rp
        >>> x = rp.rsample(torch.distributions.Uniform(0.0, 8.0), (8,), noise=rp.noise.Sobol(seed=1))
        >>> sorted(x.int().tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
    """

    seed: int | None = None
    scramble: bool = True
    step: int | Tensor = 0

    def __post_init__(self) -> None:
        check_word("step", self.step, 1 << 32, "Sobol(seed).at(step), with the number of the training step")
        if self.seed is not None:
            check_word("seed", self.seed, 1 << 64, "Sobol(seed=0)", tensors=False)
        if self.seed is not None and not self.scramble:
            raise InvalidArgument(
                "a seed chooses a scrambling, and there is none",
                received=f"Sobol(seed={self.seed}, scramble=False)",
                instead="Sobol(seed), or Sobol(scramble=False)",
            )

    def at(self, step: int | Tensor) -> Sobol:
        """The same value at another step, an int or an integer tensor: each step has a scrambling of its own."""
        if self.seed is None:
            raise InvalidArgument(
                "only a seeded Sobol has steps: without a seed every draw is scrambled anew",
                received=f"Sobol(scramble={self.scramble}).at(...)",
                instead="Sobol(seed=0).at(step)",
            )
        return Sobol(self.seed, self.scramble, step)

    def bind(self, sample_shape: torch.Size) -> SobolStream:
        """A source for one draw, whose requests take successive coordinates."""
        sample_dimension("Sobol points lie", sample_shape, "Sobol()")
        if math.prod(sample_shape) > 1 << _DIGITS:
            raise InvalidArgument(
                f"a Sobol sequence of {_DIGITS} digits has 2**{_DIGITS} points",
                received=f"sample_shape = {tuple(sample_shape)}",
                instead="fewer samples, or noise=None",
            )
        seed = torch.randint(1 << 62, ()) if self.scramble and self.seed is None else self.seed
        return SobolStream(sample_shape, seed, self.step)

    def __eq__(self, other: object) -> bool:
        return same_fields(self, other) if isinstance(other, Sobol) else NotImplemented

    def __hash__(self) -> int:
        return hash((Sobol, self.seed, self.scramble))


@dataclasses.dataclass
class SobolStream(QuantileStream):
    """A `Sobol` bound to one draw: which points, and how many of their coordinates are used up."""

    sample_shape: torch.Size
    seed: int | Tensor | None
    step: int | Tensor
    coordinates: int = 0

    def cells(self, shape: Sequence[int], width: int, device: torch.device) -> Tensor:
        """The next coordinates of the points, in the middle of their cells."""
        require_leading(shape, self.sample_shape, "Sobol")
        first = self.coordinates
        self.coordinates += math.prod(shape[len(self.sample_shape) :])
        if self.coordinates > SobolEngine.MAXDIM:
            raise InvalidArgument(
                f"a Sobol sequence has {SobolEngine.MAXDIM} coordinates, one for each number that a sample needs",
                received=f"a draw of shape {tuple(shape)}: {self.coordinates} coordinates a sample",
                instead="a smaller batch a draw, or noise=None",
            )
        directions = _directions(self.coordinates, device)[first:]
        n = math.prod(self.sample_shape)
        if self.seed is None:
            points = _points(n, directions, _half_a_cell(n))
        else:
            which = torch.arange(first, self.coordinates, device=device)
            # One word for each digit's column of the scrambling matrix, and one for the shift.
            words = random_words(which, _DIGITS + 1, seed=self.seed, step=self.step, tag=SCRAMBLING << 16)
            words = words >> (32 - _DIGITS)
            points = _points(n, _scrambled(directions, words), words[:, _DIGITS])
        spare = width - _DIGITS
        return (points << spare | 1 << (spare - 1)).reshape(tuple(shape))


def _scrambled(directions: Tensor, words: Tensor) -> Tensor:
    # Matoušek's linear scrambling: digit b keeps its place and stirs the digits below it, at random.
    scrambled = torch.zeros_like(directions)
    for b in range(_DIGITS):
        column = (words[:, b : b + 1] & ((1 << b) - 1)) | 1 << b
        scrambled = scrambled ^ (directions >> b & 1) * column
    return scrambled


def _points(n: int, directions: Tensor, shift: Tensor | int) -> Tensor:
    # Points in Gray-code order, shape (n, coordinates): each bit of the code adds a direction, digit by digit.
    index = torch.arange(n, device=directions.device).unsqueeze(-1)
    code = index ^ (index >> 1)
    points = torch.zeros_like(index) ^ shift
    # A compiled function may serve every n, so it uses all the digits.
    digits = _DIGITS if torch.compiler.is_compiling() else n.bit_length()
    for b in range(digits):
        points = points ^ (code >> b & 1) * directions[:, b]
    return points


def _half_a_cell(n: int) -> int:
    # n points of the bare sequence are the lower corners of cells of this width, or half of it.
    return 1 << max(_DIGITS - 1 - (n - 1).bit_length(), 0)
