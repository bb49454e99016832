"""Two processes do what one does, and a lost one is noticed."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from line import Config, launched, train, wait_for_a_checkpoint

from reparam.recipes import vae

FIGURES = ("train_elbo", "test_elbo")


def metrics(folder: Path, *names: str) -> list[list[float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [[line[name] for name in names] for line in lines]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def assert_close(a: list[list[float]], b: list[list[float]]) -> None:
    assert len(a) == len(b) > 0
    for ours, theirs in zip(a, b, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_two_processes_have_the_trajectory_of_one(tmp_path):
    """At batches that do not divide by two, and through the command line, which launches the second process."""
    config = vae.Config(epochs=3, batch=101, k=2, hidden=16, latent=4, nll_samples=2)
    words = ["--epochs", "3", "--batch", "101", "--k", "2", "--hidden", "16", "--latent", "4", "--nll-samples", "2"]
    command = [
        sys.executable,
        "-m",
        "reparam.cli",
        "train",
        "vae",
        *words,
        "--devices",
        "2",
        "--out",
        str(tmp_path / "2"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test ELBO") == 1
    vae.train(config, tmp_path / "1")
    assert_close(metrics(tmp_path / "1", *FIGURES), metrics(tmp_path / "2", *FIGURES))


def lose(folder: Path, how: signal.Signals, timeout: float) -> tuple[str, float]:
    """Train on two processes, the second of which is lost; what the first says, and the seconds it takes to say it."""
    port = free_port()
    with (
        launched(folder, 60, timeout, rank=0, world=2, port=port) as first,
        launched(folder, 60, timeout, rank=1, world=2, port=port) as second,
    ):
        wait_for_a_checkpoint(folder, first)
        second.send_signal(how)
        since = time.monotonic()
        said = first.communicate(timeout=150)[1]
        second.kill()
    assert first.returncode not in (0, None)
    return said, time.monotonic() - since


def test_a_dead_process_ends_the_run_and_one_process_goes_on(tmp_path):
    said, _ = lose(tmp_path / "2", signal.SIGKILL, 200)
    assert "ProcessLost: another process of this run is gone" in said
    assert "process 0 of 2" in said
    config = Config(epochs=60, threads=1)
    train(config, resume=tmp_path / "2")
    train(config, tmp_path / "1")
    assert_close(metrics(tmp_path / "1", "train_loss", "slope"), metrics(tmp_path / "2", "train_loss", "slope"))


@pytest.mark.long
def test_a_process_that_hangs_ends_the_run_after_the_timeout(tmp_path):
    said, seconds = lose(tmp_path, signal.SIGSTOP, 10)
    assert "ProcessLost: another process of this run is gone" in said
    assert seconds < 60


def launchers(folders: list[Path], words: list[str]) -> list[subprocess.Popen[str]]:
    """One of torch's launchers in each folder, as on as many machines, with a process each."""
    common = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "localhost", "--master-port", str(free_port())]
    recipe = ["-m", "reparam.cli", "train", "vae", "--nodes", "2", *words]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *common, "--node-rank", str(node), *recipe],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node, folder in enumerate(folders)
    ]


@pytest.mark.long
def test_two_launchers_have_the_trajectory_of_one_process_and_go_on(tmp_path):
    """Machines that share no disk: the second has nothing of a stopped run but its configuration."""
    config = vae.Config(epochs=4, batch=101, hidden=16, latent=4, nll_samples=2)
    options = ["--batch", "101", "--hidden", "16", "--latent", "4", "--nll-samples", "2", "--out", "run"]
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    for words in (["--epochs", "2", *options], ["--epochs", "4", "--resume", "run"]):
        for launcher in launchers(folders, words):
            said = launcher.communicate(timeout=300)[1]
            assert launcher.returncode == 0, said
        if not (folders[1] / "run").exists():
            (folders[1] / "run").mkdir()
            shutil.copy(folders[0] / "run" / "config.toml", folders[1] / "run")
    assert [path.name for path in (folders[1] / "run").iterdir()] == ["config.toml"]
    vae.train(config, tmp_path / "1")
    assert_close(metrics(tmp_path / "1", *FIGURES), metrics(folders[0] / "run", *FIGURES))
