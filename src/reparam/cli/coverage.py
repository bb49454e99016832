"""`reparam coverage`: which gradient each distribution's samples carry."""

from __future__ import annotations

import tyro
from rich.console import Console
from rich.table import Table

import reparam as rp


def run(words: list[str]) -> None:
    """Print the coverage table, whole or for the names that contain a word."""
    tyro.cli(_table, prog="reparam coverage", args=words)


def _table(name: tyro.conf.Positional[str] = "") -> None:
    """Every distribution, the kind of gradient its samples carry, to which parameters, and from which paper.

    Args:
        name: show only the distributions whose name contains this, in any case.
    """
    table = Table("distribution", "kind", "gradient to", "reference", box=None, header_style="bold", pad_edge=False)
    for row in rp.coverage():
        if name.lower() in row.distribution.__name__.lower():
            table.add_row(row.distribution.__name__, row.kind, ", ".join(row.parameters), row.reference)
    Console(highlight=False).print(table)
