"""A mixture of Gaussians by gradient and by scikit-learn's EM: held-out log-likelihood and CPU time, seed by seed.

Both fit the same points, split the same way, with as many components of full covariance, from the same k-means++ means
of each seed, and with a floor under every variance: the recipe's on the Cholesky factor, scikit-learn's `reg_covar`,
its square, on the covariance. EM stops where scikit-learn stops it (tolerance 1e-3, as by default); the recipe runs its
epochs. The recipe's time includes reading the data, its evaluations and its pictures; scikit-learn's is `fit` alone.

    python -m pip install scikit-learn
    python benchmarks/mixture_against_sklearn.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import reparam as rp
from paired import machine
from reparam.recipes.mixture import Config, build, points, train

RESULTS = Path(__file__).parent / "results" / "mixture_against_sklearn.json"
CASES = {
    "pinwheel, 15 components": Config(data="pinwheel", components=15, threads=1),
    "digits, 8 dimensions, 10 components": Config(components=10, threads=1),
    "digits, 8 dimensions, 20 components": Config(components=20, threads=1),
}


def by_gradient(config: Config) -> dict[str, float]:
    """The recipe."""
    with tempfile.TemporaryDirectory() as folder:
        summary = train(config, folder, console=Console(quiet=True))
    names = {"train": "train_log_likelihood", "test": "test_log_likelihood", "seconds": "cpu_seconds"}
    return {short: summary[name] for short, name in names.items()}


def by_em(config: Config) -> dict[str, float]:
    """scikit-learn's EM from the recipe's own starting means."""
    # An extra of this one script: the environment of the other benchmarks has no scikit-learn.
    from sklearn.mixture import GaussianMixture  # pyright: ignore[reportMissingImports]

    data = points(config)
    fitted = GaussianMixture(
        config.components,
        means_init=build(config, data.train).loc.detach().double().numpy(),
        reg_covar=config.floor**2,
        max_iter=1000,
        random_state=config.seed,
    )
    x, held_out = data.train.double().numpy(), data.test.double().numpy()
    started = time.process_time()
    fitted.fit(x)
    seconds = time.process_time() - started
    return {"train": float(fitted.score(x)), "test": float(fitted.score(held_out)), "seconds": seconds}


def row(case: str, method: str, runs: list[dict[str, Any]]) -> str:
    """A line of the table, in Markdown: means over the seeds and their standard deviation."""
    mine = [run for run in runs if (run["case"], run["method"]) == (case, method)]
    figures = [f"{_spread([run[name] for run in mine])}" for name in ("train", "test")]
    return f"| {case} | {method} | {' | '.join(figures)} | {statistics.mean(run['seconds'] for run in mine):.2f} |"


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=Config().epochs)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    runs: list[dict[str, Any]] = []
    record = {"machine": machine(), "epochs": args.epochs, "reparam": rp.__version__, "runs": runs}
    for seed in range(args.seeds):
        for case, config in CASES.items():
            chosen = replace(config, seed=seed, epochs=args.epochs)
            for method, fit in (("gradient", by_gradient), ("EM", by_em)):
                runs.append({"case": case, "method": method, "seed": seed, **fit(chosen)})
                args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['machine']}; {args.epochs} epochs, {args.seeds} seeds\n")
    print("| data | fitted by | training log-likelihood | held-out log-likelihood | CPU seconds |")
    print("|---|---|---|---|---|")
    for case in CASES:
        for method in ("gradient", "EM"):
            print(row(case, method, runs))


if __name__ == "__main__":
    main()
