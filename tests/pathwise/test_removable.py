"""ContinuousBernoulli and GeneralizedPareto through their removable singularities, against arbitrary precision."""

from __future__ import annotations

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp

NEAR_ZERO = [0.0, 1e-300, 1e-12, -1e-9, 1e-5, -1e-3, 0.3, -0.999, 0.9999999, 1.0, -1.0000001, 3.0, -20.0]


def derivatives(x: Tensor, parameter: Tensor) -> list[float]:
    (first,) = torch.autograd.grad(x, parameter, create_graph=True)
    (second,) = torch.autograd.grad(first, parameter)
    return [x.item(), first.item(), second.item()]


def exact_derivatives(f, at: float) -> list[float]:
    """By the coefficients of a Cauchy integral, which does not mind a removable singularity."""
    with mp.workdps(40):
        radius, n = mp.mpf(1) / 8, 64
        points = [at + radius * mp.expjpi(mp.mpf(2 * j + 1) / n) for j in range(n)]
        values = [f(p) for p in points]
        turn = [mp.expjpi(-mp.mpf(2 * j + 1) / n) for j in range(n)]
        sums = [sum(v * t**k for v, t in zip(values, turn, strict=True)) / n / radius**k for k in range(3)]
        return [float(mp.re(s) * mp.factorial(k)) for k, s in enumerate(sums)]


@pytest.mark.parametrize("u", [1e-6, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("logit", NEAR_ZERO)
def test_continuous_bernoulli(logit: float, u: float):
    logits = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    x = rp.rsample(td.ContinuousBernoulli(logits=logits), noise=torch.tensor(u, dtype=torch.float64))
    exact = exact_derivatives(lambda s: mp.log1p(mp.mpf(u) * mp.expm1(s)) / s, logit)
    assert derivatives(x, logits) == pytest.approx(exact, rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("p", [0.5, 0.4995, 0.5005])
def test_continuous_bernoulli_moves_where_torch_stands_still(p: float):
    # d E[x] / dp is 1/3 at p = 1/2, and 0 in torch. The midpoint rule in u is the expectation, to 1e-8.
    probs = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    x = rp.rsample(td.ContinuousBernoulli(probs=probs), (20_000,), noise=u)
    (slope,) = torch.autograd.grad(x.mean(), probs)
    assert slope.item() == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.skipif(not hasattr(td, "GeneralizedPareto"), reason="torch has it from 2.10 on")
@pytest.mark.parametrize("e", [1e-5, 0.7, 2.0])
@pytest.mark.parametrize("concentration", NEAR_ZERO[:-1])
def test_generalized_pareto(concentration: float, e: float):
    c = torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    dist = td.GeneralizedPareto(torch.zeros_like(c), torch.ones_like(c), c)
    x = rp.rsample(dist, noise=torch.tensor(e, dtype=torch.float64))
    exact = exact_derivatives(lambda s: mp.expm1(s * mp.mpf(e)) / s, concentration)
    assert derivatives(x, c) == pytest.approx(exact, rel=1e-11, abs=1e-15)
