"""`reparam trick`: one reparameterized sample with its gradients, and `--explain`, the same run as a story."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import tyro
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from reparam.errors import InvalidArgument


@dataclass(frozen=True)
class Options:
    """Draw z = mu + sigma * eps, take z as the loss, and print what backpropagation gives."""

    seed: int = 47
    """Seed of torch's generator, which draws eps from N(0, 1)."""
    loc: float = 2.0
    """mu, the mean."""
    scale: float = 5.0
    """sigma, the standard deviation; positive."""
    noise: float | None = None
    """eps itself; then nothing is drawn."""
    explain: bool = False
    """Tell the run as a story, beside what happens without the trick."""


@dataclass(frozen=True)
class Run:
    """One run of the trick: the parameters as autograd leaves, and everything computed from them."""

    loc: Tensor
    scale: Tensor
    noise: Tensor
    z: Tensor
    loss: Tensor
    grad_loc: Tensor
    grad_scale: Tensor


def run(words: list[str]) -> None:
    """Print the five lines of the run that `words` describe, and the story if they ask for it."""
    options = tyro.cli(Options, prog="reparam trick", args=words)
    _check(options)
    result = reparameterized(options)
    for line in five_lines(result):
        print(line)
    if options.explain:
        from reparam.cli.story import tell

        tell(result, options.seed)


def reparameterized(options: Options) -> Run:
    """Sample through `rp.rsample` and differentiate the loss through the sample."""
    loc = torch.tensor(options.loc, requires_grad=True)
    scale = torch.tensor(options.scale, requires_grad=True)
    if options.noise is None:
        noise = torch.randn((), generator=torch.Generator().manual_seed(options.seed))
    else:
        noise = torch.tensor(options.noise)
    z = rp.rsample(Normal(loc, scale), noise=noise)
    loss = z
    grad_loc, grad_scale = torch.autograd.grad(loss, (loc, scale))
    return Run(loc, scale, noise, z, loss, grad_loc, grad_scale)


def five_lines(result: Run) -> list[str]:
    """The run in five lines, every digit of the single-precision numbers shown."""
    return [
        f"Sample from N(0, 1): {result.noise.item()}",
        f"Sampled z: {result.z.item()}",
        f"Loss: {result.loss.item()}",
        f"Gradient wrt mu: {result.grad_loc.item()}",
        f"Gradient wrt sigma: {result.grad_scale.item()}",
    ]


def _check(options: Options) -> None:
    _require(math.isfinite(options.loc), "loc must be finite", "loc", options.loc, "--loc 2")
    smallest, largest = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
    fits = smallest <= options.scale <= largest
    _require(fits, "scale must be positive, and finite in single precision", "scale", options.scale, "--scale 5")
    noise = options.noise
    _require(noise is None or math.isfinite(noise), "noise must be finite", "noise", noise, "--noise -1.5")
    in_range = 0 <= options.seed < 2**63
    _require(in_range, "seed must be from 0 to 2**63 - 1", "seed", options.seed, "--seed 47")
    reach = abs(options.loc) + options.scale * max(abs(noise or 0.0), 10.0)
    _require(
        reach <= largest,
        "z would overflow single precision",
        "loc, scale, noise",
        (options.loc, options.scale, noise),
        "smaller numbers",
    )


def _require(condition: bool, what: str, name: str, value: object, instead: str) -> None:
    if not condition:
        raise InvalidArgument(what, received=f"{name} = {value}", instead=instead)
