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

import reparam as rp
from reparam.recipes.vae import VAE, Config, bound

LIMIT = 1.05
PAIRS = 41
CONFIGURATIONS = {  # pixels, hidden, latent, steps in a block
    "digits, 64-64-8": (64, 64, 8, 100),
    "fashion-mnist, 784-400-20": (784, 400, 20, 10),
}


def step_by_hand(model: VAE, optimizer: torch.optim.Optimizer, images: Tensor, noise: torch.Generator) -> None:
    """One training step in plain torch."""
    batch = torch.bernoulli(images, generator=noise)
    loc, log_scale = model.encoder(batch).chunk(2, dim=-1)
    scale = log_scale.exp()
    z = loc + scale * torch.randn(loc.shape, generator=noise)
    likelihood = nn.functional.binary_cross_entropy_with_logits(model.decoder(z), batch, reduction="none").sum(-1)
    divergence = 0.5 * (loc.square() + scale.square() - 1 - 2 * log_scale).sum(-1)
    objective = -likelihood - divergence
    optimizer.zero_grad()
    (-objective.mean()).backward()
    optimizer.step()


def step_through_reparam(model: VAE, optimizer: torch.optim.Optimizer, images: Tensor, noise: torch.Generator) -> None:
    """One training step as the recipe takes it."""
    batch = torch.bernoulli(images, generator=noise)
    objective = bound(model, PRIORS[model], batch, CONFIG, noise)
    optimizer.zero_grad()
    (-objective.mean()).backward()
    optimizer.step()


CONFIG = Config()
PRIORS = {}


def block(step: Callable[..., None], pixels: int, hidden: int, latent: int, steps: int) -> Callable[[], float]:
    """A function that takes `steps` steps and returns their CPU time; model and optimizer live on between calls."""
    torch.manual_seed(0)
    model = VAE(pixels, hidden, latent)
    PRIORS[model] = model.prior()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    noise = torch.Generator().manual_seed(0)
    images = torch.rand(CONFIG.batch, pixels, generator=noise)

    def run() -> float:
        started = time.process_time()
        for _ in range(steps):
            step(model, optimizer, images, noise)
        return (time.process_time() - started) / steps

    return run


def compare(pixels: int, hidden: int, latent: int, steps: int) -> tuple[list[float], float]:
    """The ratios of CPU time, reparam over by hand, and the median time of a step by hand in seconds."""
    ours = block(step_through_reparam, pixels, hidden, latent, steps)
    theirs = block(step_by_hand, pixels, hidden, latent, steps)
    ours(), theirs()
    ratios, by_hand = [], []
    for _ in range(PAIRS):
        times = {run: run() for run in random.sample((ours, theirs), 2)}
        ratios.append(times[ours] / times[theirs])
        by_hand.append(times[theirs])
    return ratios, statistics.median(by_hand)


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
