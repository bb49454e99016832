"""Gauss-Legendre rules for the quadratures of the kernels and of their Triton twins, on (0, 1), in ball arithmetic.

python tools/legendre_tables.py
"""

from __future__ import annotations

import pathlib

from cpp_charts import wrapped
from flint import arb, ctx

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "csrc" / "tables" / "legendre.hpp"
PYTHON_TABLE = ROOT / "src" / "reparam" / "kernels" / "legendre_table.py"
SIZES = (40, 56)


def rule(n: int) -> tuple[list[float], list[float]]:
    """Nodes in increasing order and weights."""
    ctx.prec = 120
    pairs = [arb.legendre_p_root(n, k, weight=True) for k in reversed(range(n))]
    return [float(((1 + node) / 2).mid()) for node, _ in pairs], [float((weight / 2).mid()) for _, weight in pairs]


def _array(name: str, n: int, values: list[float]) -> str:
    return f"  static constexpr double {name}[{n}] = {{\n{wrapped(', '.join(map(repr, values)))}}};\n"


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


def python_table() -> str:
    """The Python file."""
    rules = "".join(
        f"    {n}: (\n    ({wrapped(', '.join(map(repr, nodes))).strip()}),\n"
        f"    ({wrapped(', '.join(map(repr, weights))).strip()})),\n"
        for n, (nodes, weights) in ((n, rule(n)) for n in SIZES)
    )
    return f"{PYTHON_HEAD}RULES = {{\n{rules}}}\n"


PYTHON_HEAD = '''"""Made by tools/legendre_tables.py; do not edit. Gauss-Legendre rules on (0, 1)."""

# fmt: off
'''


if __name__ == "__main__":
    HEADER.write_text(header())
    PYTHON_TABLE.write_text(python_table())
