"""Gauss-Legendre rules for the kernels' quadratures, on (0, 1), in ball arithmetic: `csrc/tables/legendre.hpp`.

python tools/legendre_tables.py
"""

from __future__ import annotations

import pathlib
import textwrap

from flint import arb, ctx

HEADER = pathlib.Path(__file__).resolve().parent.parent / "csrc" / "tables" / "legendre.hpp"
SIZES = (40, 56)


def rule(n: int) -> tuple[list[float], list[float]]:
    """Nodes in increasing order and weights."""
    ctx.prec = 120
    pairs = [arb.legendre_p_root(n, k, weight=True) for k in reversed(range(n))]
    return [float(((1 + node) / 2).mid()) for node, _ in pairs], [float((weight / 2).mid()) for _, weight in pairs]


def _array(name: str, n: int, values: list[float]) -> str:
    body = textwrap.fill(", ".join(map(repr, values)), 120, initial_indent="    ", subsequent_indent="    ")
    return f"  static constexpr double {name}[{n}] = {{\n{body}}};\n"


def header() -> str:
    """The C++ file."""
    rules = "".join(
        f"\ntemplate <> struct Legendre<{n}> {{\n"
        + "".join(_array(name, n, values) for name, values in zip(("NODES", "WEIGHTS"), rule(n), strict=True))
        + "};\n"
        for n in SIZES
    )
    return (
        "// Made by tools/legendre_tables.py; do not edit.\n#pragma once\n\nnamespace reparam {\n\n"
        f"template <int N> struct Legendre;\n{rules}\n}}  // namespace reparam\n"
    )


if __name__ == "__main__":
    HEADER.write_text(header())
