"""Generated images judged by one classifier: a GAN, an adversarial autoencoder, a VAE, and real images.

Fréchet distance between the features of a classifier, coverage of real images and of classes (`recipes/quality.py`),
for the recipe in both its models and with both regularizers and for the VAE recipe, beside test images as the best
there is. Every row compares groups of as many images as there are for testing: the distance depends on their number.

    python benchmarks/gan_quality.py --epochs 150
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import reparam as rp
from paired import machine
from reparam.recipes import gan, vae
from reparam.recipes.data import load
from reparam.recipes.quality import Judge

RESULTS = Path(__file__).parent / "results" / "gan_quality.json"
FIGURES = ("frechet_distance", "coverage", "modes")
QUIET = Console(quiet=True)


def of_players(config: gan.Config) -> dict[str, Any]:
    """The recipe's own figures."""
    with tempfile.TemporaryDirectory() as folder:
        summary = gan.train(config, folder, console=QUIET)
    return {name: summary[name] for name in (*FIGURES, "cpu_seconds")}


def of_autoencoder(config: vae.Config, judge: Judge) -> dict[str, Any]:
    """The same of the VAE's images: the probabilities of its pixels."""
    with tempfile.TemporaryDirectory() as folder:
        summary = vae.train(config, folder, console=QUIET)
        model, dataset, _ = vae.restore(folder)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        images = model.paint(model.dream(gan.Config().groups * judge.count, noise))
    return {**judge.measure(images.unflatten(-1, dataset.image_shape)), "cpu_seconds": summary["cpu_seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--vae-epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    dataset = load(args.data)
    judge = Judge(dataset)
    rows = [
        {"model": "test images", "seed": 0, **judge.measure(dataset.test_images[: judge.count]), "cpu_seconds": 0.0}
    ]
    record = {"machine": machine(), "reparam": rp.__version__, "data": args.data, "epochs": args.epochs, "runs": rows}
    shared = {"data": args.data, "epochs": args.epochs, "threads": 1}
    for seed in range(args.seeds):
        players = {
            "GAN, R1": gan.Config(seed=seed, **shared),
            "GAN, spectral norm": gan.Config(seed=seed, regularizer="spectral", **shared),
            "AVB, R1": gan.Config(seed=seed, model="avb", **shared),
        }
        plain = vae.Config(data=args.data, epochs=args.vae_epochs, seed=seed, threads=1)
        rows.append({"model": "VAE", "seed": seed, **of_autoencoder(plain, judge)})
        for name, config in players.items():
            rows.append({"model": name, "seed": seed, **of_players(config)})
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['machine']}; {args.data}, {args.epochs} epochs, {judge.count} images compared\n")
    print("| images of | seed | Fréchet distance | coverage | classes | CPU seconds |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = (
            f"{row['frechet_distance']:.2f} | {row['coverage']:.2f} | {row['modes']:.1f} | {row['cpu_seconds']:.0f}"
        )
        print(f"| {row['model']} | {row['seed']} | {figures} |")


if __name__ == "__main__":
    main()
