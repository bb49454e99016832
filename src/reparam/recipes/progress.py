"""The progress bar of a run: the headline figure, how clear the gradient is, and the time left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from reparam.recipes.engine import Training


class Bar:
    """A bar over the steps of a training."""

    def __init__(self, console: Console, training: Training, step: int) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=console)
        self._headline = training.headline
        self._task = self._progress.add_task(self._headline.replace("_", " "), total=training.steps, completed=step)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One step is done."""
        self._progress.advance(self._task)

    def show(self, row: Mapping[str, Any]) -> None:
        """Show a line of metrics."""
        words = [f"{name.replace('_', ' ')} {float(row[name]):.2f}" for name in (self._headline,) if name in row]
        words += [f"{name.replace('_', ' ')} {ratio:.2g}" for name, ratio in row.items() if "snr" in name]
        self._progress.update(self._task, description=", ".join(words))
