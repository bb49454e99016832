"""Charts as Python: the tables that the Triton twins and the reference in torch operations evaluate."""

from __future__ import annotations

import itertools

from chebyshev import Box
from cpp_charts import Rows, number, wrapped

DTYPES = {"float32": "float", "float64": "double"}
HEAD = '''"""Made by tools/{maker}; do not edit. The charts of csrc/tables/{header}."""

# fmt: off
from __future__ import annotations

from math import inf

from reparam.kernels.chart import Chart, Fit

'''


def chart_entry(name: str, serves: tuple[float, float], box: Box, rows: dict[str, Rows], kinds: dict[str, str]) -> str:
    """One chart as an entry of a tuple; `kinds` is how the coefficients for each dtype are written."""
    fits = "".join(f"    {dtype!r}: {_fit(rows[DTYPES[dtype]], kind)},\n" for dtype, kind in kinds.items())
    return f"    Chart({name!r}, {serves}, {box.sides}, {{\n{fits}    }}),\n"


def _fit(rows: Rows, kind: str) -> str:
    layers = itertools.groupby(rows, key=lambda row: row[0][:-1])
    lengths = tuple(tuple(len(row) for _, row in layer) for _, layer in layers)
    coefficients = ", ".join(number(c, kind).rstrip("f") for _, row in rows for c in row)
    return f"Fit(\n{wrapped(str(lengths))}, (\n{wrapped(coefficients)}))"
