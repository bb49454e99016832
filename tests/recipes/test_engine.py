"""Runs that are stopped, killed, damaged and resumed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from line import QUIET, Config, Line, launched, train, wait_for_a_checkpoint
from test_checkpoints import contents, flip, room_for

from reparam.errors import DataError, InvalidArgument
from reparam.recipes import vae
from reparam.recipes.engine import Stopped

EACH_STEP = Config(checkpoint_seconds=0)


def at(wanted: int, action: Callable[[], Any]) -> Callable[..., Line]:
    """A training that does something before one of its steps."""
    return partial(Line, disturb=lambda step: action() if step == wanted else None)


def kill(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def fail() -> None:
    raise ArithmeticError("out of the blue")


def outcome(folder: Path) -> tuple[bytes, list[dict[str, float]]]:
    """The weights, and the metrics but for the time they took."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return (folder / "weights.safetensors").read_bytes(), [{**line, "cpu_seconds": 0} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[bytes, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(Config(), folder)
    return outcome(folder)


def test_a_run_learns_and_its_folder_is_complete(tmp_path):
    summary = train(Config(epochs=20), tmp_path)
    assert abs(summary["slope"] - 2) < 0.2
    assert (summary["recipe"], summary["steps"], summary["lines"]) == ("line", 100, 20)
    names = {path.name.partition(".tfevents")[0] for path in tmp_path.iterdir()}
    assert names == {
        "checkpoints",
        "config.toml",
        "events.out",
        "metrics.jsonl",
        "report.html",
        "summary.json",
        "weights.safetensors",
    }
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000100"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [0, 7, 19])
def test_a_signal_stops_cleanly_and_resuming_is_exact(tmp_path, uninterrupted, number, step):
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped at step {step + 1} of 20") as caught:
        train(Config(), tmp_path, make=at(step, kill(number)))
    assert caught.value.status == 128 + number
    assert signal.getsignal(number) is before
    assert not (tmp_path / "summary.json").exists()
    train(Config(), resume=tmp_path)
    assert outcome(tmp_path) == uninterrupted


def test_a_crash_between_checkpoints_repeats_the_steps_since(tmp_path, uninterrupted):
    with pytest.raises(ArithmeticError):
        train(EACH_STEP, tmp_path, make=at(11, fail))
    with (tmp_path / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 15, "tra')  # a line that was cut by the crash, later than the checkpoint
    train(Config(), resume=tmp_path)
    assert outcome(tmp_path) == uninterrupted


def test_a_crash_before_the_first_checkpoint_starts_anew(tmp_path, uninterrupted):
    with pytest.raises(ArithmeticError):
        train(Config(), tmp_path, make=at(11, fail))
    assert not (tmp_path / "checkpoints").exists()
    train(Config(), resume=tmp_path)
    assert outcome(tmp_path) == uninterrupted


def test_the_streams_of_the_caller_do_not_move(tmp_path):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    train(Config(), tmp_path)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002


def test_a_finished_run_can_be_made_longer(tmp_path, uninterrupted):
    train(Config(epochs=2), tmp_path)
    train(Config(epochs=4, checkpoint_seconds=5), resume=tmp_path)
    assert outcome(tmp_path) == uninterrupted
    assert "epochs = 4" in (tmp_path / "config.toml").read_text()


def test_another_configuration_is_refused(tmp_path):
    train(Config(epochs=1), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InvalidArgument, match="goes on with what it was started with") as caught:
        train(replace(Config(), learning_rate=0.2, seed=3), resume=tmp_path)
    assert "learning_rate = 0.2 (was 0.1)" in caught.value.received
    assert "seed = 3 (was 0)" in caught.value.received
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None], ids=["empty", "missing"])
def test_what_is_no_run_cannot_be_resumed(tmp_path, make):
    make(tmp_path / "run")
    with pytest.raises(DataError, match="cannot read the configuration"):
        train(Config(), resume=tmp_path / "run")


def test_the_run_of_another_recipe_is_refused(tmp_path):
    vae.train(vae.Config(steps=1, hidden=4, latent=1, nll_samples=1), tmp_path, console=QUIET)
    with pytest.raises(DataError, match="does not fit"):
        train(Config(), resume=tmp_path)


def test_a_damaged_checkpoint_leaves_the_run_as_it_is(tmp_path):
    with pytest.raises(ArithmeticError):
        train(EACH_STEP, tmp_path, make=at(11, fail))
    flip(tmp_path / "checkpoints" / "step-00000011" / "state.pt")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="damaged") as caught:
        train(EACH_STEP, resume=tmp_path)
    assert "step-00000010" in caught.value.instead
    assert contents(tmp_path) == before


def test_a_run_cannot_end_before_where_it_is(tmp_path):
    train(Config(epochs=2), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InvalidArgument, match="further than it is to go") as caught:
        train(Config(epochs=1), resume=tmp_path)
    assert "step-00000010, to end at step 5" in caught.value.received
    assert contents(tmp_path) == before


