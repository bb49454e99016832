"""Data sets by name and by folder."""

from __future__ import annotations

import gzip
import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from idx_files import idx_bytes

from reparam.errors import DataError
from reparam.recipes import data
from reparam.recipes.data import PUBLISHED, load

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 6)).astype(np.uint8)
LABELS = np.arange(20, dtype=np.uint8)


@pytest.fixture
def mnist(monkeypatch, tmp_path) -> dict[str, bytes]:
    """A tiny `mnist` with checksums of its own, no copy of it on this machine, and no network."""
    files = dict(zip(PUBLISHED["mnist"].md5, map(idx_bytes, (IMAGES, LABELS, IMAGES[:5], LABELS[:5])), strict=True))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(PUBLISHED, "mnist", replace(PUBLISHED["mnist"], md5=md5))
    monkeypatch.setattr(data, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(pooch, "retrieve", no_network)
    return files


def no_network(url: str, *_args: object) -> str:
    raise ConnectionError(url)


def put(folder: Path, files: dict[str, bytes], *, compress: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if compress else name)).write_bytes(gzip.compress(content) if compress else content)
    return folder


def assert_is_tiny_mnist(dataset: data.Dataset) -> None:
    torch.testing.assert_close(dataset.train_images, torch.from_numpy(IMAGES).float() / 255)
    assert dataset.test_images.shape == (5, 4, 6)
    assert dataset.train_labels is not None
    assert dataset.train_labels.tolist() == LABELS.tolist()


def test_digits_are_all_there_and_credited():
    digits = load("digits")
    everything = torch.cat([digits.train_images, digits.test_images])
    assert everything.shape == (1797, 8, 8)
    assert everything.dtype == torch.float32
    assert (everything.min().item(), everything.max().item()) == (0.0, 1.0)
    assert round(16 * everything.double().sum().item()) == 561718
    assert digits.train_labels is not None
    assert digits.train_labels[:10].tolist() == list(range(10))
    assert "CC BY 4.0" in digits.attribution
    assert "Creative Commons Attribution 4.0" in (Path(data.__file__).parent / "digits/ATTRIBUTION.md").read_text()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match="unknown data set") as caught:
        load("imagenet")
    assert caught.value.received == "'imagenet'"
    assert all(name in caught.value.instead for name in ("digits", "fashion-mnist", "mnist", "folder"))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("place", ["root", "cache/reparam/mnist", "system/mnist"])
def test_published_files_are_found(mnist, tmp_path, place, compress):
    folder = put(tmp_path / place, mnist, compress=compress)
    assert_is_tiny_mnist(load("mnist", folder if place == "root" else None))


def test_explicit_folder_comes_first(mnist, tmp_path):
    put(tmp_path / "cache/reparam/mnist", dict.fromkeys(mnist, b"damaged"))
    assert_is_tiny_mnist(load("mnist", put(tmp_path / "root", mnist)))


def test_download_is_checked_and_kept(mnist, monkeypatch, tmp_path):
    def fetch(url: str, _hash: None, name: str, folder: str) -> str:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(mnist[name.removesuffix(".gz")]))
        return str(path)

    monkeypatch.setattr(pooch, "retrieve", fetch)
    assert_is_tiny_mnist(load("mnist"))
    monkeypatch.setattr(pooch, "retrieve", no_network)
    assert_is_tiny_mnist(load("mnist"))
    assert sorted(path.name for path in (tmp_path / "cache/reparam/mnist").iterdir()) == sorted(mnist)


def test_a_wrong_download_is_not_kept(mnist, monkeypatch, tmp_path):
    def fetch(_url: str, _hash: None, name: str, folder: str) -> str:
        path = Path(folder) / name
        path.write_bytes(b"<html>log in to this hotel's network</html>")
        return str(path)

    monkeypatch.setattr(pooch, "retrieve", fetch)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        load("mnist")
    assert "DataError" in caught.value.received
    assert not (tmp_path / "cache").exists()


def test_no_network_lists_the_ways(mnist, tmp_path):
    with pytest.raises(DataError, match="mnist is not on this machine") as caught:
        load("mnist")
    assert "ConnectionError" in caught.value.received
    assert all(way in caught.value.instead for way in (str(tmp_path / "cache"), "--data-root", "online", "digits"))


