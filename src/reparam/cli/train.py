"""`reparam train RECIPE`: a recipe's configuration as options, its figures as a last word."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro
from rich.console import Console

from reparam.cli.extras import needs
from reparam.errors import InvalidArgument

ConfigT = TypeVar("ConfigT")

RECIPES = {"vae": "reparam.recipes.vae"}


@dataclass(frozen=True)
class Options(Generic[ConfigT]):
    """What the command adds to a recipe's configuration."""

    recipe: tyro.conf.OmitArgPrefixes[ConfigT]
    out: Path | None = None
    """A new or empty folder for the run; by default the next free runs/RECIPE-NUMBER."""
    config: Path | None = None
    """Start from a TOML file, such as the config.toml of a run; options on the command line win."""


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
    _report(recipe.train(parsed.recipe, parsed.out))


def _parse(name: str, config: type[ConfigT], options: list[str]) -> Options[ConfigT]:
    from reparam.recipes.runs import read_config

    prog = f"reparam train {name}"
    parsed = tyro.cli(Options[config], prog=prog, description=config.__doc__, args=options)
    if parsed.config is None:
        return parsed
    start = Options(read_config(parsed.config, config))
    return tyro.cli(Options[config], prog=prog, args=options, default=start)


def _report(summary: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"test ELBO  {summary['test_elbo']:.2f} nats per image")
    console.print(f"test NLL   {summary['test_nll']:.2f} nats per image, {summary['nll_samples']} importance samples")
    console.print(f"CPU time   {summary['cpu_seconds']:.1f} s")
    console.print(
        f"run folder {summary['folder']}: {', '.join(sorted(p.name for p in Path(summary['folder']).iterdir()))}"
    )