def test_metrics_that_were_cut_are_told(tmp_path):
    train(Config(epochs=2), tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="metrics are shorter") as caught:
        train(Config(epochs=3), resume=tmp_path)
    assert "0 bytes" in caught.value.received
    assert contents(tmp_path) == before


def test_a_full_disk_ends_the_run_and_it_goes_on_later(tmp_path, uninterrupted):
    def fill() -> None:
        limit.__enter__()

    limit = room_for(1000)
    with pytest.raises(DataError, match="could not be written"):
        train(EACH_STEP, tmp_path, make=at(8, fill))
    limit.__exit__(None, None, None)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000008", "step-00000007"]
    train(EACH_STEP, resume=tmp_path)
    assert outcome(tmp_path) == uninterrupted


def kill_and_resume(folder: Path, process: subprocess.Popen[str], after: float, resume: Callable[[], Any]) -> None:
    """Kill a run that has just begun, `after` seconds past its first checkpoint, and go on with it."""
    with process:
        wait_for_a_checkpoint(folder, process)
        time.sleep(after)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "summary.json").exists()
    resume()


def test_kill_9_loses_nothing(tmp_path):
    config, killed = Config(epochs=60, threads=1), tmp_path / "killed"
    process = launched(killed, config.epochs)
    kill_and_resume(killed, process, random.uniform(0, 0.2), lambda: train(config, resume=killed))
    train(config, tmp_path / "straight")
    assert outcome(killed) == outcome(tmp_path / "straight")


@pytest.mark.long
def test_kill_9_at_ten_instants_loses_nothing(tmp_path):
    """The VAE of the demo, 40 epochs of it, each step in a checkpoint."""
    config = vae.Config(epochs=40, nll_samples=1)
    vae.train(config, tmp_path / "straight", console=QUIET)
    for instant in range(10):
        killed = tmp_path / str(instant)
        words = ["--epochs", "40", "--nll-samples", "1", "--checkpoint-seconds", "0", "--out", str(killed)]
        process = subprocess.Popen([sys.executable, "-m", "reparam.cli", "train", "vae", *words], text=True)
        resume = partial(vae.train, config, resume=killed, console=QUIET)
        kill_and_resume(killed, process, random.uniform(0, 5), resume)
        assert outcome(killed) == outcome(tmp_path / "straight")


@pytest.mark.parametrize(
    "change",
    [
        {"devices": 0},
        {"nodes": 0},
        {"threads": 0},
        {"keep_checkpoints": 0},
        {"seed": -1},
        {"checkpoint_seconds": -1.0},
        {"timeout": 0.0},
        {"accelerator": "abacus"},
        {"accelerator": "cuda"},
        {"precision": "3-true"},
        {"precision": "16-mixed"},
        {"strategy": "tango"},
    ],
    ids=str,
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for an accelerator that is not there")
def test_bad_settings(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run")
    assert f"{next(iter(change))} = {next(iter(change.values()))!r}" in caught.value.received
    assert not (tmp_path / "run").exists()


def test_half_precision_trains_nearly_the_same(tmp_path):
    config = vae.Config(epochs=1, hidden=8, latent=2, nll_samples=1)
    single = vae.train(config, tmp_path / "32", console=QUIET)
    half = vae.train(replace(config, precision="bf16-mixed"), tmp_path / "16", console=QUIET)
    assert half["test_elbo"] != single["test_elbo"]
    assert half["test_elbo"] == pytest.approx(single["test_elbo"], rel=0.01)


@pytest.mark.long
def test_a_compiled_step_trains_the_same(tmp_path):
    config = vae.Config(epochs=1, hidden=8, latent=2, nll_samples=1)
    eager = vae.train(config, tmp_path / "eager", console=QUIET)
    compiled = vae.train(replace(config, compile=True), tmp_path / "compiled", console=QUIET)
    assert compiled["test_elbo"] == pytest.approx(eager["test_elbo"], rel=1e-4)


def test_out_and_resume_exclude_each_other(tmp_path):
    with pytest.raises(InvalidArgument, match="out and resume"):
        train(Config(), tmp_path / "a", resume=tmp_path / "b")


def test_a_dry_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = train(Config(), dry_run=True)
    assert plan == {"recipe": "line", "steps": 20, "log_every": 5, "parameters": 2, "device": "cpu", "processes": 1}
    assert list(tmp_path.iterdir()) == []


def test_the_report_needs_nothing_else(tmp_path):
    vae.train(vae.Config(epochs=1, hidden=4, latent=1, nll_samples=1), tmp_path, console=QUIET)
    page = (tmp_path / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 3
    assert "http" not in page.replace("https://", "")
    for words in ("test elbo", "hidden = 4", "train_elbo", "Optical Recognition"):
        assert words in page
