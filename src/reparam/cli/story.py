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

REPLICATES = 20_000


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
    mu, sigma, eps, z = (tensor.item() for tensor in (result.loc, result.scale, result.noise, result.z))
    console.print(
        "\n[bold]With the trick[/bold]: the randomness stands beside the parameters, not between them"
    )
    steps = Table.grid(padding=(0, 2))
    steps.add_row("1  noise", "eps ~ N(0, 1)", f"= {eps:.6g}", "a constant: nothing to differentiate")
    steps.add_row("2  sample", "z = mu + sigma * eps", f"= {mu:.6g} + {sigma:.6g} * {eps:.6g}", f"= {z:.6g}")
    steps.add_row("3  loss", "L = z", f"= {result.loss.item():.6g}", "")
    steps.add_row("4  chain rule", "dL/dmu = dL/dz * dz/dmu", "= 1 * 1", f"= {result.grad_loc.item():.6g}")
    steps.add_row("", "dL/dsigma = dL/dz * dz/dsigma", "= 1 * eps", f"= {result.grad_scale.item():.6g}")
    console.print(steps)
    console.print("The last column of step 4 is what autograd returned.")


def _tell_cut(console: Console, result: Run) -> None:
    z = Normal(result.loc, result.scale).sample()
    console.print(
        "\n[bold]Without it[/bold]: torch's Normal(mu, sigma).sample() returns a number without a history"
    )
    console.print(f"z.requires_grad is {z.requires_grad}; z.backward() says:")
    console.print(f"  {_backward_error(z)}", style="red", markup=False)
    console.print("No gradient reaches mu or sigma.")


def _backward_error(loss: Tensor) -> str:
    try:
        loss.backward()
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    raise AssertionError("a sample without history must not be differentiable")


def _tell_estimators(console: Console, result: Run, seed: int) -> None:
    console.print(
        "\n[bold]When a sample cannot move[/bold], its expectation still can: E[z] = mu, so dE/dmu = 1, dE/dsigma = 0"
    )
    table = Table("estimator", "draws", "dE/dmu", "dE/dsigma", "variance of one", box=None, pad_edge=False)
    for estimator, draws in ((rp.Pathwise(2), 2), (rp.LeaveOneOut(2), 2), (rp.ScoreFunction(2), 2)):
        to_loc, to_scale = measure(estimator, result, seed)
        variances = f"{to_loc.variance:.3g}, {to_scale.variance:.3g}"
        table.add_row(type(estimator).__name__, str(draws), str(to_loc), str(to_scale), variances)
    console.print(table)
    console.print(
        f"Means of {REPLICATES:,} independent estimates ± their standard errors. All three are unbiased; "
        "the pathwise one, which is the trick, is the quietest."
    )


def measure(estimator: object, result: Run, seed: int) -> tuple[Measured, Measured]:
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
