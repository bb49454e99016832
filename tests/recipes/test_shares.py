"""Every recipe takes the same step on any number of processes, or refuses to share one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from everyone import CASES, case, train
from test_distributed import free_port
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.recipes import engine, gan, policy_gradient, sac
from reparam.recipes.machine import Learner, Machine
from reparam.recipes.settings import Settings


class OneOfTwo(Machine):
    """A process that takes itself for one of two, and meets nobody."""

    def __init__(self, settings: Settings, rank: int = 0) -> None:
        super().__init__(replace(settings, devices=1))
        self.rank, self.world = rank, 2


def gradients(name: str, machine: type[Machine], **rank: int) -> dict[str, Tensor]:
    """Those of every learner in the third step, of weights that have not moved."""
    module, config = case(name, learning_rate=1e-30)
    training = module.Training(config, machine(config, **rank))
    training.step(2)
    return {
        f"{part} {parameter}": weight.grad
        for part, learner in training.state.items()
        if isinstance(learner, Learner)
        for parameter, weight in learner.module.named_parameters()
        if weight.grad is not None
    }


@pytest.mark.parametrize("name", CASES)
def test_the_mean_of_two_shares_gradients_is_the_gradient(name, monkeypatch):
    monkeypatch.setattr(gan, "Judge", lambda dataset: None)  # a classifier, which no step asks
    whole, first, second = gradients(name, Machine), *(gradients(name, OneOfTwo, rank=rank) for rank in range(2))
    assert whole.keys() == first.keys() == second.keys()
    assert whole
    for parameter, gradient in whole.items():
        size = gradient.abs().max()
        assert ((first[parameter] + second[parameter]) / 2 - gradient).abs().max() <= 1e-4 * size + 1e-7, parameter


@pytest.mark.parametrize("recipe", [sac, policy_gradient])
def test_what_plays_in_environments_refuses_a_second_process(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "Machine", OneOfTwo)
    with pytest.raises(InvalidArgument) as caught:
        recipe.train(recipe.Config(devices=2), tmp_path / "run")
    assert "runs in one process" in caught.value.what
    assert "2 processes" in caught.value.received
    assert "--devices 1" in caught.value.instead
    assert not (tmp_path / "run").exists()


def trained_by_two(out: Path) -> None:
    """All the runs, by two processes on the loopback interface."""
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(Path(__file__).with_name("everyone.py")), str(out)]
    workers = [subprocess.Popen(command, env={**os.environ, **common, "LOCAL_RANK": str(rank)}) for rank in range(2)]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0]


def curve(folder: Path) -> list[dict[str, float]]:
    """The figures of a run; a signal-to-noise ratio near zero is a difference of rounded numbers."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "cpu_seconds" and "gradient" not in k} for line in lines]


@pytest.mark.long
def test_every_recipe_has_the_trajectory_of_one_process(tmp_path):
    trained_by_two(tmp_path / "2")
    for name in CASES:
        train(name, tmp_path / "1")
        one, two = curve(tmp_path / "1" / name), curve(tmp_path / "2" / name)
        assert len(one) == len(two) > 0
        for a, b in zip(one, two, strict=True):
            assert a == pytest.approx(b, rel=1e-5), name
