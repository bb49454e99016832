"""Claim: the recipe's VAE step costs at most 1.05 times plain torch's and less than Pyro's, and learns as well as each.

Everyone trains the same networks, 784-400-20, on Fashion-MNIST binarised anew in each step, with batches of 100, Adam
at 1e-3 and one thread, from the same first weights. A step takes the images out of the data, binarises them, and moves
the weights: the recipe's is the step of `reparam train vae`, with its keyed noise and its engine; the peers' are

* plain torch: bare tensors, with the closed-form divergence, as one writes it who never changes his prior; with Adam as
  torch makes it by default, with the fused Adam that the recipe asks for, and with that and the encoder's numbers read
  as logarithms of variances, as the recipe and pythae read them, where the others take them for those of scales;
* Pyro: `SVI` with a model and a guide, for `Trace_ELBO` as in its tutorial and for `TraceMeanField_ELBO`, whose
  divergence is the closed form; its validation is off;
* pythae: its `VAE` with an encoder and a decoder of its base classes, forward, backward and Adam without its trainer.

Times are of CPU, in turn and pair by pair. Then everyone trains for some epochs from each seed, and one function
measures all the networks on the same binarised test images: the bound from 16 samples an image. Peers that are not
installed are named and left out.

    pip install pyro-ppl==1.9.2 pythae==0.1.2
    python benchmarks/vae_against_peers.py
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from paired import compare, machine
from reparam.recipes import vae
from reparam.recipes.data import Dataset, load
from reparam.recipes.machine import Machine
from reparam.recipes.networks import Networks, dense

RESULTS = Path(__file__).parent / "results" / "vae_against_peers.json"
HIDDEN, LATENT, BATCH, RATE, SAMPLES = 400, 20, 100, 1e-3, 16


class Recipe:
    """`reparam train vae`, step by step."""

    def __init__(self, _dataset: Dataset, seed: int) -> None:
        config = vae.Config(data="fashion-mnist", hidden=HIDDEN, latent=LATENT, batch=BATCH, seed=seed)
        self.training = vae.Training(config, Machine(config))
        self.networks = self.training.model.encoder, self.training.model.decoder
        self.done = 0

    def step(self) -> None:
        """One step of the run."""
        self.training.step(self.done)
        self.done += 1


class Peer:
    """The same data and networks for everybody else."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.images = dataset.train_images.flatten(1)
        torch.manual_seed(seed)
        self.encoder, self.decoder = dense(dataset.image_shape, HIDDEN, LATENT, 2 * LATENT)
        self.networks: Networks = _DoubledLogarithms(self.encoder), self.decoder
        self.left: list[Tensor] = []

    def batch(self) -> Tensor:
        """The next binary images, of a random order in each epoch."""
        if not self.left:
            self.left = list(torch.randperm(len(self.images)).split(BATCH))
        return torch.bernoulli(self.images[self.left.pop()])

    def optimizer(self, *modules: nn.Module, fused: bool | None = None) -> torch.optim.Optimizer:
        """Adam over all of their weights, by default as torch makes it."""
        return torch.optim.Adam([p for module in modules for p in module.parameters()], lr=RATE, fused=fused)


class PlainTorch(Peer):
    """No object of any library; the encoder emits the logarithm of the scale."""

    def __init__(self, dataset: Dataset, seed: int, fused: bool | None = None) -> None:
        super().__init__(dataset, seed)
        self.adam = self.optimizer(self.encoder, self.decoder, fused=fused)

    def step(self) -> None:
        """As written by hand."""
        x = self.batch()
        loc, log_scale = self.encoder(x).chunk(2, dim=-1)
        scale = log_scale.exp()
        self.descend(x, loc, scale, 0.5 * (loc.square() + scale.square() - 1 - 2 * log_scale).sum(-1))

    def descend(self, x: Tensor, loc: Tensor, scale: Tensor, divergence: Tensor) -> None:
        """Move the weights."""
        logits = self.decoder(loc + scale * torch.randn_like(scale))
        cost = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        self.adam.zero_grad()
        (cost + divergence).mean().backward()
        self.adam.step()


