"""What a generated table holds: polynomials in two or three coordinates, each fitted on a box."""

from __future__ import annotations

from typing import NamedTuple


class Fit(NamedTuple):
    """Coefficients of `p(r, s, t) = sum_i r^i sum_j s^j sum_k c_ijk t^k`, in powers of coordinates scaled to (-1, 1).

    Attributes:
        lengths: of the rows in t; for each power of r (in two coordinates there is one), one for each power of s.
        coefficients: row after row.
    """

    lengths: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]


class Chart(NamedTuple):
    """A function on a box, and where it is used.

    Attributes:
        name: that of the struct in C++.
        serves: the concentrations, from and up to but without; within these the last coordinate alone decides.
        box: the range of each coordinate.
        fits: for results of each dtype.
    """

    name: str
    serves: tuple[float, float]
    box: tuple[tuple[float, float], ...]
    fits: dict[str, Fit]
