"""Discrete VAEs under each estimator: the bound after equal steps, the gradient's variance, the time of a gradient.

Three tables. *Coins*: the protocol of the papers on binary VAEs (Dong et al. 2020): 200 Bernoulli latents, fixed prior,
dynamic binarisation, batches of 100, Adam at 3e-4 on Fashion-MNIST and 1e-3 elsewhere, the divergence by the same
draws; they train for a million steps, `--steps` says how many here. *Counts*: Poisson latents under a finite-order
surrogate, coupled differences and leave-one-out, and the Poisson cut off at a largest count under ReinMax.

The variance is that of the encoder's gradient of the mean bound of one batch, summed over its weights, at the end of
each estimator's own training. The time of a gradient is forward and backward on that batch, no optimizer. *Variances*
compares estimators where training has not led them apart: on one model, trained by DisARM for `--steps` and then held
fixed, while control variates that learn do so for `--control-steps` more.

    python benchmarks/discrete_vae.py --data digits --steps 300        # a minute or two
    python benchmarks/discrete_vae.py --steps 20000                    # Fashion-MNIST, 200 coins: an hour and a half
    python benchmarks/discrete_vae.py --table counts --steps 6000
    python benchmarks/discrete_vae.py --table variances --steps 6000
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

import reparam as rp
from paired import machine
from reparam.estimators.training import Controlled
from reparam.recipes.discrete_vae import Config, DiscreteVAE, FamilyName, restore, train
from reparam.recipes.estimator_names import estimator_named

RESULTS = Path(__file__).parent / "results"
COINS = (
    "DisARM",
    "ARMS(4)",
    "LeaveOneOut(2)",
    "LeaveOneOut(4)",
    "REBAR",
    "RELAX(temperature=0.5)",
    "RODEO",
    "ReinMax(1.1)",
)
COUNTS: tuple[tuple[FamilyName, str], ...] = (
    ("poisson", "Fini(2)"),
    ("poisson", "MeasureValued"),
    ("poisson", "LeaveOneOut(4)"),
    ("truncated-poisson", "ReinMax(1.1)"),
)
BY_EVALUATIONS = (
    *("LeaveOneOut(2)", "DisARM", "RODEO(2)"),
    *("LeaveOneOut(3)", "REBAR", "RELAX(temperature=0.5)", "ARMS(3)", "RODEO(3)"),
)
COLUMNS = ("train_elbo", "test_elbo", "test_nll", "variance", "milliseconds")


def gradient(model: DiscreteVAE, images: Tensor) -> Tensor:
    """One estimate of the encoder's gradient, flat."""
    weights = list(model.encoder.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(model.bound(images).mean(), weights)])


def measured(model: DiscreteVAE, images: Tensor, repeats: int) -> dict[str, float]:
    """The variance of a gradient, and its CPU time."""
    torch.manual_seed(0)
    gradient(model, images)
    mean, spread = torch.zeros(()), torch.zeros(())
    started = time.process_time()
    for count in range(1, repeats + 1):
        one = gradient(model, images)
        change = one - mean
        mean = mean + change / count
        spread = spread + change * (one - mean)
    milliseconds = 1e3 * (time.process_time() - started) / repeats
    return {"variance": spread.sum().item() / (repeats - 1), "milliseconds": milliseconds}


def row(config: Config, repeats: int) -> dict[str, Any]:
    """Train, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        summary = train(config, folder, console=Console(quiet=True))
        model, dataset, _ = restore(folder)
    images = dataset.train_images[: config.batch].flatten(1)
    images = torch.bernoulli(images, generator=torch.Generator().manual_seed(0))
    kept = {name: summary[name] for name in ("family", "unbiased", "evaluations", *COLUMNS[:3])}
    run = {**kept, "estimator": config.estimator, "seed": config.seed, "steps": summary["steps"]}
    return {**run, **measured(model, images, repeats)}


def variances(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every estimator on one model, each after its control variate has learned there."""
    config = Config(estimator="DisARM", latent=args.latent, kl="monte-carlo", **shared(args))
    with tempfile.TemporaryDirectory() as folder:
        train(config, folder, console=Console(quiet=True))
        model, dataset, _ = restore(folder)
    images = dataset.train_images.flatten(1)
    for name in BY_EVALUATIONS:
        model.estimator = estimator_named(name)
        torch.manual_seed(0)
        learn_controls(model, images, args.control_steps)
        evaluations = model.estimator.evaluations(model.posterior(images[:1]))
        batch = torch.bernoulli(images[: config.batch], generator=torch.Generator().manual_seed(0))
        yield {"estimator": name, "evaluations": evaluations, **measured(model, batch, args.repeats)}


