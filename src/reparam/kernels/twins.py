"""Which kernels have a Triton twin for CUDA tensors, and whether Triton is here to run it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType

LAWS = ("uniform", "normal")
DERIVATIVES = ("gamma_dx_da", "gamma_dlogx_da")


@functools.cache
def load(name: str) -> ModuleType | None:
    """A module of Triton kernels, or None where there is no Triton."""
    try:
        return importlib.import_module(f"reparam.kernels.{name}")
    except ImportError:
        return None


def served_by() -> str:
    """What serves CUDA tensors, and why.

    Example:
        >>> "reference" in served_by()
        True
    """
    if importlib.util.find_spec("triton") is None:
        return "reference, in torch operations (Triton is not installed)"
    return f"Triton for {', '.join((*LAWS, *DERIVATIVES))}; the reference, in torch operations, for the rest"
