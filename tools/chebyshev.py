"""Chebyshev interpolation on a box in ball arithmetic, truncated and turned into rows of monomials.

A chart is a box in two or three coordinates and a smooth function on it. Its interpolant is computed in several hundred
bits, so that every coefficient rounds to the same double on every machine. A polynomial is an array of balls with one
axis for each coordinate.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from flint import arb, ctx, fmpz_poly

Point = Callable[..., arb]
Balls: TypeAlias = "np.ndarray[Any, np.dtype[np.object_]]"
Lengths: TypeAlias = "np.ndarray[Any, np.dtype[np.int_]]"
_BITS = 200


@dataclasses.dataclass(frozen=True)
class Box:
    """An interval for each coordinate, and the number of Chebyshev nodes along it."""

    sides: tuple[tuple[float, float], ...]
    nodes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Staircase:
    """A polynomial of which row (i, ...) keeps only its first `lengths[i, ...]` coefficients."""

    coefficients: Balls
    lengths: Lengths

    def rows(self) -> Iterator[tuple[tuple[int, ...], Balls]]:
        """The rows that keep anything, in order, each with its place along the other axes."""
        for place in itertools.product(*map(range, self.lengths.shape)):
            if self.lengths[place]:
                yield place, self.coefficients[place][: self.lengths[place]]


def interpolate(function: Point, box: Box) -> tuple[Balls, float]:
    """Coefficients of products of `T_k`, and the least absolute value of the function at the nodes."""
    ctx.prec = _BITS
    axes = [_nodes(side, n) for side, n in zip(box.sides, box.nodes, strict=True)]
    values = np.empty(box.nodes, dtype=object)
    for place in itertools.product(*map(range, box.nodes)):
        values[place] = function(*(axis[k] for axis, k in zip(axes, place, strict=True)))
    ctx.prec = _BITS
    least = min(abs(float(v)) for v in values.flat)
    return _along_every_axis([_transform(n) for n in box.nodes], values), least


def truncated(coefficients: Balls, budget: float) -> Staircase:
    """Without the smallest coefficients, `budget` together; a row is no longer than those before it."""
    sizes = np.abs(coefficients.astype(float))
    spent, floor = 0.0, 0.0
    for size in sorted(sizes.flat):
        spent += size
        if spent > budget:
            break
        floor = size
    ends = np.where(sizes > floor, np.arange(1, sizes.shape[-1] + 1), 0).max(-1)
    for axis in range(ends.ndim):
        ends = np.flip(np.maximum.accumulate(np.flip(ends, axis), axis), axis)
    kept = coefficients.copy()
    kept[np.arange(sizes.shape[-1]) >= ends[..., None]] = arb(0)
    return Staircase(kept, ends)


def monomials(chart: Staircase) -> Iterator[tuple[tuple[int, ...], list[float]]]:
    """The rows of the same polynomial in powers of the box's coordinates, each coefficient rounded once."""
    ctx.prec = _BITS
    in_powers = _along_every_axis([_powers(n) for n in chart.coefficients.shape], chart.coefficients)
    for place, row in Staircase(in_powers, chart.lengths).rows():
        yield place, [float(c.mid()) for c in row]


def _along_every_axis(matrices: list[Balls], values: Balls) -> Balls:
    for axis, matrix in enumerate(matrices):
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return values


def _nodes(side: tuple[float, float], n: int) -> list[arb]:
    middle, half = (arb(side[0]) + arb(side[1])) / 2, (arb(side[1]) - arb(side[0])) / 2
    # Exact numbers, which keep their meaning when the precision is raised.
    return [(middle + half * c).mid() for c in _cosines(n)]


def _cosines(n: int) -> list[arb]:
    return [((2 * k + 1) * arb.pi() / (2 * n)).cos() for k in range(n)]


def _transform(n: int) -> Balls:
    """The discrete cosine transform, from values at the nodes to coefficients of `T_k`."""
    angles = [(j * arb.pi() / (2 * n)).cos() for j in range(4 * n)]
    return _square(n, lambda k, i: angles[k * (2 * i + 1) % (4 * n)] * (2 if k else 1) / n)


def _powers(n: int) -> Balls:
    """Coefficients of `T_k` into coefficients of powers."""
    columns = [fmpz_poly.chebyshev_t(k) for k in range(n)]
    return _square(n, lambda power, k: arb(columns[k][power]))


def _square(n: int, entry: Callable[[int, int], arb]) -> Balls:
    matrix = np.empty((n, n), dtype=object)
    for place in itertools.product(range(n), repeat=2):
        matrix[place] = entry(*place)
    return matrix