class LogVariance(PlainTorch):
    """The same, where the encoder emits the logarithm of the variance, with the fused Adam: the recipe by hand."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        super().__init__(dataset, seed, fused=True)
        self.networks = self.encoder, self.decoder

    def step(self) -> None:
        """As written by hand."""
        x = self.batch()
        loc, log_variance = self.encoder(x).chunk(2, dim=-1)
        scale = (log_variance / 2).exp()
        self.descend(x, loc, scale, 0.5 * (loc.square() + scale.square() - 1 - log_variance).sum(-1))


class Pyro(Peer):
    """A model, a guide, and SVI."""

    def __init__(self, dataset: Dataset, seed: int, objective: Literal["Trace_ELBO", "TraceMeanField_ELBO"]) -> None:
        import pyro  # pyright: ignore[reportMissingImports]  (for this comparison alone)
        import pyro.infer  # pyright: ignore[reportMissingImports]
        import pyro.optim  # pyright: ignore[reportMissingImports]

        super().__init__(dataset, seed)
        pyro.clear_param_store()
        loss = getattr(pyro.infer, objective)()
        self.pyro, self.of = pyro, pyro.distributions
        self.zeros, self.ones = torch.zeros(LATENT), torch.ones(LATENT)
        self.svi = pyro.infer.SVI(self.model, self.guide, pyro.optim.Adam({"lr": RATE}), loss=loss)

    def model(self, x: Tensor) -> None:
        """The latent, and the image that is painted from it."""
        self.pyro.module("decoder", self.decoder)
        with self.pyro.plate("images", len(x)):
            z = self.pyro.sample("z", self.of.Normal(self.zeros, self.ones).to_event(1))
            self.pyro.sample("x", self.of.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """The guess at the latent."""
        self.pyro.module("encoder", self.encoder)
        with self.pyro.plate("images", len(x)):
            loc, log_scale = self.encoder(x).chunk(2, dim=-1)
            self.pyro.sample("z", self.of.Normal(loc, log_scale.exp()).to_event(1))

    def step(self) -> None:
        """One step of SVI."""
        with self.pyro.validation_enabled(False):
            self.svi.step(self.batch())


class Pythae(Peer):
    """A ready-made model; its encoder emits logarithms of variances, and its decoder ends in probabilities."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]
        from pythae.models.base.base_utils import ModelOutput  # pyright: ignore[reportMissingImports]
        from pythae.models.nn import BaseDecoder, BaseEncoder  # pyright: ignore[reportMissingImports]

        class Encoder(BaseEncoder):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, x: Tensor) -> ModelOutput:
                loc, log_variance = self.network(x).chunk(2, dim=-1)
                return ModelOutput(embedding=loc, log_covariance=log_variance)

        class Decoder(BaseDecoder):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, z: Tensor) -> ModelOutput:
                return ModelOutput(reconstruction=self.network(z).sigmoid())

        super().__init__(dataset, seed)
        config = VAEConfig(input_dim=(self.images.shape[1],), latent_dim=LATENT, reconstruction_loss="bce")
        self.model = VAE(config, Encoder(self.encoder), Decoder(self.decoder))
        self.networks = self.encoder, self.decoder
        self.adam = self.optimizer(self.model)

    def step(self) -> None:
        """Forward, backward, Adam."""
        self.adam.zero_grad()
        self.model({"data": self.batch()}).loss.backward()
        self.adam.step()


