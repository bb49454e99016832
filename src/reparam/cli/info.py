"""`reparam info`: versions, and what this installation can use."""

from __future__ import annotations

import tyro

import reparam as rp


def run(words: list[str]) -> None:
    """Print what `rp.info()` found."""
    tyro.cli(_print, prog="reparam info", args=words)


def _print() -> None:
    """The versions of reparam and of what it stands on, and what this installation can use."""
    print(rp.info())
