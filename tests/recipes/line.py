"""The smallest recipe there is, which draws from every stream there is; run as a script, it trains in one process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from reparam.noise import Philox
from reparam.recipes import engine
from reparam.recipes.engine import Figures, Machine, RunFolder
from reparam.recipes.keyed import Order

QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Config(engine.Settings):
    """Fit a line."""

    epochs: int = 4
    batch: int = 10
    learning_rate: float = 0.1
    single: bool = False


class Line(engine.Training):
    """Least squares, with noise of every kind on its way."""

    headline = "train_loss"

    def __init__(self, config: Config, machine: Machine, disturb: Callable[[int], None] = lambda step: None) -> None:
        self.disturb = disturb
        self.x = torch.linspace(-1, 1, 44).unsqueeze(-1).to(machine.device)
        self.order = Order(len(self.x), config.batch, config.seed, machine)
        self.weights = self.line = nn.Linear(1, 1)
        optimizer = torch.optim.Adam(self.weights.parameters(), lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        self.learner = machine.learner(self.weights, self._loss, optimizer, clip=1.0)
        self.state = {"learner": self.learner, "schedule": self.schedule}
        self.steps = config.epochs * self.order.steps_per_epoch
        self.log_every = self.order.steps_per_epoch
        self.processes = 1 if config.single else None

    def _loss(self, module: nn.Module, x: Tensor, noise: Philox) -> Tensor:
        target = 2 * x + 1 + 0.1 * noise.bind(torch.Size()).normal(x.shape, x.dtype, x.device)
        return (module(x) - target).square().squeeze(-1)

    def step(self, step: int) -> Figures:
        self.disturb(step)
        share = self.order.share(step)
        loss = self.learner.step(self.x[share.rows], share.noise(), of=share.total)
        with torch.no_grad():
            self.line.bias += 1e-3 * (torch.rand(1) + random.random() + np.random.rand()).to(self.x)  # noqa: NPY002
        self.schedule.step()
        return {"train_loss": loss, "rate": self.schedule.get_last_lr()[0]}

    def evaluate(self, step: int) -> Figures:
        return {"slope": self.line.weight.item()}

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        return {"slope": self.line.weight.item(), "lines": len(folder.history())}


def train(config: Config, out=None, make: Callable[..., engine.Training] = Line, **how: Any) -> dict[str, Any]:
    return engine.run("line", config, make, out, console=QUIET, **how)


def launched(
    folder: Path, epochs: int, timeout: float = 60, *, rank: int = 0, world: int = 1, port: int = 0
) -> subprocess.Popen[str]:
    """This file as a process, one of `world`, that keeps a checkpoint after each step."""
    many = {"LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    words = [sys.executable, __file__, str(epochs), str(folder), str(timeout)]
    environment = {**os.environ, **{name: str(value) for name, value in many.items() if world > 1}}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_a_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    """Return once the process has left one; fail if it ends before."""
    while not any((folder / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)


if __name__ == "__main__":
    epochs, out, timeout = sys.argv[1:]
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    train(Config(epochs=int(epochs), devices=devices, checkpoint_seconds=0, threads=1, timeout=float(timeout)), out)
