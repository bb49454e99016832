"""Claim: a step of a VAE with 200 coins under leave-one-out takes less time than Storchastic's, for the same gradient.

One model, that of `reparam train discrete-vae`: two hidden layers of 200, 200 Bernoulli latents, 4 draws, divergence in
closed form, batches of 100 from Fashion-MNIST binarised anew, Adam at 3e-4, one thread. Ours is `rp.objectives.elbo`
with `rp.LeaveOneOut(4)`, Storchastic's is `ScoreFunction(n_samples=4, baseline_factory="batch_average")`, its own words
for the same estimator. Three tables: CPU time of a step, in turn and pair by pair; the gradients' means, compared along
random directions, and their variances, at the first weights; the bound of test images after equal steps from each seed.

Storchastic 0.3.7 runs with torch 2.13 where two things are said more than its documents say: the prior of torch's
divergence has the batch shape of the posterior, and the likelihood, whose target torch wants in the shape of the
logits, is a function under `storch.deterministic`. Importing it changes `torch.Tensor.to` and turns torch's validation
off, for both contenders alike.

    pip install storchastic==0.3.7 entmax
    python benchmarks/discrete_vae_against_storchastic.py
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence

from paired import compare, machine
from reparam import testing
from reparam.recipes.data import Dataset, load
from reparam.recipes.discrete_vae import Config, build, held_out

RESULTS = Path(__file__).parent / "results" / "discrete_vae_against_storchastic.json"
DRAWS, COINS, BATCH, RATE = 4, 200, 100, 3e-4
DIRECTIONS, SAMPLES = 64, 16


class Reparam:
    """The objective as the recipe writes it."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.images = dataset.train_images.flatten(1)
        self.model = build(Config(latent=COINS, estimator=f"LeaveOneOut({DRAWS})", seed=seed), dataset)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=RATE)
        self.left: list[Tensor] = []
        torch.manual_seed(seed)

    def batch(self) -> Tensor:
        """The next binary images, of a random order in each epoch."""
        if not self.left:
            self.left = list(torch.randperm(len(self.images)).split(BATCH))
        return torch.bernoulli(self.images[self.left.pop()])

    def backward(self, x: Tensor) -> None:
        """The gradient of minus the mean bound."""
        (-self.model.bound(x).mean()).backward()

    def step(self) -> None:
        """One step of training."""
        self.adam.zero_grad()
        self.backward(self.batch())
        self.adam.step()


class Storchastic(Reparam):
    """The same networks in a stochastic computation graph."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        import storch  # pyright: ignore[reportMissingImports]  (for this comparison alone)

        super().__init__(dataset, seed)
        self.storch = storch
        self.method = storch.method.ScoreFunction("z", n_samples=DRAWS, baseline_factory="batch_average")

        @storch.deterministic
        def cost(logits: Tensor, x: Tensor) -> Tensor:
            x = x.expand_as(logits)
            return nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)

        self.cost = cost

    def backward(self, x: Tensor) -> None:
        """The gradient of the mean of its costs."""
        x = self.storch.denote_independent(x, 0, "images")
        posterior = Bernoulli(logits=self.model.encoder(x - self.model.mean))
        prior = Bernoulli(logits=torch.zeros(x.shape[0], COINS))
        self.storch.add_cost(kl_divergence(posterior, prior).sum(-1), "divergence")
        self.storch.add_cost(self.cost(self.model.decoder(self.method(posterior)), x), "reconstruction")
        self.storch.backward()


CONTENDERS = {"reparam": Reparam, "Storchastic": Storchastic}


def gradients(contender: Reparam, x: Tensor, directions: Tensor, repeats: int) -> tuple[Tensor, float]:
    """The encoder's gradient along each direction, shape (repeats, directions), and its variance over all weights."""
    rows, mean, spread = [], torch.zeros(()), torch.zeros(())
    for count in range(1, repeats + 1):
        contender.model.zero_grad()
        contender.backward(x)
        one = torch.cat([p.grad.flatten() for p in contender.model.encoder.parameters() if p.grad is not None])
        rows.append(directions @ one)
        change = one - mean
        mean = mean + change / count
        spread = spread + change * (one - mean)
    return torch.stack(rows), spread.sum().item() / (repeats - 1)


def agreement(dataset: Dataset, repeats: int) -> dict[str, float]:
    """Whether both estimate one gradient: the largest z-score among the directions, and the variances."""
    contenders = {name: make(dataset, 0) for name, make in CONTENDERS.items()}
    stream = torch.Generator().manual_seed(1)
    x = torch.bernoulli(next(iter(contenders.values())).images[:BATCH], generator=stream)
    weights = sum(p.numel() for p in contenders["reparam"].model.encoder.parameters())
    directions = torch.randn(DIRECTIONS, weights, generator=stream) / weights**0.5
    found = {name: gradients(one, x, directions, repeats) for name, one in contenders.items()}
    test = testing.z_test(found["reparam"][0] - found["Storchastic"][0], 0.0, comparisons=DIRECTIONS)
    return {
        "largest_z": test.z.abs().max().item(),
        "threshold": test.threshold,
        **{f"variance_{name}": variance for name, (_, variance) in found.items()},
    }


def trained(name: str, dataset: Dataset, seed: int, steps: int) -> dict[str, Any]:
    """The bound of the test images after so many steps, and their CPU time."""
    contender = CONTENDERS[name](dataset, seed)
    started = time.process_time()
    for _ in range(steps):
        contender.step()
    seconds = time.process_time() - started
    elbo = held_out(contender.model, dataset.test_images.flatten(1), SAMPLES)[0]
    return {"name": name, "seed": seed, "test_elbo": elbo, "cpu_seconds": seconds}


def table(runs: list[dict[str, Any]], steps: int) -> str:
    """A row for each contender, in Markdown."""
    lines = [f"| | test ELBO after {steps} steps, nats | CPU seconds |", "|---|---|---|"]
    for name in CONTENDERS:
        elbo, seconds = ([run[key] for run in runs if run["name"] == name] for key in ("test_elbo", "cpu_seconds"))
        spread = f" ± {statistics.stdev(elbo):.2f}" if len(elbo) > 1 else ""
        lines.append(f"| {name} | {statistics.mean(elbo):.2f}{spread} | {statistics.mean(seconds):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the three comparisons, and write every number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--repeats", type=int, default=500, help="gradients that means and variances are from")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if importlib.util.find_spec("storch") is None:
        print("not run: it compares with Storchastic (pip install storchastic==0.3.7 entmax)")
        return
    torch.set_num_threads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    head = f"{machine()}, Storchastic {importlib.metadata.version('storchastic')}"
    dataset = load("fashion-mnist")
    print(head)
    ratio = compare(Reparam(dataset, 0).step, Storchastic(dataset, 0).step, calls=5, pairs=args.pairs)
    print(ratio.report("a step, against Storchastic", 1.0), flush=True)
    agreed = agreement(dataset, args.repeats)
    verdict = "they agree" if agreed["largest_z"] <= agreed["threshold"] else "they differ"
    print(f"means of {args.repeats} gradients: largest z {agreed['largest_z']:.2f}, {verdict}; {agreed}", flush=True)
    runs: list[dict[str, Any]] = []
    record = {"machine": head, "steps": args.steps, "step_ratio": vars(ratio), "gradients": agreed, "runs": runs}
    for seed in range(args.seeds):
        for name in CONTENDERS:
            runs.append(trained(name, dataset, seed, args.steps))
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\n{table(runs, args.steps)}")


if __name__ == "__main__":
    main()
