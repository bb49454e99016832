"""Tests that need the native kernels, and a block in which one instruction set of them serves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from reparam.kernels import native

NATIVE: Any = native
INSTRUCTION_SETS: list[str] = [] if native is None else native.available()
needs_kernels = pytest.mark.skipif(native is None, reason="this installation has no native kernels")


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """One instruction set for a block."""
    before = NATIVE.active()
    NATIVE.select(name)
    try:
        yield
    finally:
        NATIVE.select(before)
