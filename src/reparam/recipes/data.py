"""Image data sets by name: `digits` is embedded, `fashion-mnist` and `mnist` are searched, then fetched.

The published sets are looked for in an explicit folder, the user's cache and the system folder, in this order, and
downloaded only when none of them has the files. Every byte of a published set is checked against its MD5.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import torch
from torch import Tensor

from reparam.errors import DataError
from reparam.recipes.files import replacing
from reparam.recipes.idx import parse_idx, read_bytes, read_idx

SYSTEM_FOLDER = Path("/usr/share/datasets")
DIGITS_TRAINING_IMAGES = 1500


@dataclass(frozen=True)
class Dataset:
    """Images in [0, 1], split into a training and a test part.

    Args:
        name: how it was asked for.
        train_images: float32, shape (images, height, width).
        test_images: float32, shape (images, height, width), never trained on.
        train_labels: int64, shape (images,), or None where the source has none.
        test_labels: int64, shape (images,), or None where the source has none.
        attribution: whom to credit, and the licence.
    """

    name: str
    train_images: Tensor
    test_images: Tensor
    train_labels: Tensor | None
    test_labels: Tensor | None
    attribution: str

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of one image."""
        height, width = self.train_images.shape[1:]
        return height, width


@dataclass(frozen=True)
class Published:
    """Where the four IDX files of a published set come from, with the MD5 of their decompressed bytes."""

    mirrors: tuple[str, ...]
    md5: dict[str, str]
    attribution: str


