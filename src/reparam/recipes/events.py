"""TensorBoard's event files, written without TensorBoard: figures by step, for whoever has it installed.

A file is a sequence of records; a record is its length, a checksum of that, a protocol buffer, and a checksum of it.
The references are TFRecord's format and the `Event` and `Summary` messages of TensorFlow.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_CASTAGNOLI = 0x82F63B78


def _table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [word >> 1 ^ (_CASTAGNOLI if word & 1 else 0) for word in table]
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check of RFC 3720.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    word = 0xFFFFFFFF
    for byte in data:
        word = _TABLE[(word ^ byte) & 0xFF] ^ word >> 8
    return word ^ 0xFFFFFFFF


class Events:
    """One event file in a folder, begun with the first line that is written.

    Args:
        folder: where the file goes; TensorBoard joins the files of one folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the figures of one step."""
        values = b"".join(
            _bytes(1, _bytes(1, name.encode()) + _float(2, float(value))) for name, value in figures.items()
        )
        records = [] if self._path.exists() else [_double(1, time.time()) + _bytes(3, b"brain.Event:2")]
        records.append(_double(1, time.time()) + _varint(2 << 3) + _varint(step) + _bytes(5, values))
        with self._path.open("ab") as file:
            file.write(b"".join(_record(message) for message in records))


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def _checksum(data: bytes) -> bytes:
    word = crc32c(data)
    return struct.pack("<I", ((word >> 15 | word << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
