"""The native extension where there is one, and which of its instruction sets serves.

The environment variable REPARAM_KERNELS, read once at import, forces a path: `reference`, or one of the instruction
sets that this processor has (`sse2`, `avx2`, `avx512`, `neon`). `auto`, the default, takes the widest.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from reparam.errors import InvalidArgument

VARIABLE = "REPARAM_KERNELS"
INSTRUCTION_SETS = ("sse2", "avx2", "avx512", "neon")


def load(wanted: str) -> tuple[ModuleType | None, str]:
    """The extension with an instruction set chosen, or None for the reference; and why, in a few words.

    Errors:
        `InvalidArgument` where `wanted` is no path, or one that this installation or processor has not.
    """
    if wanted not in ("auto", "reference", *INSTRUCTION_SETS):
        raise InvalidArgument(
            f"{VARIABLE} names no path",
            received=f"{VARIABLE}={wanted}",
            instead=f"{VARIABLE}=auto, reference, {', '.join(INSTRUCTION_SETS[:-1])} or {INSTRUCTION_SETS[-1]}",
        )
    if wanted == "reference":
        return None, f"{VARIABLE}=reference"
    try:
        extension = importlib.import_module("reparam.kernels._native")
    except ImportError as error:
        return _without_extension(wanted, error)
    available = extension.available()
    if wanted == "auto":
        return extension, f"the widest of {', '.join(available)}, which this processor has"
    if wanted not in available:
        raise InvalidArgument(
            f"{VARIABLE} asks for an instruction set that this processor or this build has not",
            received=f"{VARIABLE}={wanted}",
            instead=f"{VARIABLE}=auto, or one of {', '.join(available)}",
        )
    extension.select(wanted)
    return extension, f"{VARIABLE}={wanted}"


def _without_extension(wanted: str, error: ImportError) -> tuple[None, str]:
    missing = isinstance(error, ModuleNotFoundError)
    why = "installed without a C++ compiler" if missing else f"the extension does not load: {error}"
    if wanted != "auto":
        raise InvalidArgument(
            f"{VARIABLE} asks for native kernels, and there are none here ({why})",
            received=f"{VARIABLE}={wanted}",
            instead=f"{VARIABLE}=auto, or install reparam again where a C++20 compiler is",
        ) from error
    return None, why


native, _why = load(os.environ.get(VARIABLE, "auto"))


def served_by() -> str:
    """Which path serves functions that have a kernel, and why.

    Example:
        >>> served_by().split()[0] in ("reference", *INSTRUCTION_SETS)
        True
    """
    if native is None:
        return f"reference, in torch operations ({_why})"
    threads = "" if native.has_threads() else "; built without OpenMP, so one thread"
    return f"{native.active()} ({_why}){threads}"
