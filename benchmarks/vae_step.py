"""Claim: a VAE training step through reparam costs at most 1.05 times the CPU time of the step written by hand.

All steps binarise a batch, run the same networks with the same Adam, draw one latent per image, add the closed-form KL,
differentiate and step. There are two peers: one with `torch.distributions`, as most people write it, and one with bare
tensors, as nobody who changes his prior twice does. On 64 pixels a step is all call overhead, on 784 it is arithmetic.

`through_reparam` is the objective alone, with torch's generator like its peers; `in_the_recipe` is the step that
`reparam train vae` takes, with noise that is keyed by a sample's place in the batch, through Lightning Fabric.

    python benchmarks/vae_step.py
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from paired import compare, machine
from reparam.recipes.keyed import Share
from reparam.recipes.machine import Machine
from reparam.recipes.networks import dense
from reparam.recipes.vae import VAE, Config, Noise, bound

LIMIT = 1.05
CONFIGURATIONS = {  # pixels, hidden, latent, steps in a block
    "fashion-mnist, 784-400-20": (784, 400, 20, 10),
    "digits, 64-64-8": (64, 64, 8, 100),
}


class Bench:
    """One model in training, stepped in three ways."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        torch.manual_seed(0)
        self.model = VAE(dense((1, pixels), hidden, latent, 2 * latent), latent)
        self.prior = self.model.prior()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.noise = torch.Generator().manual_seed(0)
        self.config = Config()
        self.images = torch.rand(self.config.batch, pixels, generator=self.noise)
        self.learner = Machine(self.config).learner(self.model, self._loss, self.optimizer)
        self.share = Share(torch.arange(self.config.batch), 0, self.config.batch, 0, 0)

    def _cost(self, batch: Tensor, z: Tensor) -> Tensor:
        logits = self.model.decoder(z)
        return nn.functional.binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(-1)

    def bare_tensors(self) -> None:
        """No object of any library."""
        batch = torch.bernoulli(self.images, generator=self.noise)
        loc, log_variance = self.model.encoder(batch).chunk(2, dim=-1)
        scale = (log_variance / 2).exp()
        z = loc + scale * torch.randn(loc.shape, generator=self.noise)
        self._step(-self._cost(batch, z) - 0.5 * (loc.square() + scale.square() - 1 - log_variance).sum(-1))

    def torch_distributions(self) -> None:
        """As in most tutorials, without validation."""
        batch = torch.bernoulli(self.images, generator=self.noise)
        loc, log_variance = self.model.encoder(batch).chunk(2, dim=-1)
        posterior = Independent(Normal(loc, (log_variance / 2).exp(), validate_args=False), 1, validate_args=False)
        self._step(-self._cost(batch, posterior.rsample()) - kl_divergence(posterior, self.prior))

    def through_reparam(self) -> None:
        """The objective of the recipe."""
        batch = torch.bernoulli(self.images, generator=self.noise)
        self._step(bound(self.model, self.prior, batch, self.config, self.noise))

    def in_the_recipe(self) -> None:
        """As the recipe does it, engine included."""
        batch = self.share.bernoulli(self.images)
        self.learner.step(batch, self.share.noise(1), of=len(batch))

    def _loss(self, model: VAE, batch: Tensor, noise: Noise) -> Tensor:
        return -bound(model, self.prior, batch, self.config, noise)

    def _step(self, objective: Tensor) -> None:
        self.optimizer.zero_grad()
        (-objective.mean()).backward()
        self.optimizer.step()


def main() -> None:
    """Print the ratios, and the microseconds that are added to a step or taken from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=41)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    print(machine())
    for name, (*sizes, steps) in CONFIGURATIONS.items():
        bench = Bench(*sizes)
        for ours in (bench.through_reparam, bench.in_the_recipe):
            for peer in (bench.bare_tensors, bench.torch_distributions):
                ratio = compare(ours, peer, calls=steps, pairs=pairs)
                print(f"{name}, {ours.__name__}: {(ratio.middle - 1) * ratio.peer * 1e6:+.0f} us a step")
                print(ratio.report(f"  against {peer.__name__}", LIMIT), flush=True)


if __name__ == "__main__":
    main()
