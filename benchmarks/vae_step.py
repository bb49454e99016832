"""Claim: a VAE training step through reparam costs at most 1.05 times the CPU time of the step written by hand.

Both steps binarise a batch, run the same networks, draw one latent per image, add the closed-form KL, differentiate and
let Adam step. Blocks of steps alternate within one process and in a random order, so that both meet the same machine;
a ratio is taken inside each pair of blocks, and the median of the ratios is the figure.

    python benchmarks/vae_step.py
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from reparam.recipes.vae import VAE, Config, bound

LIMIT = 1.05
PAIRS = 41
CONFIGURATIONS = {  # pixels, hidden, latent, steps in a block
    "digits, 64-64-8": (64, 64, 8, 100),
    "fashion-mnist, 784-400-20": (784, 400, 20, 10),
}


class Bench:
    """One model in training, stepped either by hand or through reparam."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        torch.manual_seed(0)
        self.model = VAE(pixels, hidden, latent)
        self.prior = self.model.prior()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.noise = torch.Generator().manual_seed(0)
        self.config = Config()
        self.images = torch.rand(self.config.batch, pixels, generator=self.noise)

    def by_hand(self, batch: Tensor) -> Tensor:
        """The ELBO in plain torch."""
        loc, log_scale = self.model.encoder(batch).chunk(2, dim=-1)
        scale = log_scale.exp()
        z = loc + scale * torch.randn(loc.shape, generator=self.noise)
        logits = self.model.decoder(z)
        cost = nn.functional.binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(-1)
        return -cost - 0.5 * (loc.square() + scale.square() - 1 - 2 * log_scale).sum(-1)

    def through_reparam(self, batch: Tensor) -> Tensor:
        """The ELBO as the recipe computes it."""
        return bound(self.model, self.prior, batch, self.config, self.noise)

    def seconds(self, objective: Callable[[Tensor], Tensor], steps: int) -> float:
        """CPU time of one training step, the mean of several."""
        started = time.process_time()
        for _ in range(steps):
            batch = torch.bernoulli(self.images, generator=self.noise)
            self.optimizer.zero_grad()
            (-objective(batch).mean()).backward()
            self.optimizer.step()
        return (time.process_time() - started) / steps


def compare(pixels: int, hidden: int, latent: int, steps: int) -> tuple[list[float], float]:
    """The ratios of CPU time, reparam over by hand, and the median time of a step by hand in seconds."""
    bench = Bench(pixels, hidden, latent)
    objectives = [bench.through_reparam, bench.by_hand]
    ratios, by_hand = [], []
    for _ in range(1 + PAIRS):
        times = {objective.__name__: bench.seconds(objective, steps) for objective in random.sample(objectives, 2)}
        ratios.append(times["through_reparam"] / times["by_hand"])
        by_hand.append(times["by_hand"])
    return ratios[1:], statistics.median(by_hand[1:])  # the first pair warms up


def main() -> None:
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    for name, configuration in CONFIGURATIONS.items():
        ratios, by_hand = compare(*configuration)
        low, middle, high = statistics.quantiles(ratios, n=4)
        verdict = "holds" if middle <= LIMIT else "does not hold"
        print(f"{name}: {middle:.3f} times by hand (quartiles {low:.3f} to {high:.3f}, {PAIRS} pairs),")
        print(f"  {by_hand * 1e6:.0f} us of CPU time a step by hand; at most {LIMIT}: {verdict}")


if __name__ == "__main__":
    main()
