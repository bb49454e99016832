"""The IDX reader: what it reads back, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from idx_files import idx_bytes

from reparam.errors import DataError
from reparam.recipes.idx import parse_idx, read_idx

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_every_type_is_read_in_native_order(code, dtype):
    values = np.array([[-3, 0, 100], [1, 2, 3]]).astype(dtype)
    read = parse_idx(idx_bytes(values, code), "memory")
    assert read.dtype.isnative
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_gzip_is_told_by_content(tmp_path, compress):
    (tmp_path / "images").write_bytes(compress(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(tmp_path / "images"), IMAGES)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "not an IDX file", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "not an IDX file", id="another format"),
        pytest.param(bytes([0, 0, 0x0A, 1, 0, 0, 0, 0]), "not an IDX file", id="unknown type"),
        pytest.param(bytes([0, 0, 8, 0]), "not an IDX file", id="no dimensions"),
        pytest.param(idx_bytes(IMAGES)[:10], "not an IDX file", id="header cut"),
        pytest.param(idx_bytes(IMAGES)[:-1], "length", id="values cut"),
        pytest.param(idx_bytes(IMAGES) + b"x", "length", id="values appended"),
        pytest.param(struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "length", id="dimensions that overflow"),
        pytest.param(gzip.compress(idx_bytes(IMAGES))[:-12], "cut short or damaged", id="gzip cut"),
        pytest.param(gzip.compress(idx_bytes(IMAGES))[:14] + b"\xff" * 20, "cut short or damaged", id="gzip damaged"),
    ],
)
def test_damage_is_named(tmp_path, content, what):
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        read_idx(path)
    assert str(path) in caught.value.received
    assert caught.value.instead


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot read the file") as caught:
        read_idx(tmp_path / "nowhere")
    assert "nowhere" in caught.value.received
