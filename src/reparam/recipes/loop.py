"""The loop of every run: steps, lines of metrics, checkpoints, and an orderly end when it is asked to stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor

from reparam.errors import DataError, InvalidArgument
from reparam.recipes import streams
from reparam.recipes.checkpoints import Checkpoint, Checkpoints
from reparam.recipes.machine import Learner, Machine
from reparam.recipes.progress import Bar
from reparam.recipes.runs import RunFolder, fit_weights

if TYPE_CHECKING:
    from reparam.recipes.engine import Figures, Settings, Training


class Stopped(KeyboardInterrupt):
    """A run was asked to stop, and did, leaving a checkpoint from which it can go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Loop:
    """A run on its way.

    Args:
        training: what a recipe has made.
        machine: the processes.
        folder: where the run lives; only the main process writes there.
        recipe: the name of the recipe.
        settings: the run's configuration.
        clock: runs since the run began.
    """

    def __init__(
        self,
        training: Training,
        machine: Machine,
        folder: RunFolder,
        recipe: str,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.training, self.machine, self.folder, self.settings = training, machine, folder, settings
        self.checkpoints = Checkpoints(folder.path / "checkpoints", recipe, settings.keep_checkpoints)
        self.meter = Meter(machine)
        self.clock = clock
        self.step = 0

    def run(self, console: Console) -> None:
        """Train to the end, or until a signal."""
        training, machine = self.training, self.machine
        self._saved = time.perf_counter()
        quiet = Console(quiet=True)
        with Signals() as signals, Bar(console if machine.is_main else quiet, training, self.step) as bar:
            while self.step < training.steps:
                self.meter.add(training.step(self.step))
                self.step += 1
                at_end = self.step == training.steps
                if at_end or self.step % training.log_every == 0:
                    bar.show(self._log())
                bar.advance()
                stop, due = machine.any(signals.received is not None, self._due())
                if stop or due or at_end:
                    self._save()
                if stop:
                    raise self._stopped(signals.received or signal.SIGTERM)

    def _log(self) -> dict[str, float]:
        means = self.meter.means()
        for name, value in means.items():
            if not math.isfinite(value):
                raise self._diverged(name, value)
        row = {**means, **self.training.evaluate(self.step), **self._signal_to_noise()}
        row["cpu_seconds"] = round(self.clock.spent()[1], 3)
        row = {name: _plain(value) for name, value in row.items()}
        if self.machine.is_main:
            self.folder.log(self.step, **row)
        return row

    def _signal_to_noise(self) -> dict[str, float]:
        learners = {name: part for name, part in self.training.state.items() if isinstance(part, Learner)}
        ratios = {
            "gradient_snr" if len(learners) == 1 else f"gradient_snr_{name}": learner.signal_to_noise()
            for name, learner in learners.items()
        }
        return {name: ratio for name, ratio in ratios.items() if math.isfinite(ratio)}

    def _diverged(self, name: str, value: float) -> InvalidArgument:
        rate = getattr(self.settings, "learning_rate", None)
        return InvalidArgument(
            "the training diverged: a figure is no longer finite",
            received=f"{name} = {value} at step {self.step}" + (f", learning rate {rate}" if rate else ""),
            instead="a smaller learning rate" + (f", such as {rate / 10:.1g}" if rate else ""),
        )

    def _due(self) -> bool:
        return self.machine.is_main and time.perf_counter() - self._saved >= self.settings.checkpoint_seconds

    def _save(self) -> None:
        self.meter.gather()
        if self.machine.is_main:
            wall, cpu = self.clock.spent()
            state = {
                "parts": {name: part.state_dict() for name, part in self.training.state.items()},
                "streams": streams.captured(),
                "meter": self.meter.sums,
                "metrics_bytes": self.folder.settle_metrics(),
                "seconds": (wall, cpu),
            }
            self.checkpoints.save(self.step, self.training.weights.state_dict(), state)
        self._saved = time.perf_counter()

    def _stopped(self, number: int) -> Stopped:
        message = f"stopped at step {self.step} of {self.training.steps}; go on with --resume {self.folder.path}"
        return Stopped(message, 128 + number)

    def resume(self) -> None:
        """Go back to the newest checkpoint, or to the start where there is none.

        Raises:
            DataError: the checkpoint is damaged, or is not one of this recipe or of this configuration.
            InvalidArgument: the run has come further than it is to go. In either case the folder is as it was.
        """
        checkpoint = self.machine.agreed(self.checkpoints.newest)
        if checkpoint is not None:
            if checkpoint.step > self.training.steps:
                raise InvalidArgument(
                    "the run has come further than it is to go",
                    received=f"{checkpoint.path}, to end at step {self.training.steps}",
                    instead="resume with at least as many epochs or steps, or start a new run",
                )
            fit_weights(self.training.weights, checkpoint.weights, checkpoint.path)
            self._restore_parts(checkpoint)
            streams.restore(checkpoint.state["streams"])
            self.clock.add(*checkpoint.state["seconds"])
            self.step = checkpoint.step
        if self.machine.is_main:
            self.meter.sums = checkpoint.state["meter"] if checkpoint else {}
            self.folder.cut_metrics(checkpoint.state["metrics_bytes"] if checkpoint else 0)
            self.folder.save_config(self.settings)
            self.checkpoints.tidy()

    def _restore_parts(self, checkpoint: Checkpoint) -> None:
        parts = checkpoint.state["parts"]
        try:
            for name in self.training.state.keys() | parts.keys():
                self.training.state[name].load_state_dict(parts[name])
        except (KeyError, ValueError, RuntimeError) as error:
            raise DataError(
                "the checkpoint does not fit this recipe",
                received=f"{checkpoint.path} with {', '.join(parts)} ({error})",
                instead="resume with the version of reparam that began the run, or start a new one",
            ) from error


def _plain(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else value


class Clock:
    """Wall and CPU time of a run, over all its parts."""

    def __init__(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def spent(self) -> tuple[float, float]:
        """Seconds: of the wall, of the CPU."""
        return time.perf_counter() - self._since[0], time.process_time() - self._since[1]

    def add(self, wall: float, cpu: float) -> None:
        """Count the time of an earlier part."""
        self._since = self._since[0] - wall, self._since[1] - cpu


class Meter:
    """Running means of figures, over the entries of tensors and over processes.

    Example:
        >>> from reparam.recipes.engine import Settings
        >>> meter = Meter(Machine(Settings()))
        >>> meter.add({"loss": torch.tensor([1.0, 2.0])})
        >>> meter.add({"loss": 6.0})
        >>> meter.means()
        {'loss': 3.0}
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self._dtype = torch.float32 if machine.device.type == "mps" else torch.float64

    def add(self, figures: Figures) -> None:
        """Count the figures of one step."""
        for name, value in figures.items():
            value = torch.as_tensor(value, device=self.machine.device).detach()
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value.sum(dtype=self._dtype), count + value.numel()

    def gather(self) -> None:
        """Bring the sums of all processes to the main one, which alone keeps them."""
        if self.machine.world > 1:
            self.sums = {name: self._total(*entry) for name, entry in sorted(self.sums.items())}
            if not self.machine.is_main:
                self.sums = {name: (torch.zeros_like(total), 0) for name, (total, _) in self.sums.items()}

    def _total(self, value: Tensor, count: int) -> tuple[Tensor, int]:
        both = self.machine.total(torch.stack([value, torch.full_like(value, count)]))
        return both[0], int(both[1])

    def means(self) -> dict[str, float]:
        """The means since the last call, on every process."""
        totals = {name: self._total(*entry) for name, entry in sorted(self.sums.items())}
        self.sums = {}
        return {name: value.item() / count for name, (value, count) in totals.items()}


class Signals:
    """In this block SIGINT and SIGTERM are noted instead of obeyed; the second one is obeyed."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        for each, handler in self._before.items():
            signal.signal(each, handler)
