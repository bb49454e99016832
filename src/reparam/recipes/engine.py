"""The engine: everything around a recipe's step that is the same for all recipes.

A recipe is one flat file: a `Config`, its model, a `Training`, and `train`, which is one call of `run`:

    @dataclass(frozen=True)
    class Config(Settings):                      # adds seed, accelerator, devices, precision, compile, ...
        '''Fit a line.'''
        epochs: int = 10
        '''Passes over the data.'''

    class LineTraining(Training):
        def __init__(self, config: Config, machine: Machine) -> None:
            require(config.epochs >= 1, "epochs", config.epochs, "a whole number of at least 1")
            self.x, self.y = (values.to(machine.device) for values in data())
            self.order = Order(len(self.x), 100, config.seed, machine)      # the data, shared out to the processes
            self.weights = nn.Linear(3, 1)                                  # what ends in weights.safetensors
            self.learner = machine.learner(self.weights, loss, torch.optim.Adam(self.weights.parameters()))
            self.state = {"learner": self.learner}                          # what else a resumed run must have
            self.steps = config.epochs * self.order.steps_per_epoch
            self.log_every = self.order.steps_per_epoch

        def step(self, step: int) -> Figures:                               # from 0; returns what is averaged
            share = self.order.share(step)
            losses = self.learner.step(self.x[share.rows], self.y[share.rows], share.noise(), of=share.total)
            return {"train_loss": losses}

        def evaluate(self, step: int) -> Figures:                           # every `log_every` steps
            return {"test_loss": ...}

        def finish(self, folder: RunFolder) -> dict:                        # once: pictures, and the final figures
            return {"test_loss": ...}

    def train(config: Config, out=None, **how) -> dict:
        return run("line", config, LineTraining, out, **how)

`reparam train line` needs one more line, in `RECIPES` of `cli/train.py`. What the recipe has to keep, so that a resumed
run is bit for bit the run that never stopped: a step depends on its number, on `weights`, on `state` (anything with
`state_dict` and `load_state_dict`; all of it equal on all processes) and on the global random streams, and on nothing
else. Noise comes from `share.noise()`, keyed by the place of each sample over all processes, or from the global streams
of torch, NumPy and Python, which the engine seeds and keeps; an environment or a replay buffer goes into `state`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from rich.console import Console
from torch import Tensor, nn

import reparam as rp
from reparam.errors import InvalidArgument
from reparam.recipes import report
from reparam.recipes.loop import Clock, Loop, Stopped
from reparam.recipes.machine import Machine
from reparam.recipes.runs import CONFIG, RunFolder, read_config
from reparam.recipes.settings import Settings, check, require
from reparam.recipes.streams import seeded

__all__ = ["Figures", "Machine", "RunFolder", "Settings", "Stateful", "Stopped", "Training", "require", "run"]

Figures: TypeAlias = Mapping[str, "Tensor | float"]


class Stateful(Protocol):
    """An object whose state a checkpoint can hold: tensors, numbers, text, and lists and dicts of them."""

    def state_dict(self) -> Any:
        """The state."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Take back a state."""
        ...


class Training(ABC):
    """What a recipe hands to the engine; the engine calls `Training(config, machine)`, which raises for a bad `config`.

    Attributes:
        weights: the module whose parameters and buffers are the result.
        state: what a resumed run needs beside the weights: learners, schedulers, target networks, buffers, by name.
        steps: how many steps make the run.
        log_every: steps from one line of metrics to the next.
        headline: the figure that the progress bar shows.
        threads: threads of the CPU, unless the user says otherwise; None leaves torch's choice.
        processes: how many processes it can use; None for any number.
    """

    weights: nn.Module
    state: Mapping[str, Stateful]
    steps: int
    log_every: int
    headline: str = "test_elbo"
    threads: int | None = None
    processes: int | None = None

    @abstractmethod
    def __init__(self, config: Any, machine: Machine) -> None: ...

    @abstractmethod
    def step(self, step: int) -> Figures:
        """Train on one batch; the figures are averaged, over their entries too, until the next line of metrics."""

    @abstractmethod
    def evaluate(self, step: int) -> Figures:
        """Figures of the model after `step` steps, the same on every process."""

    @abstractmethod
    def finish(self, folder: RunFolder) -> Mapping[str, Any]:
        """The final figures, for `summary.json`; also the place to draw pictures into `folder.path`.

        Called once, on the main process; `folder.history()` has the lines of metrics.
        """


