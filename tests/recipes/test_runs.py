"""Run folders: claimed once, written whole, read back with every check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import safetensors.torch
import torch
from torch import nn

from reparam.errors import DataError
from reparam.recipes.files import replacing
from reparam.recipes.runs import RunFolder, load_weights, read_config


@dataclass(frozen=True)
class Config:
    name: str = "digits"
    rate: float = 0.5
    size: int | None = None
    kind: Literal["a", "b"] = "a"
    flag: bool = False


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_config_comes_back(tmp_path):
    config = Config(name="schön", rate=1e-3, size=7, kind="b", flag=True)
    folder = RunFolder(tmp_path / "new" / "run", config, "test")
    assert read_config(folder.path / "config.toml", Config) == config


def test_empty_folder_is_taken_and_none_counts_up(tmp_path, monkeypatch):
    assert RunFolder(tmp_path, Config(), "test").path == tmp_path
    monkeypatch.chdir(tmp_path)
    names = [str(RunFolder(None, Config(), "test").path) for _ in range(2)]
    assert names == ["runs/test-1", "runs/test-2"]


@pytest.mark.parametrize(
    ("name", "what"),
    [("config.toml", "holds another run"), ("thesis.tex", "is not empty"), (".hidden", "is not empty")],
)
def test_occupied_folder_is_left_alone(tmp_path, name, what):
    (tmp_path / name).write_text("precious")
    with pytest.raises(DataError, match=what) as caught:
        RunFolder(tmp_path, Config(), "test")
    assert name in caught.value.received
    assert contents(tmp_path) == {name: b"precious"}


def test_file_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "out").write_text("precious")
    for path, what in ((tmp_path / "out", "is a file"), (tmp_path / "out" / "run", "cannot be made")):
        with pytest.raises(DataError, match=what):
            RunFolder(path, Config(), "test")
    assert contents(tmp_path) == {"out": b"precious"}


def test_metrics_are_lines_and_the_summary_is_json(tmp_path):
    folder = RunFolder(tmp_path, Config(), "test")
    folder.log(10, epoch=1, loss=2.5)
    folder.log(20, epoch=2, loss=1.5)
    folder.save_summary({"test_elbo": -1.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 10, "epoch": 1, "loss": 2.5},
        {"step": 20, "epoch": 2, "loss": 1.5},
    ]
    assert folder.history() == [json.loads(line) for line in lines]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"test_elbo": -1.5}


def test_tensorboard_reads_the_same_figures(tmp_path):
    """The bytes as TensorBoard's own writer makes them, but for the time of each event."""
    folder = RunFolder(tmp_path, Config(), "test")
    folder.log(300, loss=2.5)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    content = events.read_bytes()
    length = content[0]
    assert content[12 + 9 : 12 + length] == b"\x1a\x0dbrain.Event:2"
    second = content[16 + length :]
    assert second[12 + 9 : 12 + second[0]] == b"\x10\xac\x02*\x0d\n\x0b\n\x04loss\x15\x00\x00 @"


def test_failed_write_keeps_the_old_file(tmp_path):
    def write_half() -> None:
        with replacing(tmp_path / "weights") as temporary:
            temporary.write_text("ne")
            raise RuntimeError("disk full")

    (tmp_path / "weights").write_text("old")
    with pytest.raises(RuntimeError, match="disk"):
        write_half()
    assert contents(tmp_path) == {"weights": b"old"}


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("colour = 1", "colour = 1"),
        ("rate = 'fast'", "rate = 'fast'"),
        ("rate = true", "rate = True"),
        ("size = 1.5", "size = 1.5"),
        ("kind = 'c'", "kind = 'c'"),
        ("flag = 1", "flag = 1"),
        ("name = ", "config.toml"),
    ],
)
def test_config_that_does_not_fit(tmp_path, text, received):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(DataError, match="configuration") as caught:
        read_config(path, Config)
    assert received in caught.value.received
    assert caught.value.instead


def test_missing_config_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot read the configuration"):
        read_config(tmp_path / "nowhere.toml", Config)


def test_weights_come_back(tmp_path):
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    RunFolder(tmp_path, Config(), "test").save_weights(model)
    load_weights(other, tmp_path / "weights.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("tensors", "received"),
    [
        ({"weight": torch.zeros(2, 3)}, "bias: nothing, the model has float32[2]"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, "weight: float32[3, 2], the model has float32[2, 3]"),
        ({"weight": torch.zeros(2, 3).double(), "bias": torch.zeros(2)}, "weight: float64[2, 3]"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)}, "extra: float32[1]"),
    ],
)
def test_weights_of_another_model_are_refused_whole(tmp_path, tensors, received):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(tensors, path)
    model = nn.Linear(3, 2)
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(DataError, match="do not fit the model") as caught:
        load_weights(model, path)
    assert received in caught.value.received
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:5], lambda b: b"", lambda b: b"\xff" * len(b)])
def test_damaged_weights(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(damage(safetensors.torch.save({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)})))
    with pytest.raises(DataError, match="cannot read the weights") as caught:
        load_weights(nn.Linear(3, 2), path)
    assert str(path) in caught.value.received


def test_missing_weights(tmp_path):
    with pytest.raises(DataError, match="cannot read the weights"):
        load_weights(nn.Linear(3, 2), tmp_path / "nowhere.safetensors")