def test_file_of_another_set_is_refused(mnist, tmp_path):
    folder = put(tmp_path / "root", {**mnist, "train-labels-idx1-ubyte": mnist["t10k-labels-idx1-ubyte"]})
    with pytest.raises(DataError, match="is not the train-labels-idx1-ubyte of mnist") as caught:
        load("mnist", folder)
    assert "MD5" in caught.value.received


def test_missing_root_is_named(tmp_path):
    with pytest.raises(DataError, match="data folder does not exist"):
        load("mnist", tmp_path / "nowhere")


def test_folder_of_idx_files(tmp_path):
    files = {
        "train-images-idx3-ubyte": idx_bytes(IMAGES),
        "train-labels-idx1-ubyte": idx_bytes(LABELS),
        "t10k-images-idx3-ubyte": idx_bytes(IMAGES[:5]),
    }
    assert_is_tiny_mnist(load(str(put(tmp_path / "own", files, compress=True))))


@pytest.mark.parametrize(
    ("array", "expected", "shape"),
    [
        (IMAGES, IMAGES / 255, (4, 6)),
        (IMAGES / 255, IMAGES / 255, (4, 6)),
        (IMAGES > 127, (IMAGES > 127) * 1.0, (4, 6)),
        (IMAGES.reshape(20, 24), IMAGES.reshape(20, 1, 24) / 255, (1, 24)),
        (IMAGES[:, :, :4].reshape(20, 16), IMAGES[:, :, :4] / 255, (4, 4)),
    ],
)
def test_folder_with_one_npy_file_holds_out_the_last_tenth(tmp_path, array, expected, shape):
    np.save(tmp_path / "faces.npy", array)
    dataset = load(str(tmp_path))
    assert dataset.image_shape == shape
    expected = torch.from_numpy(np.asarray(expected, dtype=np.float32))
    torch.testing.assert_close(dataset.train_images, expected[:18])
    torch.testing.assert_close(dataset.test_images, expected[18:])


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("files", "what"),
    [
        pytest.param({}, "no training images", id="empty folder"),
        pytest.param({"test.npy": npy(IMAGES)}, "no training images", id="only test images"),
        pytest.param({"a.npy": npy(IMAGES), "b.npy": npy(IMAGES)}, "cannot tell which files", id="two candidates"),
        pytest.param({"a.npy": npy(IMAGES), "y.npy": npy(LABELS[:3])}, "cannot tell which", id="too few labels"),
        pytest.param({"a.npy": npy(IMAGES)[:-5]}, "cannot read the .npy file", id="cut short"),
        pytest.param({"a.npy": b""}, "cannot read the .npy file", id="no bytes"),
        pytest.param({"a.npy": b"PK\x03\x04"}, "cannot read the .npy file", id="an archive"),
        pytest.param({"a.npy": npy(np.array([None, 1]))}, "cannot read the .npy file", id="pickled objects"),
        pytest.param({"a.npy": npy(IMAGES.astype(np.float32))}, "neither bytes nor numbers", id="out of range"),
        pytest.param({"a.npy": npy(np.full((3, 2, 2), np.nan))}, "neither bytes nor numbers", id="NaN"),
        pytest.param({"a.npy": npy(IMAGES.astype(np.int64))}, "neither bytes nor numbers", id="wrong dtype"),
        pytest.param({"a.npy": npy(np.full((3, 2, 2), "x"))}, "neither bytes nor numbers", id="text"),
        pytest.param({"a.npy": npy(IMAGES), "y.npy": npy(LABELS / 2)}, "not whole numbers", id="labels of floats"),
        pytest.param({"a.npy": npy(np.zeros((2, 2, 2, 2)))}, "does not hold images", id="four dimensions"),
        pytest.param({"a.npy": npy(np.zeros((0, 2, 2)))}, "does not hold images", id="no images"),
        pytest.param({"a.npy": npy(IMAGES[:1])}, "do not fit together", id="nothing to hold out"),
        pytest.param({"a.npy": npy(IMAGES), "test.npy": npy(IMAGES[:, 1:])}, "do not fit together", id="two sizes"),
        pytest.param({"a-idx3-ubyte": idx_bytes(IMAGES)[:-1]}, "length", id="IDX cut short"),
    ],
)
def test_bad_folder(tmp_path, files, what):
    put(tmp_path, files)
    with pytest.raises(DataError, match=what) as caught:
        load(str(tmp_path))
    assert str(tmp_path) in caught.value.received
    assert caught.value.instead
