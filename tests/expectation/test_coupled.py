"""Coupled estimators inside programs: on the particle axis at the root, on an axis of their own further down."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam import testing


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


AT = t(0.3, -0.5, 0.2)


def cost(a: Tensor, b: Tensor, c: Tensor, theta: Tensor) -> Tensor:
    return torch.sin(a + 2 * b + 0.5) * (1 + c) + theta[1] * b * c


def chain(theta: Tensor, estimators):
    """c depends on a and b, which are independent of each other, so that two couplings meet on the particle axis."""

    def program(sample) -> Tensor:
        a = sample(td.Bernoulli(logits=theta[0]), estimators[0])
        b = sample(td.Bernoulli(logits=theta[1]), estimators[1])
        c = sample(td.Bernoulli(logits=theta[2] + 2 * a - b), estimators[2])
        return cost(a, b, c, theta)

    return program


def truth(theta: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for a, b, c in itertools.product(t(0.0, 1.0), repeat=3):
        law = td.Bernoulli(logits=theta[0]).log_prob(a) + td.Bernoulli(logits=theta[1]).log_prob(b)
        law = law + td.Bernoulli(logits=theta[2] + 2 * a - b).log_prob(c)
        total = total + law.exp() * cost(a, b, c, theta)
    return total


def derivatives(value: Tensor, theta: Tensor) -> list[Tensor]:
    (first,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    second = [torch.autograd.grad(g.sum(), theta, retain_graph=True)[0] for g in first.unbind(-1)]
    return [value.detach(), first.detach(), torch.stack(second, -2)]


_PROGRAMS = [
    (rp.DisARM(), rp.ARMS(), rp.LeaveOneOut()),
    (rp.DisARM(), rp.DisARM(), rp.DisARM()),
    (rp.LeaveOneOut(), rp.ARM(), rp.ARMS(3)),
    (rp.Enumerate(), rp.DisARM(), rp.ScoreFunction()),
    (rp.ARMS(), rp.ScoreFunction(), rp.Enumerate()),
    (rp.MeasureValued(), rp.DisARM(), rp.MeasureValued()),
    (rp.Unordered(2), rp.SumAndSample(2), rp.LeaveOneOut()),
    (rp.REBAR(), rp.LeaveOneOut(), rp.REBAR(1.0)),
]


@pytest.mark.parametrize("estimators", _PROGRAMS, ids=lambda e: "-".join(type(x).__name__ for x in e))
def test_every_mixture_is_unbiased_to_second_order(estimators):
    theta = AT.expand(6000, 3).clone().requires_grad_()
    value = rp.expect(chain(theta.T, estimators), samples=4)
    exact = AT.clone().requires_grad_()
    for got, wanted in zip(derivatives(value, theta), derivatives(truth(exact), exact), strict=True):
        result = testing.z_test(got, wanted)
        assert result.passed, str(result)


def test_a_pair_that_ignores_what_lies_upstream_would_fail():
    """The control: antithetic runs whose logits differ, compared with each other all the same."""
    n = 20_000
    theta = torch.full((n,), 0.4, dtype=torch.float64, requires_grad=True)
    a = torch.bernoulli(torch.full((2, n), 0.5, dtype=torch.float64))
    logits = theta + 3 * a
    u = torch.rand(n, dtype=torch.float64)
    b = (torch.stack([u, 1 - u]) < torch.sigmoid(logits)).double()
    share = (b[0] - b[1]) * torch.maximum(torch.sigmoid(logits), torch.sigmoid(-logits)).mean(0).detach()
    biased = share * ((a * b)[0] - (a * b)[1]) / 2
    p = torch.sigmoid(t(3.4))
    assert not testing.z_test(biased, (0.5 * p * (1 - p)).item()).passed


def test_coupled_points_share_the_noise_of_what_comes_after_them():
    """Two runs of b, and a wide normal whose mean is b: the difference of the costs is that of the means alone."""
    logits = torch.zeros(500, requires_grad=True)

    def program(sample) -> Tensor:
        a = sample(td.Bernoulli(0.5 * torch.ones(500)), rp.LeaveOneOut())
        b = sample(td.Bernoulli(logits=logits + 0 * a), rp.DisARM())
        return sample(td.Normal(b, 100.0))

    (gradient,) = torch.autograd.grad(rp.expect(program, samples=2).sum(), logits)
    # The program has 2 runs of a; given a, b is 0 in one of its pair and 1 in the other, whatever the normal adds.
    torch.testing.assert_close(gradient, torch.full((500,), 0.25), atol=1e-4, rtol=0)


def test_common_random_numbers_after_a_count():
    r"""x ~ Poisson(4), y ~ N(x, 10), E[y^2]: given both draws the difference is :math:`2 (x + 10 e) + 1`, no more."""
    n = 20_000
    rate = torch.full((n,), 4.0, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        return sample(td.Normal(sample(td.Poisson(rate), rp.MeasureValued()), 10.0)) ** 2

    (gradient,) = torch.autograd.grad(rp.expect(program).sum(), rate)
    assert testing.z_test(gradient, 9.0).passed
    variance = 4 * (4 + 100)  # with noise of its own at each point it would be 2e4 and more
    assert testing.z_test((gradient - 9.0) ** 2, variance).passed


def test_counts_after_coupled_points_are_drawn_independently_and_stay_unbiased():
    logits = torch.zeros(20_000, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        a = sample(td.Bernoulli(torch.full_like(logits, 0.5)), rp.LeaveOneOut())
        b = sample(td.Bernoulli(logits=logits + 0 * a), rp.DisARM())
        return sample(td.Poisson(1 + b), rp.LeaveOneOut())

    (gradient,) = torch.autograd.grad(rp.expect(program, samples=2).sum(), logits)
    assert testing.z_test(gradient, 0.25).passed
