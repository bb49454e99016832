"""IDX, the file format of MNIST and its relatives: a magic number, the dimensions, the values."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from reparam.errors import DataError

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """The content of a file, decompressed if it is gzip (told by its first bytes, not by its name).

    Raises:
        DataError: the file is missing, unreadable, or its compressed stream is cut short or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            "cannot read the file", received=f"{path} ({error.strerror})", instead="give a readable file"
        ) from error
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            "the gzip file is cut short or damaged",
            received=f"{path}, {len(content)} bytes ({error})",
            instead="fetch the file again; the name may stay as it is",
        ) from error


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """The array stored in the bytes of an IDX file.

    An IDX file is two zero bytes, one byte for the type, one for the number of dimensions d, then d big-endian
    32-bit sizes, then the values in C order.

    Args:
        content: the whole file, decompressed.
        source: where the bytes come from, for the error message.

    Returns:
        An array in native byte order, of the shape and type the file declares.

    Raises:
        DataError: the magic number, type, sizes and length do not fit together.

    References:
        LeCun, Cortes, Burges (1998), The MNIST database of handwritten digits.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), "an example")
        array([7, 8, 9], dtype=uint8)
    """
    dims = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dims
    if content[:2] != b"\0\0" or dims == 0 or content[2] not in IDX_DTYPES or len(content) < header:
        raise DataError(
            "not an IDX file",
            received=f"{source}, which begins with {content[:4].hex(' ') or 'nothing'}",
            instead="an IDX file begins with 00 00, a type (08 for bytes) and the number of dimensions (03 for images)",
        )
    shape = np.frombuffer(content, ">u4", dims, offset=4).tolist()
    dtype = np.dtype(IDX_DTYPES[content[2]])
    declared = header + math.prod(shape) * dtype.itemsize
    if len(content) != declared:
        raise DataError(
            "the IDX file does not have the length that its header declares",
            received=f"{source}: {len(content)} bytes, header {tuple(shape)} of {dtype.name} means {declared}",
            instead="fetch the file again: it is cut short, or something was appended",
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def read_idx(path: Path) -> np.ndarray:
    """The array stored in an IDX file, gzipped or plain; see `parse_idx`."""
    return parse_idx(read_bytes(path), str(path))