class _DoubledLogarithms(nn.Module):
    """An encoder of scales, read as the recipe reads its own: as one of variances."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        loc, log_scale = self.network(x).chunk(2, dim=-1)
        return torch.cat([loc, 2 * log_scale], dim=-1)


Contender: TypeAlias = "Recipe | PlainTorch | LogVariance | Pyro | Pythae"
OURS = "reparam train vae"
CONTENDERS: dict[str, Callable[[Dataset, int], Contender]] = {
    OURS: Recipe,
    "plain torch": PlainTorch,
    "plain torch, fused Adam": lambda dataset, seed: PlainTorch(dataset, seed, fused=True),
    "plain torch, fused Adam, log variance": LogVariance,
    "Pyro, Trace_ELBO": lambda dataset, seed: Pyro(dataset, seed, "Trace_ELBO"),
    "Pyro, TraceMeanField_ELBO": lambda dataset, seed: Pyro(dataset, seed, "TraceMeanField_ELBO"),
    "pythae": Pythae,
}
LIMITS = {name: 1.05 if name.startswith("plain") else 1.0 for name in CONTENDERS}
NEEDED = {"Pyro": ("pyro", "pyro-ppl"), "pythae": ("pythae", "pythae")}  # module and package


def versions() -> dict[str, str | None]:
    """The version of each library that is needed, None where it is not installed."""
    return {
        library: importlib.metadata.version(package) if importlib.util.find_spec(module) else None
        for library, (module, package) in NEEDED.items()
    }


def timed(names: list[str], dataset: Dataset, pairs: int) -> list[dict[str, Any]]:
    """The CPU time of the recipe's step against that of each peer."""
    rows = []
    for name in names:
        ratio = compare(Recipe(dataset, 0).step, CONTENDERS[name](dataset, 0).step, calls=10, pairs=pairs)
        print(ratio.report(f"  against {name}", LIMITS[name]), flush=True)
        rows.append({"against": name, **vars(ratio)})
    return rows


def trained(name: str, dataset: Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """The bound of the test images after so many epochs, and the CPU time of the steps."""
    contender = CONTENDERS[name](dataset, seed)
    started = time.process_time()
    for _ in range(epochs * (len(dataset.train_images) // BATCH)):
        contender.step()
    seconds = time.process_time() - started
    model = vae.VAE(contender.networks, LATENT)
    elbo = vae.held_out(model, dataset.test_images.flatten(1), "elbo", SAMPLES)
    return {"name": name, "seed": seed, "test_elbo": elbo, "cpu_seconds": seconds}


def table(record: dict[str, Any]) -> str:
    """A row for each contender, in Markdown."""
    lines = [f"| | test ELBO after {record['epochs']} epochs, nats | CPU seconds | a step of the recipe costs |"]
    lines.append("|---|---|---|---|")
    steps = {row["against"]: f"{row['middle']:.2f} ({row['low']:.2f} to {row['high']:.2f})" for row in record["steps"]}
    for name in dict.fromkeys(run["name"] for run in record["runs"]):
        mine = [run for run in record["runs"] if run["name"] == name]
        figures = " | ".join(_spread([run[key] for run in mine], key) for key in ("test_elbo", "cpu_seconds"))
        lines.append(f"| {name} | {figures} | {steps.get(name, '')} |")
    return "\n".join(lines)


def _spread(values: list[float], key: str) -> str:
    digits = 2 if key == "test_elbo" else 0
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def main() -> None:
    """Print the ratios and the table, and write every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    found = versions()
    for library in (library for library, version in found.items() if version is None):
        print(f"{library} is not installed, and left out")
    names = [name for name in args.only if found.get(name.split(",")[0], "") is not None]
    dataset = load("fashion-mnist")
    record: dict[str, Any] = {"machine": machine(), "peers": found, "epochs": args.epochs, "steps": [], "runs": []}
    print(f"{record['machine']}; {found}\nCPU time of a step of {OURS}, 784-{HIDDEN}-{LATENT}:")
    record["steps"] = timed([name for name in names if name != OURS], dataset, args.pairs)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    for seed in range(args.seeds):
        for name in names:
            record["runs"].append(trained(name, dataset, seed, args.epochs))
            args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"\n{table(record)}")


if __name__ == "__main__":
    main()
