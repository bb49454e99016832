"""Polynomials in two or three coordinates in Triton, from the generated tables that the C++ kernels have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import triton
import triton.language as tl

from reparam.kernels.chart import Chart


@triton.jit
def scaled(at, coordinate):
    """The coordinate in (-1, 1), by its middle and scale."""
    return (coordinate - tl.load(at)) * tl.load(at + 1)


@triton.jit
def layer_value(at, s, t, lengths: tl.constexpr, layers: tl.constexpr, layer: tl.constexpr):
    """The polynomial in s and t whose numbers begin at `at`, and where they end."""
    # The highest powers come first, as Horner's rule takes them.
    first: tl.constexpr = layers[2 * layer]
    total = s * 0.0
    for i in tl.static_range(tl.constexpr(layers[2 * layer + 1])):
        row = t * 0.0 + tl.load(at)
        for j in tl.static_range(1, tl.constexpr(lengths[first + i])):
            row = row * t + tl.load(at + j)
        total = total * s + row
        at += lengths[first + i]
    return total, at


class Packed(NamedTuple):
    """Charts, flat, as Triton takes tuples, the highest powers first.

    Attributes:
        starts: of each chart where its numbers stand, which layer is its first, and how many it has.
        layers: of each power of the first of three coordinates, which row is its first, and how many it has.
        lengths: of the rows.
        numbers: of each chart middle and scale of every coordinate, then its coefficients.
    """

    starts: tuple[tuple[int, int, int], ...]
    layers: tuple[int, ...]
    lengths: tuple[int, ...]
    numbers: tuple[float, ...]


def packed(charts: Sequence[Chart], dtype: str) -> Packed:
    """The charts for results of a dtype."""
    starts: list[tuple[int, int, int]] = []
    layers: list[int] = []
    lengths: list[int] = []
    numbers: list[float] = []
    for chart in charts:
        fit = chart.fits[dtype]
        starts.append((len(numbers), len(layers) // 2, len(fit.lengths)))
        for layer in reversed(fit.lengths):
            layers += len(lengths), len(layer)
            lengths += reversed(layer)
        for low, high in chart.box:
            numbers += (low + high) / 2, 2 / (high - low)
        numbers += reversed(fit.coefficients)
    return Packed(tuple(starts), tuple(layers), tuple(lengths), tuple(numbers))
