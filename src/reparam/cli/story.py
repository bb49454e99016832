"""The story behind `reparam trick --explain`: the trick, its absence, and what unbiased estimators give instead."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from reparam.cli.trick import Run
from reparam.estimators import Estimator

REPLICATES = 20_000
DRAWS = 8


class Measured(NamedTuple):
    """Many independent gradient estimates: their mean, its standard error, and the variance of one."""

    mean: float
    error: float
    variance: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.error:.4f}"


def tell(result: Run, seed: int) -> None:
    """Print the story of a run, with the measurements that belong to it."""
    console = Console(highlight=False)
    _tell_trick(console, result)
    _tell_cut(console, result)
    _tell_estimators(console, result, seed)


def _tell_trick(console: Console, result: Run) -> None:
    mu, sigma, eps, z, loss = (
        f"{t.item():.6g}" for t in (result.loc, result.scale, result.noise, result.z, result.loss)
    )
    to_mu, to_sigma = (f"{gradient.item():.6g}" for gradient in (result.grad_loc, result.grad_scale))
    console.print("\n[bold]With the trick[/bold] the randomness stands beside the parameters:")
    steps = Table.grid(padding=(0, 2))
    steps.add_row("noise", f"eps = {eps}, from N(0, 1): a constant for autograd")
    steps.add_row("sample", f"z = mu + sigma * eps = {mu} + {sigma} * ({eps}) = {z}")
    steps.add_row("loss", f"L = z = {loss}")
    steps.add_row("chain rule", f"dL/dmu    = dL/dz * dz/dmu    = 1 * 1      autograd: {to_mu}")
    steps.add_row("", f"dL/dsigma = dL/dz * dz/dsigma = 1 * eps    autograd: {to_sigma}")
    console.print(steps)


def _tell_cut(console: Console, result: Run) -> None:
    z = Normal(result.loc, result.scale).sample()
    console.print("\n[bold]Without it[/bold] a sample is a number with no history.")
    console.print("After z = Normal(mu, sigma).sample(),")
    console.print(f"z.requires_grad is {z.requires_grad} and z.backward() raises")
    console.print(f"  {_backward_error(z)}", style="red", markup=False, soft_wrap=True)
    console.print("No gradient reaches mu or sigma.")


def _backward_error(loss: Tensor) -> str:
    try:
        loss.backward()
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    raise AssertionError("a sample without history must not be differentiable")


def _tell_estimators(console: Console, result: Run, seed: int) -> None:
    console.print(
        "\n[bold]Where a sample cannot move[/bold], its expectation still does. Here E\\[z] = mu, so the exact answers "
        "are dE/dmu = 1 and dE/dsigma = 0. Measured, with standard errors:"
    )
    table = Table("estimator", "dE/dmu", "variance", "dE/dsigma", "variance", box=None, pad_edge=False)
    for estimator in (rp.Pathwise(DRAWS), rp.LeaveOneOut(DRAWS), rp.ScoreFunction(DRAWS)):
        to_loc, to_scale = measure(estimator, result, seed)
        row = (str(to_loc), f"{to_loc.variance:.3g}", str(to_scale), f"{to_scale.variance:.3g}")
        table.add_row(type(estimator).__name__, *row)
    console.print(table)
    console.print(
        f"({REPLICATES:,} estimates of {DRAWS} draws each; the variance is that of one estimate.) All three are "
        "unbiased. Pathwise is the trick. The other two ask only for the density of z, so they serve discrete "
        "variables too, and pay for it in variance; LeaveOneOut subtracts the mean cost of the other draws, which "
        "matters when that mean is far from zero (try --loc 50)."
    )


def measure(estimator: Estimator, result: Run, seed: int) -> tuple[Measured, Measured]:
    """The gradient of E[z] with respect to loc and scale, estimated many times over, all in one batch."""
    loc = torch.full((REPLICATES,), result.loc.item(), dtype=torch.float64, requires_grad=True)
    scale = torch.full((REPLICATES,), result.scale.item(), dtype=torch.float64, requires_grad=True)
    noise = torch.Generator().manual_seed(seed)
    expectation = rp.expect(lambda z: z, Normal(loc, scale), estimator, noise=noise)
    gradients = torch.autograd.grad(expectation.sum(), (loc, scale))
    return _measured(gradients[0]), _measured(gradients[1])


def _measured(estimates: Tensor) -> Measured:
    variance = estimates.var().item()
    return Measured(estimates.mean().item(), math.sqrt(variance / len(estimates)), variance)
