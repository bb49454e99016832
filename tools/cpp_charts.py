"""Charts as C++: the structs that csrc/chart.hpp evaluates."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable
from typing import TypeAlias

from chebyshev import Balls, Box, monomials, truncated

KINDS = ("double", "float")
_AXES = "RST"  # the last is the one along a row


Rows: TypeAlias = list[tuple[tuple[int, ...], list[float]]]


def fits(coefficients: Balls, budgets: dict[str, float]) -> dict[str, Rows]:
    """The rows for each type; a budget is what truncation may cost."""
    return {kind: list(monomials(truncated(coefficients, budgets[kind]))) for kind in KINDS}


def chart_header(name: str, box: Box, rows: dict[str, Rows], *, wide: bool = False) -> str:
    """One chart as a struct template, specialised for double and float.

    Where `wide`, the one for float results is evaluated in double as well.
    """
    structs = (_struct(f"{name}<{kind}>", "double" if wide else kind, box, rows[kind]) for kind in KINDS)
    return f"template <class T> struct {name};\n" + "".join(structs)


def _struct(name: str, kind: str, box: Box, rows: Rows) -> str:
    place = ", ".join(
        f"{axis}_MIDDLE = {number(sum(side) / 2, kind)}, {axis}_SCALE = {number(2 / (side[1] - side[0]), kind)}"
        for axis, side in zip(_AXES[-len(box.sides) :], box.sides, strict=True)
    )
    layers = itertools.groupby(rows, key=lambda row: row[0][:-1])
    heights = f"  static constexpr int LAYERS[] = {{{_listed(len(list(layer)) for _, layer in layers)}}};\n"
    return (
        f"template <> struct {name} {{\n"
        f"  static constexpr {kind} {place};\n"
        + (heights if len(box.sides) == 3 else "")
        + f"  static constexpr int LENGTHS[] = {{{_listed(len(row) for _, row in rows)}}};\n"
        f"  static constexpr {kind} COEFFICIENTS[] = {{\n"
        f"{wrapped(', '.join(number(c, kind) for _, row in rows for c in row))}}};\n}};\n"
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def number(value: float, kind: str) -> str:
    """A literal that reads back as the same number of its type."""
    return f"{value:.9e}f" if kind == "float" else repr(value)


def wrapped(numbers: str) -> str:
    """Indented lines of it."""
    return textwrap.fill(numbers, 120, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
