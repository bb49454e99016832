"""Every kind of latent of the VAE recipe on the digits: the bound that is reached, and the CPU time it takes.

The recipe's defaults throughout: only the family and the seed differ. The table holds means over the seeds with their
standard deviation; the JSON file, written anew after each run, holds every run. With `--dimensions` the dimensions of
the latent differ: a run whose bound meets one value that is not finite stops with an error.

    python benchmarks/vae_latents.py --epochs 100
    python benchmarks/vae_latents.py --families von-mises-fisher --dimensions 2 10 50 --epochs 15 --out sphere.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import reparam as rp
from paired import machine
from reparam.recipes.latents import LATENTS
from reparam.recipes.vae import Config, train

RESULTS = Path(__file__).parent / "results" / "vae_latents.json"
KEPT = ("seed", "epochs", "test_elbo", "test_nll", "cpu_seconds")


def trained(config: Config) -> dict[str, Any]:
    """The figures of one run, whose folder is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        summary = train(config, folder, console=Console(quiet=True))
    family = config.family + (f", {config.latent} dimensions" if config.latent else "")
    return {"family": family, **{name: summary[name] for name in KEPT}}


def table(runs: list[dict[str, Any]]) -> str:
    """A row for each kind of latent, in Markdown."""
    lines = ["| family | test ELBO, nats | test NLL, nats | CPU seconds |", "|---|---|---|---|"]
    for family in dict.fromkeys(run["family"] for run in runs):
        mine = [run for run in runs if run["family"] == family]
        elbo, nll, seconds = ([run[name] for run in mine] for name in KEPT[-3:])
        lines.append(f"| `{family}` | {_mean(elbo)} | {_mean(nll)} | {statistics.mean(seconds):.0f} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main() -> None:
    """Print the table and write the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=Config().epochs)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", nargs="*", choices=list(LATENTS), default=list(LATENTS))
    parser.add_argument("--dimensions", nargs="*", type=int, default=[None], help="by default the recipe's")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "torch": torch.__version__, "reparam": rp.__version__, "runs": []}
    for seed in range(args.seeds):
        for family, latent in itertools.product(args.families, args.dimensions):
            config = Config(family=family, latent=latent, epochs=args.epochs, seed=seed, threads=1)
            record["runs"].append(trained(config))
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['machine']}; {args.epochs} epochs, {args.seeds} seeds\n\n{table(record['runs'])}")


if __name__ == "__main__":
    main()
