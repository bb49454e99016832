"""`reparam diagnose`: estimators measured on a cost that is given as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

import reparam as rp
from reparam.cli import expressions
from reparam.diagnosis import Diagnosis, candidates_for
from reparam.errors import InvalidArgument
from reparam.extras import needs

_FIGURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Options:
    """Measure estimators of the gradient of E[cost(x)]: bias, variance and what they cost."""

    dist: str
    """The distribution of x, such as "Poisson(4)" or "Independent(Bernoulli(logits=[0.3, -1]), 1)"."""
    cost: str
    """The cost, such as "x**2", "(x - 0.45)**2", "x >= 3" or "sum(x)**2"; with a leading sign, --cost=-x."""
    estimators: str | None = None
    """Such as "LeaveOneOut(2), ScoreFunction()"; by default all unbiased ones that serve the distribution."""
    repeats: int = 1000
    """Estimates of each."""
    seed: int = 0
    """Seed of torch's generator."""
    plot: Path | None = None
    """A figure to draw: PNG, PDF or SVG."""
    json: Path | None = None
    """A file for the numbers."""


def run(words: list[str]) -> None:
    """Print the table of the diagnosis that `words` describe."""
    options = tyro.cli(Options, prog="reparam diagnose", args=words)
    _check_files(options)
    if options.plot is not None:
        with needs("plot"):
            import matplotlib  # noqa: F401  # found missing before anything is measured
    report = _measured(options)
    # A table that is piped, or in a narrow window, is still a whole table.
    Console(highlight=False, width=max(Console().width, 110)).print(report)
    if options.json is not None:
        report.to_json(options.json)
    if options.plot is not None:
        report.plot(options.plot)


def _measured(options: Options) -> Diagnosis:
    dist = expressions.distribution(options.dist)
    f = expressions.cost(options.cost, len(dist.event_shape))
    named = options.estimators
    estimators = candidates_for(dist) if named is None else expressions.estimator_list(named)
    torch.manual_seed(options.seed)
    return rp.diagnose(f, dist, estimators, repeats=options.repeats)


def _check_files(options: Options) -> None:
    for path in (options.plot, options.json):
        if path is not None and not path.parent.is_dir():
            raise InvalidArgument("no such folder", received=f"{path}", instead="a file in a folder that exists")
    if options.plot is not None and options.plot.suffix.lower() not in _FIGURES:
        raise InvalidArgument(
            "the figure's format is unknown", received=f"--plot {options.plot}", instead="--plot figure.png"
        )
