"""Bivariate Chebyshev interpolation in ball arithmetic, truncated and turned into rows of monomials.

A chart is a box in two coordinates and a smooth function on it. Its interpolant is computed in several hundred bits, so
that every coefficient rounds to the same double on every machine.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

from flint import arb, ctx, fmpz_poly

Point = Callable[[arb, arb], arb]
Matrix = list[list[arb]]
_BITS = 200


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle, and the number of Chebyshev nodes along each side."""

    s: tuple[float, float]
    t: tuple[float, float]
    nodes: tuple[int, int]


def interpolate(function: Point, box: Box) -> tuple[Matrix, float]:
    """Coefficients of `T_i(s) T_j(t)`, and the least absolute value of the function at the nodes."""
    ctx.prec = _BITS
    axes = [_nodes(side, n) for side, n in zip((box.s, box.t), box.nodes, strict=True)]
    values = [[function(s, t) for t in axes[1]] for s in axes[0]]
    ctx.prec = _BITS
    along_t = [_transform(row) for row in values]
    columns = [_transform(column) for column in zip(*along_t, strict=True)]
    least = min(abs(float(v)) for row in values for v in row)
    return [list(row) for row in zip(*columns, strict=True)], least


def truncated(coefficients: Matrix, budget: float) -> Matrix:
    """Rows of a staircase: the smallest coefficients, `budget` together, are left out."""
    sizes = [[abs(float(c)) for c in row] for row in coefficients]
    spent, floor = 0.0, 0.0
    for size in sorted(itertools.chain(*sizes)):
        spent += size
        if spent > budget:
            break
        floor = size
    lengths = [max((j + 1 for j, size in enumerate(row) if size > floor), default=0) for row in sizes]
    staircase = [max(lengths[i:]) for i in range(len(lengths))]
    return [row[:n] for row, n in zip(coefficients, staircase, strict=True) if n]


def monomials(coefficients: Matrix) -> list[list[float]]:
    """The same polynomial in powers of both coordinates of the box, each coefficient rounded once."""
    ctx.prec = _BITS
    width = len(coefficients[0])
    padded = [row + [arb(0)] * (width - len(row)) for row in coefficients]
    in_t = [_powers(row) for row in padded]
    in_both = zip(*(_powers(column) for column in zip(*in_t, strict=True)), strict=True)
    return [[float(c.mid()) for c in row[: len(kept)]] for row, kept in zip(in_both, coefficients, strict=True)]


def _nodes(side: tuple[float, float], n: int) -> list[arb]:
    middle, half = (arb(side[0]) + arb(side[1])) / 2, (arb(side[1]) - arb(side[0])) / 2
    # Exact numbers, which keep their meaning when the precision is raised.
    return [(middle + half * c).mid() for c in _cosines(n)]


def _cosines(n: int) -> list[arb]:
    return [((2 * k + 1) * arb.pi() / (2 * n)).cos() for k in range(n)]


def _transform(values: Sequence[arb]) -> list[arb]:
    """The discrete cosine transform, from values at the nodes to coefficients of `T_k`."""
    n = len(values)
    angles = [(j * arb.pi() / (2 * n)).cos() for j in range(4 * n)]
    sums = [sum((v * angles[k * (2 * i + 1) % (4 * n)] for i, v in enumerate(values)), arb(0)) for k in range(n)]
    return [sums[0] / n] + [2 * c / n for c in sums[1:]]


def _powers(coefficients: Sequence[arb]) -> list[arb]:
    """Coefficients of `T_k` into coefficients of powers."""
    result = [arb(0)] * len(coefficients)
    for k, c in enumerate(coefficients):
        for power, integer in enumerate(fmpz_poly.chebyshev_t(k).coeffs()):
            result[power] = result[power] + c * arb(integer)
    return result