PUBLISHED = {
    "fashion-mnist": Published(
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
        md5={
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        attribution="Fashion-MNIST, H. Xiao, K. Rasul, R. Vollgraf (2017), Zalando SE, MIT licence",
    ),
    "mnist": Published(
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
        md5={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        attribution="MNIST, Y. LeCun, C. Cortes, C. J. C. Burges (1998), CC BY-SA 3.0",
    ),
}


def load(name: str, root: str | Path | None = None) -> Dataset:
    """The data set of that name, or the images in that folder.

    Args:
        name: `digits` (UCI, 8 x 8, embedded in the package), `fashion-mnist`, `mnist`, or the path of a folder.
            A folder holds IDX files (`idx` in the name, gzipped or plain) or `.npy` files. An array of one
            dimension is labels; of two, flat images; of three, images. A file with `test` or `t10k` in its name
            belongs to the test part; without such a file the last tenth of the images is held out. Pixels are
            bytes, booleans, or floats in [0, 1].
        root: the folder where the files of a published set are looked for first.

    Returns:
        The `Dataset`. The split is fixed: published sets have their own, and the digits keep their first 1,500
        images for training and the last 297 for testing (they are stored in the order of their writers, so the
        test asks about hands that were mostly not seen).

    Raises:
        DataError: the name is unknown, a file is missing and cannot be fetched, or a file is damaged.

    References:
        Alpaydin, Kaynak (1998), Cascading classifiers, Kybernetika; Xiao, Rasul, Vollgraf (2017), Fashion-MNIST,
        arXiv:1708.07747; LeCun, Cortes, Burges (1998), The MNIST database.

    Example:
        >>> digits = load("digits")
        >>> digits.train_images.shape, digits.test_images.shape
        (torch.Size([1500, 8, 8]), torch.Size([297, 8, 8]))
    """
    if name == "digits":
        return _digits()
    if name in PUBLISHED:
        return _published(name, None if root is None else _existing_folder(Path(root)))
    if Path(name).expanduser().is_dir():
        return _from_folder(Path(name).expanduser())
    raise DataError(
        "unknown data set",
        received=repr(name),
        instead=f"one of {', '.join(['digits', *PUBLISHED])}, or the path of a folder of IDX or .npy files",
    )


def _digits() -> Dataset:
    with gzip.open(Path(__file__).parent / "digits" / "digits.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images = torch.from_numpy(table[:, :-1].reshape(-1, 8, 8)).float() / 16
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    n = DIGITS_TRAINING_IMAGES
    credit = "Optical Recognition of Handwritten Digits, E. Alpaydin, C. Kaynak (1998), UCI, CC BY 4.0"
    return Dataset("digits", images[:n], images[n:], labels[:n], labels[n:], credit)


def _existing_folder(folder: Path) -> Path:
    if folder.expanduser().is_dir():
        return folder.expanduser()
    raise DataError(
        "the data folder does not exist",
        received=str(folder),
        instead="give the folder that holds the IDX files",
    )


def _published(name: str, root: Path | None) -> Dataset:
    arrays = {file: parse_idx(_published_bytes(name, file, root), file) for file in PUBLISHED[name].md5}
    train_images, train_labels, test_images, test_labels = arrays.values()
    return Dataset(
        name,
        torch.from_numpy(train_images).float() / 255,
        torch.from_numpy(test_images).float() / 255,
        torch.from_numpy(train_labels).long(),
        torch.from_numpy(test_labels).long(),
        PUBLISHED[name].attribution,
    )


def _published_bytes(name: str, file: str, root: Path | None) -> bytes:
    cache = Path(pooch.os_cache("reparam")) / name
    for folder in filter(None, (root, cache, SYSTEM_FOLDER / name)):
        for path in (folder / file, folder / f"{file}.gz"):
            if path.is_file():
                return _verified(read_bytes(path), name, file, str(path))
    return _download(name, file, cache)


def _verified(content: bytes, name: str, file: str, source: str) -> bytes:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != PUBLISHED[name].md5[file]:
        raise DataError(
            f"the file is not the {file} of {name}",
            received=f"{source}, MD5 {md5} (decompressed)",
            instead=f"fetch it again (MD5 {PUBLISHED[name].md5[file]}), or name the folder as data of your own",
        )
    return content


def _download(name: str, file: str, cache: Path) -> bytes:
    pooch.get_logger().setLevel("WARNING")
    failures = []
    for mirror in PUBLISHED[name].mirrors:
        url = f"{mirror}/{file}.gz"
        try:
            with tempfile.TemporaryDirectory() as folder:
                fetched = Path(pooch.retrieve(url, None, f"{file}.gz", folder))
                content = _verified(read_bytes(fetched), name, file, url)
            cache.mkdir(parents=True, exist_ok=True)
            with replacing(cache / file) as temporary:
                temporary.write_bytes(content)
            return content
        except (OSError, ValueError) as error:  # requests raises both kinds, and DataError is an OSError
            failures.append(f"{url} ({type(error).__name__})")
    raise DataError(
        f"the data set {name} is not on this machine and could not be downloaded",
        received=f"no {file} or {file}.gz in {cache} or {SYSTEM_FOLDER / name}; tried {', '.join(failures)}",
        instead=f"{_system_package(name)}put its four IDX files (gzipped or plain) into {cache}, "
        "give the folder that holds them as --data-root, go online, or train on --data digits",
    )


def _system_package(name: str) -> str:
    return "apt install dataset-fashion-mnist (Debian), " if name == "fashion-mnist" else ""


def _from_folder(folder: Path) -> Dataset:
    files = [path for path in sorted(folder.iterdir()) if path.suffix == ".npy" or "idx" in path.name]
    arrays = {path: _read_npy(path) if path.suffix == ".npy" else read_idx(path) for path in files}
    train_images, train_labels = _part(folder, arrays, test=False)
    test_images, test_labels = _part(folder, arrays, test=True)
    if train_images is None:
        raise DataError(
            "the folder has no training images",
            received=f"{folder} with {', '.join(path.name for path in files) or 'no IDX or .npy file'}",
            instead="put an IDX or .npy file of shape (images, height, width) there, without 'test' in its name",
        )
    if test_images is None:
        held_out = math.ceil(len(train_images) / 10)
        train_images, test_images = train_images[:-held_out], train_images[-held_out:]
        if train_labels is not None:
            train_labels, test_labels = train_labels[:-held_out], train_labels[-held_out:]
    if len(train_images) == 0 or train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            "training and test images do not fit together",
            received=f"{folder}: training {tuple(train_images.shape)}, test {tuple(test_images.shape)}",
            instead="give at least two images, all of one height and width",
        )
    return Dataset(str(folder), train_images, test_images, train_labels, test_labels, f"files in {folder}")


def _part(folder: Path, arrays: dict[Path, np.ndarray], *, test: bool) -> tuple[Tensor | None, Tensor | None]:
    """The images and the labels of the training or of the test part, None where there are none."""
    mine = {p: a for p, a in arrays.items() if any(word in p.name.lower() for word in ("test", "t10k")) == test}
    images = [_as_images(array, path) for path, array in mine.items() if array.ndim != 1]
    labels = [_as_labels(array, path) for path, array in mine.items() if array.ndim == 1]
    if len(images) > 1 or len(labels) > 1 or (images and labels and len(images[0]) != len(labels[0])):
        raise DataError(
            f"cannot tell which files are the {'test' if test else 'training'} images and labels",
            received=f"{folder}: {', '.join(f'{path.name} {array.shape}' for path, array in mine.items())}",
            instead="keep one file of images and at most one of labels, as long, for each part",
        )
    return images[0] if images else None, labels[0] if labels else None


def _read_npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            # Unlike `numpy.load`, this reads one array and nothing else: no archive, no pickle.
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            "cannot read the .npy file",
            received=f"{path} ({reason})",
            instead="write it with numpy.save, from an array of numbers",
        ) from error


def _as_images(array: np.ndarray, path: Path) -> Tensor:
    if array.ndim not in (2, 3) or array.size == 0:
        raise DataError(
            "the array does not hold images",
            received=f"{path}, shape {array.shape}",
            instead="an array of shape (images, height, width) or (images, pixels)",
        )
    side = math.isqrt(array.shape[1])
    if array.ndim == 2:
        array = array.reshape(len(array), *((side, side) if side**2 == array.shape[1] else (1, -1)))
    if array.dtype == np.uint8:
        return torch.from_numpy(array / np.float32(255))
    # A comparison with NaN is false, so NaN fails here too.
    if array.dtype.kind in "bf" and bool(((array >= 0) & (array <= 1)).all()):
        return torch.from_numpy(array.astype(np.float32))
    raise DataError(
        "the pixels are neither bytes nor numbers in [0, 1]",
        received=f"{path}, {array.dtype}, first value {array.flat[0]}",
        instead="save uint8 (0 to 255), bool, or floats in [0, 1]",
    )


def _as_labels(array: np.ndarray, path: Path) -> Tensor:
    if array.dtype.kind in "iu":
        return torch.from_numpy(array.astype(np.int64))
    raise DataError(
        "the labels are not whole numbers", received=f"{path}, {array.dtype}", instead="save an integer array"
    )
