"""IDX files written for tests."""

from __future__ import annotations

import struct

import numpy as np


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()
