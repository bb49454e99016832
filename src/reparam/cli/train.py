"""`reparam train RECIPE`: a recipe's configuration as options, its figures as a last word."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro
from rich.console import Console

from reparam.errors import InvalidArgument
from reparam.extras import needs

ConfigT = TypeVar("ConfigT")

RECIPES = {
    "vae": "reparam.recipes.vae",
    "mixture": "reparam.recipes.mixture",
    "bnn": "reparam.recipes.bnn",
    "discrete-vae": "reparam.recipes.discrete_vae",
    "gan": "reparam.recipes.gan",
    "sac": "reparam.recipes.sac",
    "policy-gradient": "reparam.recipes.policy_gradient",
}


@dataclass(frozen=True)
class Options(Generic[ConfigT]):
    """What the command adds to a recipe's configuration."""

    recipe: tyro.conf.OmitArgPrefixes[ConfigT]
    out: Path | None = None
    """A new or empty folder for the run; by default the next free runs/RECIPE-NUMBER."""
    config: Path | None = None
    """Start from a TOML file, such as the config.toml of a run; options on the command line win."""
    resume: Path | None = None
    """Go on with the run in this folder, from its newest checkpoint, instead of beginning one."""
    dry_run: bool = False
    """Check everything and say what would be done, but train nothing and write nothing."""


def run(words: list[str]) -> None:
    """Train the recipe that `words` names, with the options that follow."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: reparam train RECIPE [options]\n\nrecipes: {', '.join(RECIPES)}")
        print("\nreparam train RECIPE --help explains each option.")
        return
    name, *options = words
    if name not in RECIPES:
        raise InvalidArgument("unknown recipe", received=name, instead=f"one of {', '.join(RECIPES)}")
    with needs("train"):
        recipe = import_module(RECIPES[name])
        parsed = _parse(name, recipe.Config, options)
        figures = recipe.train(parsed.recipe, parsed.out, resume=parsed.resume, dry_run=parsed.dry_run)
    if parsed.dry_run:
        _say(figures)
    elif figures:  # only the main process of several has any
        _report(figures)


def _parse(name: str, config: type[ConfigT], options: list[str]) -> Options[ConfigT]:
    from reparam.recipes.runs import CONFIG, read_config

    prog = f"reparam train {name}"
    parsed = tyro.cli(Options[config], prog=prog, description=config.__doc__, args=options)
    if parsed.config is not None and parsed.resume is not None:
        raise InvalidArgument(
            "a resumed run has its configuration already",
            received=f"--config {parsed.config} --resume {parsed.resume}",
            instead=f"reparam train {name} --resume {parsed.resume}",
        )
    start = parsed.config or (parsed.resume and parsed.resume / CONFIG)
    if start is None:
        return parsed
    return tyro.cli(Options[config], prog=prog, args=options, default=Options(read_config(start, config)))


# The figures of the recipes: what they are called, and their unit.
FIGURES = {
    "test_elbo": ("test ELBO", "nats per image"),
    "test_nll": ("test NLL", "nats"),
    "eval_return_mean": ("return", "a mean over evaluation episodes"),
    "frechet_distance": ("Frechet", "distance from the data, by a classifier"),
    "test_accuracy": ("accuracy", "on test data"),
    "test_log_likelihood": ("held out", "nats per point"),
    "cpu_seconds": ("CPU time", "s"),
}


def _report(summary: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name, (label, unit) in FIGURES.items():
        if name in summary:
            console.print(f"{label:<11}{summary[name]:.2f} {unit}")
    folder = Path(summary["folder"])
    console.print(f"run folder {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _say(plan: dict[str, Any]) -> None:
    for name, value in plan.items():
        print(f"{name.replace('_', ' '):<11}{value}")