ConfigT = TypeVar("ConfigT", bound=Settings)
# What a resumed run may change: how long and where it computes.
FREE = {field.name for field in dataclasses.fields(Settings)} - {"seed", "precision"} | {"epochs", "steps"}


def run(
    recipe: str,
    config: ConfigT,
    make: Callable[[ConfigT, Machine], Training],
    out: str | Path | None = None,
    *,
    resume: str | Path | None = None,
    dry_run: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        recipe: its name.
        config: what to train.
        make: the recipe's `Training`.
        out: a new or empty folder; None takes the next free `runs/<recipe>-<number>`.
        resume: the folder of a run that was stopped, to go on with it instead.
        dry_run: only make the training, and return what it would do: no folder, no step.
        console: where the progress goes; by default standard error.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in; nothing on other than the main process.

    Errors:
        `InvalidArgument` for a configuration that cannot train, or where a figure is no longer finite; `DataError` for
        a folder or a checkpoint that cannot serve, and where nothing can be written; `ProcessLost` where another
        process no longer answers. `Stopped` after SIGINT or SIGTERM, with a checkpoint left behind.
    """
    check(config)
    require(out is None or resume is None, "out and resume", (str(out), str(resume)), "one of the two")
    clock = Clock()
    machine = Machine(config)
    with seeded(config.seed), machine.watched():
        training = make(config, machine)
        _check_processes(recipe, training, machine)
        if dry_run:
            return _plan(recipe, training, machine)
        with _threads(config.threads or training.threads):
            folder = machine.agreed(lambda: _folder(recipe, config, out, resume))
            loop = Loop(training, machine, folder, recipe, config, clock)
            if resume is not None:
                loop.resume()
            loop.run(console or Console(stderr=True))
            return _finish(recipe, loop) if machine.is_main else {}


def _finish(recipe: str, loop: Loop) -> dict[str, Any]:
    folder, training = loop.folder, loop.training
    folder.save_weights(training.weights)
    figures = training.finish(folder)
    wall, cpu = loop.clock.spent()
    summary = {
        "recipe": recipe,
        "seed": loop.settings.seed,
        "steps": training.steps,
        **figures,
        "wall_seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "torch": torch.__version__,
        "reparam": rp.__version__,
    }
    folder.save_summary(summary)
    report.write(folder, summary)
    return {**summary, "folder": str(folder.path)}


def _plan(recipe: str, training: Training, machine: Machine) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "steps": training.steps,
        "log_every": training.log_every,
        "parameters": sum(parameter.numel() for parameter in training.weights.parameters()),
        "device": str(machine.device),
        "processes": machine.world,
    }


def _folder(recipe: str, config: Settings, out: str | Path | None, resume: str | Path | None) -> RunFolder:
    if resume is None:
        return RunFolder(out, config, recipe)
    _same_run(Path(resume), config)
    return RunFolder.reopened(resume)


def _same_run(folder: Path, config: Settings) -> None:
    before = read_config(folder / CONFIG, type(config))
    changed = [
        f"{name} = {getattr(config, name)!r} (was {getattr(before, name)!r})"
        for name in (field.name for field in dataclasses.fields(config))
        if name not in FREE and getattr(config, name) != getattr(before, name)
    ]
    if changed:
        raise InvalidArgument(
            "a resumed run goes on with what it was started with",
            received=f"{folder} with {', '.join(changed)}",
            instead="leave these options out, or start a new run",
        )


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_processes(recipe: str, training: Training, machine: Machine) -> None:
    most, settings = training.processes, machine.settings
    if most is not None and machine.world > most:
        raise InvalidArgument(
            f"recipe {recipe} runs in {'one process' if most == 1 else f'at most {most} processes'}",
            received=f"{machine.world} processes: devices = {settings.devices}, nodes = {settings.nodes}",
            instead="--devices 1 --nodes 1; runs of several seeds can be started side by side",
        )
