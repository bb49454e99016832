"""A row of the table, and the integrals that exact moments are made of where no closed form is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch import distributions as td

from reparam.special._quadrature import gauss_legendre

Moments = Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[..., Tensor]]]
Path = Literal["generator", "quantile", "cdf", "moments"]
EULER = 0.5772156649015329


def t(*values) -> Tensor:
    """The values as a float64 tensor of one dimension or more."""
    return torch.tensor(values, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Case:
    """One distribution at one parameter point.

    Attributes:
        name: of the class, and of the parameterisation where torch has several.
        make: builds the distribution from its parameters by name.
        parameters: in float64.
        moments: by name, a statistic of the sample and its exact expectation as a function of the parameters.
        path: what the derivative at one sample is held against. The sample itself at other parameters, at the noise of
            a "generator" or, where the rule rejects under one, of "quantile" noise; a univariate "cdf"; or nothing but
            "moments" of first and second order, for a rule that moves several variates by distribution functions.
        cdf: `cdf(x, **parameters)`, where the class has none.
        samples: how many, for each moment.
        emptiable: whether torch can build it with an empty batch; its checks of a simplex cannot take one, and some
            classes build another inside, whose checks no argument turns off.
        unmapped: parameters that `vmap` cannot batch, because torch's own constructor branches on their values.
    """

    name: str
    make: Callable[..., td.Distribution]
    parameters: Mapping[str, Tensor]
    moments: Moments
    path: Path = "generator"
    cdf: Callable[..., Tensor] | None = None
    samples: int = 20_000
    emptiable: bool = True
    unmapped: tuple[str, ...] = ()


def itself(x: Tensor) -> Tensor:
    return x


def over_normal(f: Callable[[Tensor], Tensor]) -> Tensor:
    """E f(z) for standard normal z by the trapezoidal rule, which an entire f makes exact; z has a new last place."""
    z = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    return (f(z) * torch.exp(-z * z / 2)).sum(-1) * (z[1] - z[0]) / (2 * torch.pi) ** 0.5


def over_line(f: Callable[[Tensor], Tensor], density: Callable[[Tensor], Tensor]) -> Tensor:
    """The integral of f times a density over the line, by the trapezoidal rule in arcsinh x."""
    u = torch.linspace(-16, 16, 4001, dtype=torch.float64)
    x = torch.sinh(u)
    return (f(x) * density(x) * torch.cosh(u)).sum(-1) * (u[1] - u[0])


def over_interval(
    f: Callable[[Tensor], Tensor], density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> Tensor:
    """The mean of f under a density known up to a factor, on an interval where it is smooth, by Gauss and Legendre."""
    nodes, weights = gauss_legendre(60)
    low, high = low.unsqueeze(-1), high.unsqueeze(-1)
    x = low + (high - low) * (nodes + 1) / 2
    mass = weights * density(x)
    return (f(x) * mass).sum(-1) / mass.sum(-1)
