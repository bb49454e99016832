"""What Sobol and antithetic noise do to the variance of an ELBO gradient.

Two models, each first trained for a while so that the gradient is measured where a fit spends its time: mean-field
variational inference in a Bayesian logistic regression, and a small Bernoulli VAE on Földiák's bars (8 by 8 pixels).
For each number of samples and each source of noise the gradient is drawn many times; "variance" is its total variance
over all parameters, relative to independent noise with the same number of samples.

    python benchmarks/noise_variance.py --repeats 200
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

import reparam as rp
from reparam.noise import Antithetic, Noise, Philox, Sobol

SAMPLES = (2, 8, 32, 128)
BLOCKS = 5
NOISES: dict[str, Callable[[int], Noise]] = {
    "independent": lambda step: Philox(1).at(step),
    "Antithetic": lambda step: Antithetic(Philox(1).at(step)),
    "Sobol": lambda step: Sobol(1).at(step),
    "Antithetic(Sobol)": lambda step: Antithetic(Sobol(1).at(step)),
}
RESULTS = Path(__file__).parent / "results" / "noise_variance.json"


def log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Bernoulli log-probability, summed over the last dimension."""
    return -binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none").sum(-1)


class LogisticRegression(nn.Module):
    """Mean-field normal posterior of ten weights, given 200 labels."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.randn(200, 10)
        self.y = torch.bernoulli(torch.sigmoid(self.x @ torch.randn(10)))
        self.loc = nn.Parameter(torch.zeros(10))
        self.log_scale = nn.Parameter(torch.full((10,), -1.0))

    def elbo(self, samples: int, noise: Noise) -> Tensor:
        """The evidence lower bound, its divergence in closed form."""
        q = Normal(self.loc, self.log_scale.exp())
        w = rp.rsample(q, (samples,), noise=noise)
        logits = w @ self.x.T
        return log_likelihood(logits, self.y).mean() - kl_divergence(q, Normal(torch.zeros(10), 1.0)).sum()


class BarsVAE(nn.Module):
    """Four latents, 64 pixels, 32 images a batch: a sample needs 128 numbers."""

    def __init__(self) -> None:
        super().__init__()
        bars = torch.rand(32, 2, 8) < 0.15
        self.x = (bars[:, 0, :, None] | bars[:, 1, None, :]).float().flatten(1)
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 64))

    def elbo(self, samples: int, noise: Noise) -> Tensor:
        """The evidence lower bound of an image, its divergence in closed form."""
        loc, log_scale = self.encoder(self.x).chunk(2, -1)
        q = Normal(loc, log_scale.exp())
        logits = self.decoder(rp.rsample(q, (samples,), noise=noise))
        return (log_likelihood(logits, self.x) - kl_divergence(q, Normal(torch.zeros(4), 1.0)).sum(-1)).mean()


def trained(make: type[LogisticRegression] | type[BarsVAE]) -> LogisticRegression | BarsVAE:
    """The model after 300 steps of Adam."""
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(300):
        optimizer.zero_grad()
        (-model.elbo(8, Philox(0).at(step))).backward()
        optimizer.step()
    return model


def gradients(model: LogisticRegression | BarsVAE, samples: int, noises: Sequence[Noise]) -> Tensor:
    """One row for each piece of noise."""
    rows = [torch.autograd.grad(model.elbo(samples, noise), list(model.parameters())) for noise in noises]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def total_variance(rows: Tensor) -> Tensor:
    """Summed over parameters, one value for each block of repeats."""
    return torch.stack([block.var(dim=0).sum() for block in rows.chunk(BLOCKS)])


def measure(repeats: int) -> list[dict]:
    """A row for each model, number of samples and source of noise."""
    table = []
    for make in (LogisticRegression, BarsVAE):
        model = trained(make)
        for samples in SAMPLES:
            baseline = None
            for name, at in NOISES.items():
                if name == "Antithetic(Sobol)" and samples < 4:
                    continue
                variance = total_variance(gradients(model, samples, [at(step) for step in range(repeats)]))
                baseline = variance.mean() if baseline is None else baseline
                table.append(
                    {
                        "model": make.__name__,
                        "samples": samples,
                        "noise": name,
                        "variance": variance.mean().item(),
                        "relative": (variance.mean() / baseline).item(),
                        "standard_error": (variance.std() / BLOCKS**0.5 / baseline).item(),
                    }
                )
    return table


def main() -> None:
    """Print the table as Markdown and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = measure(args.repeats)
    print("| model | samples | noise | gradient variance | relative to independent |\n|---|---|---|---|---|")
    for row in table:
        relative = f"{row['relative']:.2g} ± {row['standard_error']:.1g}"
        print(f"| {row['model']} | {row['samples']} | {row['noise']} | {row['variance']:.3g} | {relative} |")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"repeats": args.repeats, "torch": torch.__version__, "rows": table}
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
