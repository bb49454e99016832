"""`reparam info`: versions, and what this installation can use."""

from __future__ import annotations

import tyro
from rich.console import Console
from rich.table import Table

import reparam as rp


def run(words: list[str]) -> None:
    """Print what `rp.info()` found."""
    tyro.cli(_print, prog="reparam info", args=words)


def _print() -> None:
    """The versions of reparam and of what it stands on, and what this installation can use."""
    table = Table.grid(padding=(0, 2))
    for name, value in rp.info().items():
        table.add_row(name, str(value))
    Console(highlight=False).print(table, markup=False)
