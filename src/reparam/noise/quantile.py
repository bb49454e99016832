"""Base noise as quantiles: from integers that are uniform over `2**width` cells to the three standard laws.

One integer makes one number, increasing in the integer, and the reflected integer makes the mirrored number.
That is what quasi-Monte Carlo points and antithetic pairs need, and what a rejection sampler or Box-Muller
would spoil.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.errors import InvalidArgument

# What noise can be made in.
FLOATS = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))


class QuantileStream(abc.ABC):
    """A source that makes integers uniform over cells; the quantile functions here do the rest."""

    @abc.abstractmethod
    def cells(self, shape: Sequence[int], width: int, device: torch.device) -> Tensor:
        """Integers (int64) in `[0, 2**width)`, `width` being 32 or 53; each call is a new piece of noise."""

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal noise by the inverse distribution function."""
        return normal_quantile(self.cells(shape, width_of(dtype), device), dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform noise in the open interval (0, 1)."""
        return uniform_quantile(self.cells(shape, width_of(dtype), device), dtype)

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard exponential noise, `-log(1 - u)`: small values keep their digits, as large ones do."""
        return exponential_quantile(self.cells(shape, width_of(dtype), device), dtype)


def require_float(dtype: torch.dtype) -> None:
    """Raise `InvalidArgument` for a dtype that noise cannot be made in."""
    if dtype not in FLOATS:
        raise InvalidArgument(
            "noise is made in float16, bfloat16, float32 and float64",
            received=f"dtype = {dtype}",
            instead="one of these, for the parameters of the distribution",
        )


def width_of(dtype: torch.dtype) -> int:
    """How many bits number the cells that this dtype is made from."""
    require_float(dtype)
    return 53 if dtype == torch.float64 else 32


def normal_quantile(cells: Tensor, dtype: torch.dtype) -> Tensor:
    """The standard normal quantile at the middle of each cell."""
    p, upper = _tails(cells, dtype)
    x = torch.special.ndtri(p)
    return torch.where(upper, -x, x).to(dtype)


def uniform_quantile(cells: Tensor, dtype: torch.dtype) -> Tensor:
    """The middle of each cell of the unit interval."""
    p, upper = _tails(cells, dtype)
    return into_open_interval(torch.where(upper, 1 - p, p).to(dtype))


def exponential_quantile(cells: Tensor, dtype: torch.dtype) -> Tensor:
    """The standard exponential quantile at the middle of each cell."""
    p, upper = _tails(cells, dtype)
    e = -torch.where(upper, p.log(), torch.log1p(-p)).to(dtype)
    # Of the dtypes torch has, only float16 is too narrow for the smallest value, 2**-33.
    return e.clamp(min=torch.finfo(dtype).tiny) if dtype == torch.float16 else e


def _tails(cells: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # The probability of the nearer tail, at the middle of the cell, so that neither tail loses digits.
    width = width_of(dtype)
    upper = cells >= 1 << (width - 1)
    nearer = torch.where(upper, (1 << width) - 1 - cells, cells)
    return (nearer.to(_compute_dtype(dtype)) + 0.5) * 2.0**-width, upper


def into_open_interval(u: Tensor) -> Tensor:
    """Uniform noise within the bounds every source keeps: `u - 1/2` and `1 - u` then round to nothing singular."""
    eps = torch.finfo(u.dtype).eps
    return u.clamp(eps / 4, 1 - eps / 2)


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
