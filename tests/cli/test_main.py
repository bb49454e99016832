"""The command line around the commands: help, errors, extras, coverage, info, training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

import reparam as rp
from reparam.cli import COMMANDS, main
from reparam.recipes import vae

TRAIN = ["train", "vae", "--epochs", "1", "--hidden", "8", "--nll-samples", "2"]


def three_parts(err: str) -> list[str]:
    what, received, instead = err.splitlines()
    assert what.startswith("error: ")
    assert received.startswith("  received: ")
    assert instead.startswith("  instead:  ")
    return [what, received, instead]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert all(name in out and command.summary in out for name, command in COMMANDS.items())


@pytest.mark.parametrize("command", ["trick", "coverage", "diagnose", "info"])
def test_each_command_has_help(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: reparam {command}" in capsys.readouterr().out


def test_recipe_help_explains_each_field(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "vae", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("--out", "--epochs", "Passes over the training images", "--k INT Latent samples per image and step"):
        assert words in out


@pytest.mark.parametrize(
    ("words", "received"),
    [
        (["bake"], "reparam bake"),
        (["train", "cake"], "cake"),
        (["train", "vae", "--data", "imagenet"], "'imagenet'"),
        (["train", "vae", "--epochs", "0"], "epochs = 0"),
        (["train", "vae", "--config", "nowhere.toml"], "nowhere.toml"),
    ],
    ids=str,
)
def test_errors_have_three_parts_and_status_2(capsys, monkeypatch, tmp_path, words, received):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert received in three_parts(capsys.readouterr().err)[1]
    assert list(tmp_path.iterdir()) == []


def test_interrupt_has_status_130(capsys, monkeypatch):
    def interrupted(_words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reparam.cli.trick.run", interrupted)
    assert main(["trick"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_train_says_what_it_reached_and_where(capsys, tmp_path):
    out = tmp_path / "run"
    assert main([*TRAIN, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert f"test ELBO  {summary['test_elbo']:.2f} nats" in said
    assert str(out) in said


def test_train_refuses_an_occupied_folder(capsys, tmp_path):
    (tmp_path / "config.toml").write_text("precious")
    assert main([*TRAIN, "--out", str(tmp_path)]) == 2
    assert "holds another run" in three_parts(capsys.readouterr().err)[0]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_config_file_is_the_start_and_options_win(tmp_path):
    assert main([*TRAIN, "--seed", "3", "--out", str(tmp_path / "a")]) == 0
    assert main(["train", "vae", "--config", str(tmp_path / "a/config.toml"), "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()
    words = ["train", "vae", "--config", str(tmp_path / "a/config.toml"), "--seed", "4", "--out", str(tmp_path / "c")]
    assert main(words) == 0
    assert "seed = 4" in (tmp_path / "c/config.toml").read_text()
    assert "hidden = 8" in (tmp_path / "c/config.toml").read_text()


def test_a_longer_run_from_a_shorter_one(capsys, tmp_path):
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert main([*TRAIN, "--out", a]) == 0
    assert main(["train", "vae", "--resume", a, "--epochs", "2"]) == 0
    assert main([*TRAIN, "--epochs", "2", "--out", b]) == 0
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()


@pytest.mark.parametrize("other", ["--config", "--out"])
def test_resume_stands_alone(capsys, tmp_path, other):
    assert main([*TRAIN, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["train", "vae", "--resume", str(tmp_path), other, str(tmp_path / "config.toml")]) == 2
    assert str(tmp_path) in three_parts(capsys.readouterr().err)[1]


def test_dry_run_says_what_it_would_do(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN, "--dry-run"]) == 0
    assert "steps      15\n" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    def asked_to_stop(self: vae.Training, step: int) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    monkeypatch.setattr(vae.Training, "step", asked_to_stop)
    assert main([*TRAIN, "--out", str(tmp_path)]) == 128 + signal.SIGTERM
    assert f"stopped at step 1 of 15; go on with --resume {tmp_path}" in capsys.readouterr().err


def test_coverage_shows_every_row(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["coverage"]) == 0
    out = capsys.readouterr().out
    assert all(row.distribution.__name__ in out for row in rp.coverage())
    assert main(["coverage", "lognormal"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_info_is_that_of_the_library(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out == f"{rp.info()}\n"


WITHOUT_EXTRAS = """
import sys
for name in ("numpy", "safetensors", "pooch", "matplotlib", "tomli_w"):
    sys.modules[name] = None
from reparam.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_extras(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_EXTRAS, *words], capture_output=True, text=True
    )


def test_plain_install_has_the_trick():
    done = run_without_extras("trick", "--explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Sampled z: -5.312154293060303" in done.stdout


def test_plain_install_says_what_training_needs():
    done = run_without_extras("train", "vae")
    assert done.returncode == 2
    assert "pip install 'reparam[train]'" in three_parts(done.stderr)[2]


def test_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "reparam.cli", "bake"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown command" in three_parts(done.stderr)[0]
