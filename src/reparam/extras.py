"""Optional dependencies: what is missing, and the line that installs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reparam.errors import ReparamError

EXTRAS = {
    "plot": ("matplotlib",),
    "train": ("numpy", "safetensors", "pooch", "matplotlib", "tomli", "tomli_w", "lightning_fabric", "gymnasium"),
}


class MissingExtra(ReparamError, ImportError):
    """A call or a command needs packages that a plain install leaves out."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in this block may find a package of `extra` missing, and then raise `MissingExtra`.

    Example:
        >>> with needs("train"):
        ...     import numpy
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS[extra]:
            raise
        raise MissingExtra(
            "a package that this needs is not installed",
            received=f"no module named {package!r}",
            instead=f"pip install 'reparam[{extra}]'",
        ) from error
