"""The global random streams of torch, NumPy and Python: seeded for a run, kept in its checkpoints, given back after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """In this block the global streams start from the seed; afterwards they continue where they were before.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded(3):
        ...     first = torch.rand(2), random.random()
        >>> with seeded(3):
        ...     second = torch.rand(2), random.random()
        >>> bool((first[0] == second[0]).all()), first[1] == second[1], torch.equal(before, torch.get_rng_state())
        (True, True, True)
    """
    outside = captured()
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global stream is what an environment may draw from
    random.seed(seed)
    try:
        yield
    finally:
        restore(outside)


def captured() -> dict[str, Any]:
    """Where the streams stand, in tensors and plain values."""
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": numpy_state, "python": random.getstate()}


def restore(streams: dict[str, Any]) -> None:
    """Put the streams back where they stood; those of GPUs as far as there are as many here."""
    torch.set_rng_state(streams["torch"])
    if torch.cuda.is_available() and len(streams["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(streams["cuda"])
    state = streams["numpy"]
    key = state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**state, "state": {**state["state"], "key": key}})  # noqa: NPY002
    version, words, gauss = streams["python"]
    random.setstate((version, tuple(words), gauss))