def learn_controls(model: DiscreteVAE, images: Tensor, steps: int) -> None:
    """Train what the estimator trains of its own; the model stays as it is."""
    if not isinstance(model.estimator, Controlled):
        return
    optimizer = torch.optim.Adam(model.estimator.parameters(), lr=1e-3)
    for _ in track(range(steps), description=type(model.estimator).__name__, transient=True):
        optimizer.zero_grad()
        batch = torch.bernoulli(images[torch.randint(len(images), (100,))])
        model.bound(batch).mean().backward()
        optimizer.step()


def shared(args: argparse.Namespace) -> dict[str, Any]:
    """What all the trainings have in common."""
    return {
        "data": args.data,
        "steps": args.steps,
        "network": args.network,
        "learning_rate": 3e-4 if args.data == "fashion-mnist" else 1e-3,
        "threads": args.threads,
    }


def configurations(args: argparse.Namespace) -> list[Config]:
    """Every run of a table."""
    known = [name for name in COINS if hasattr(rp, name.partition("(")[0])]
    runs = []
    for seed in range(args.seeds):
        coins = [Config(estimator=e, latent=args.latent, kl="monte-carlo", seed=seed, **shared(args)) for e in known]
        counts = [
            Config(family=family, estimator=e, latent=args.counts, levels=args.levels, seed=seed, **shared(args))
            for family, e in COUNTS
        ]
        runs += coins if args.table == "coins" else counts
    return runs


def earlier(out: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of an interrupted table of the same machine, versions and options: hours are not spent twice."""
    before = json.loads(out.read_text()) if out.exists() else {}
    runs = before.pop("runs", [])
    return runs if before == record else []


def line(run: dict[str, Any]) -> str:
    """A row of the table."""
    figures = " | ".join(f"{run[name]:.4g}" for name in COLUMNS)
    said = "yes" if run["unbiased"] else "no"
    return f"| {run['family']} | `{run['estimator']}` | {said} | {run['evaluations']} | {figures} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=("coins", "counts", "variances"), default="coins")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--latent", type=int, default=200, help="coins")
    parser.add_argument("--counts", type=int, default=20, help="count latents; coupled differences evaluate each")
    parser.add_argument("--levels", type=int, default=15, help="the largest count of the Poisson that is cut off")
    parser.add_argument("--network", choices=("linear", "nonlinear"), default="nonlinear")
    parser.add_argument("--repeats", type=int, default=100, help="gradients that the variance is from")
    parser.add_argument("--control-steps", type=int, default=3000, help="of control variates, in the last table")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="some estimators of the table, as they are written there")
    parser.add_argument("--out", type=Path, help="the file of figures; by default one of the table's own")
    args = parser.parse_args()
    out: Path = args.out or RESULTS / f"discrete_vae_{args.table}.json"
    torch.set_num_threads(args.threads)
    out.parent.mkdir(parents=True, exist_ok=True)
    options = {
        name: value for name, value in vars(args).items() if name not in ("table", "out", "only", "control_steps")
    }
    record: dict[str, Any] = {"machine": machine(), "reparam": rp.__version__, **options}
    print(f"{record['machine']}; {args.data}, {args.steps} steps\n")
    (fixed_model if args.table == "variances" else trainings)(args, record, out)


def fixed_model(args: argparse.Namespace, record: dict[str, Any], out: Path) -> None:
    """The table of variances."""
    print("| estimator | evaluations | variance | ms |\n|---|---|---|---|")
    record |= {"control_steps": args.control_steps, "runs": []}
    for run in variances(args):
        record["runs"].append(run)
        out.write_text(json.dumps(record, indent=1) + "\n")
        figures = f"{run['variance']:.4g} | {run['milliseconds']:.4g}"
        print(f"| `{run['estimator']}` | {run['evaluations']} | {figures} |", flush=True)


def trainings(args: argparse.Namespace, record: dict[str, Any], out: Path) -> None:
    """The other two, a row for each training."""
    record["runs"] = rows = earlier(out, record)
    done = {(run["family"], run["estimator"], run["seed"]) for run in rows}
    print("| latents | estimator | unbiased | evaluations | training ELBO | test ELBO | test NLL | variance | ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for run in rows:
        print(line(run))
    for config in configurations(args):
        key = config.family, config.estimator, config.seed
        if key not in done and (not args.only or config.estimator in args.only):
            rows.append(row(config, args.repeats))
            out.write_text(json.dumps(record, indent=1) + "\n")
            print(line(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
