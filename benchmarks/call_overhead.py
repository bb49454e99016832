"""Claim: at 64 elements, construction included, `rsample` of a Normal is no slower than torch's own.

The same for Gamma, Beta and Dirichlet built, sampled and differentiated. For every other family that torch can sample
the aim is 1.2 times: forward, without validation, the distribution built beforehand, parameters that require grad. Each
row says whether it holds.

    python benchmarks/call_overhead.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from rich.progress import track
from torch import Tensor
from torch import distributions as td

import reparam as rp
from paired import Ratio, compare, machine

N = 64


def positive(value: float = 1.5, *shape: int) -> Tensor:
    return torch.full(shape or (N,), value, requires_grad=True)


def families() -> dict[str, td.Distribution]:
    """Every class of torch that has an `rsample`, at 64 elements or 64 events of size 3."""
    loc, scale = torch.zeros(N, requires_grad=True), positive()
    matrix = torch.eye(3).expand(N, 3, 3).clone().requires_grad_()
    off: Any = {"validate_args": False}
    return {
        "Beta": td.Beta(positive(), positive(2.5), **off),
        "Cauchy": td.Cauchy(loc, scale, **off),
        "Chi2": td.Chi2(positive(3.0), **off),
        "ContinuousBernoulli": td.ContinuousBernoulli(positive(0.3), **off),
        "Dirichlet": td.Dirichlet(positive(1.5, N, 3), **off),
        "Exponential": td.Exponential(scale, **off),
        "FisherSnedecor": td.FisherSnedecor(positive(3.0), positive(5.0), **off),
        "Gamma": td.Gamma(positive(), positive(), **off),
        "GeneralizedPareto": td.GeneralizedPareto(loc, scale, positive(0.2), **off),
        "Gumbel": td.Gumbel(loc, scale, **off),
        "HalfCauchy": td.HalfCauchy(scale, **off),
        "HalfNormal": td.HalfNormal(scale, **off),
        "InverseGamma": td.InverseGamma(positive(), positive(), **off),
        "Kumaraswamy": td.Kumaraswamy(positive(), positive(2.5), **off),
        "Laplace": td.Laplace(loc, scale, **off),
        "LogNormal": td.LogNormal(loc, scale, **off),
        "LogisticNormal": td.LogisticNormal(torch.zeros(N, 3, requires_grad=True), positive(1.0, N, 3), **off),
        "LowRankMultivariateNormal": td.LowRankMultivariateNormal(
            torch.zeros(N, 3, requires_grad=True), positive(0.5, N, 3, 1), positive(1.0, N, 3), **off
        ),
        "MultivariateNormal": td.MultivariateNormal(torch.zeros(N, 3), scale_tril=matrix, **off),
        "Normal": td.Normal(loc, scale, **off),
        "Pareto": td.Pareto(scale, positive(3.0), **off),
        "RelaxedBernoulli": td.RelaxedBernoulli(torch.tensor(0.5), logits=loc, **off),
        "RelaxedOneHotCategorical": td.RelaxedOneHotCategorical(
            torch.tensor(0.5), logits=torch.zeros(N, 3, requires_grad=True), **off
        ),
        "StudentT": td.StudentT(positive(5.0), loc, scale, **off),
        "Uniform": td.Uniform(loc, scale, **off),
        "Weibull": td.Weibull(scale, positive(2.0), **off),
        "Wishart": td.Wishart(positive(5.0), scale_tril=matrix, **off),
    }


def differentiated() -> dict[str, Callable[[], td.Distribution]]:
    """What is built, sampled and differentiated in every concentration, as in a training step."""
    a, b, rows = positive(), positive(2.5), positive(1.5, N, 3)
    return {"Gamma": lambda: td.Gamma(a, b), "Beta": lambda: td.Beta(a, b), "Dirichlet": lambda: td.Dirichlet(rows)}


def and_backward(build: Callable[[], td.Distribution]) -> Ratio:
    flow = torch.ones_like(build().mean)
    return compare(
        lambda: rp.rsample(build()).backward(flow),
        lambda: build().rsample().backward(flow),
        calls=200,
    )


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    loc, scale = torch.zeros(N, requires_grad=True), torch.ones(N, requires_grad=True)
    for validate in (False, None):

        def ours(validate=validate) -> object:
            return rp.rsample(td.Normal(loc, scale, validate_args=validate))

        def peer(validate=validate) -> object:
            return td.Normal(loc, scale, validate_args=validate).rsample()

        name = "Normal, built and sampled, " + ("validated" if validate is None else "not validated")
        print(compare(ours, peer, calls=1000).report(name, 1.0))
    for name, build in differentiated().items():
        print(and_backward(build).report(f"{name}, built, sampled and differentiated", 1.0))
    for name, dist in track(families().items(), description="families", transient=True):
        ratio = compare(lambda dist=dist: rp.rsample(dist), dist.rsample, calls=200, pairs=21)
        print(ratio.report(name, 1.2))


if __name__ == "__main__":
    main()
