"""Checkpoints: whole or absent, verified, and a failure leaves the earlier ones as they were."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from reparam.errors import DataError
from reparam.recipes.checkpoints import Checkpoints
from reparam.recipes.files import replacing

WEIGHTS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2, dtype=torch.float64)}
STATE = {"step": 3, "moments": [torch.ones(2)], "nested": {"python": (3, (1, 2), None)}}


def saved(folder: Path, *steps: int, keep: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(folder, "test", keep)
    for step in steps:
        checkpoints.save(step, WEIGHTS, STATE)
    return checkpoints


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The kernel refuses any file larger than `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_newest_comes_back(tmp_path):
    read = saved(tmp_path, 3, 12, 100).newest()
    assert read is not None
    assert (read.step, read.path.name) == (100, "step-00000100")
    assert all(torch.equal(read.weights[name], tensor) for name, tensor in WEIGHTS.items())
    assert read.weights["bias"].dtype == torch.float64
    assert read.state["nested"] == STATE["nested"]
    assert torch.equal(read.state["moments"][0], torch.ones(2))


def test_there_may_be_none(tmp_path):
    assert Checkpoints(tmp_path / "nowhere", "test").newest() is None


def test_old_ones_go_and_the_same_step_is_replaced(tmp_path):
    checkpoints = saved(tmp_path, 1, 2, 3, 3, keep=2)
    assert [path.name for path in checkpoints.found()] == ["step-00000002", "step-00000003"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flipped bit", "missing"])
@pytest.mark.parametrize("file", ["weights.safetensors", "state.pt", "manifest.json"])
def test_damage_is_told_and_nothing_is_removed(tmp_path, damage: Callable[[Path], None], file: str):
    checkpoints = saved(tmp_path, 1, 2)
    damage(tmp_path / "step-00000002" / file)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="damaged") as caught:
        checkpoints.newest()
    assert "step-00000002" in caught.value.received
    assert "step-00000001" in caught.value.instead
    assert contents(tmp_path) == before


def test_code_in_the_state_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    checkpoints = Checkpoints(tmp_path, "test")
    checkpoints.save(1, WEIGHTS, {"evil": Evil()})
    with pytest.raises(DataError, match="damaged"):
        checkpoints.newest()
    assert not (tmp_path / "owned").exists()


def test_another_recipe_is_told(tmp_path):
    saved(tmp_path, 1)
    with pytest.raises(DataError, match="not one of this recipe") as caught:
        Checkpoints(tmp_path, "other").newest()
    assert "'test'" in caught.value.received
    assert "'other'" in caught.value.instead


def test_another_format_is_told(tmp_path):
    checkpoints = saved(tmp_path, 1)
    manifest = tmp_path / "step-00000001" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(DataError, match="not one of this recipe") as caught:
        checkpoints.newest()
    assert "99" in caught.value.received


@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_full_disk_leaves_the_earlier_ones(tmp_path, size):
    checkpoints = saved(tmp_path, 1)
    before = contents(tmp_path)
    with room_for(size), pytest.raises(DataError, match="could not be written") as caught:
        checkpoints.save(2, WEIGHTS, STATE)
    assert "step-00000002" in caught.value.received
    assert "--resume" in caught.value.instead
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    def write() -> None:
        with replacing(tmp_path / "weights") as temporary:
            temporary.write_bytes(bytes(200))

    (tmp_path / "weights").write_bytes(b"old")
    with room_for(100), pytest.raises(DataError, match="could not be written"):
        write()
    assert contents(tmp_path) == {"weights": b"old"}


def test_what_a_killed_write_left_is_neither_read_nor_kept(tmp_path):
    checkpoints = saved(tmp_path, 1)
    left = tmp_path / ".step-00000002.77.tmp"
    left.mkdir()
    (left / "weights.safetensors").write_bytes(b"half")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.step == 1
    checkpoints.tidy()
    assert not left.exists()
