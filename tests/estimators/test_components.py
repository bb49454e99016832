"""Mixtures inside `expect`: the sum over components, exact in the mixing weights however far the modes lie."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.outcomes import t
from reparam import testing


def mixture(logits: Tensor, loc: Tensor) -> td.MixtureSameFamily:
    return td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(loc, torch.ones_like(loc)))


@pytest.mark.parametrize("m", [2.0, 6.0, 10.0])
def test_the_weights_gradient_stays_quiet_where_modes_separate(m: float):
    """KNOWN: the implicit gradient's variance is 5.6e6 at m = 6; here that of the cost inside a component."""
    n = 4000
    logits = t(0.2, -0.3).expand(n, 2).clone().requires_grad_()
    value = rp.expect(lambda x: torch.tanh(x), mixture(logits, t(-m, m).expand(n, 2)))
    gradient = torch.autograd.grad(value.sum(), logits)[0][:, 1]
    x = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    mean = torch.trapezoid(torch.tanh(x + m) * torch.exp(-(x**2) / 2), x).item() / (2 * torch.pi) ** 0.5
    p = torch.sigmoid(t(-0.5))
    assert testing.z_test(gradient, (2 * mean * p * (1 - p)).item()).passed
    assert gradient.var() < 0.1


def test_value_first_and_second_derivative():
    """E[x^2] and E[x^4] of normals are polynomials; the components are estimated pathwise."""
    n = 20_000
    at = t(0.2, -0.3, 1.0, -0.5)
    parameter = at.expand(n, 4).clone().requires_grad_()
    value = rp.expect(lambda x: x**2, mixture(parameter[:, :2], parameter[:, 2:]))
    (first,) = torch.autograd.grad(value.sum(), parameter, create_graph=True)
    second = torch.stack([torch.autograd.grad(g.sum(), parameter, retain_graph=True)[0] for g in first.unbind(-1)], -2)

    def exact(p: Tensor) -> Tensor:
        return (torch.softmax(p[:2], 0) * (p[2:] ** 2 + 1)).sum()

    assert testing.z_test(value, exact(at)).passed
    assert testing.z_test(first, torch.autograd.functional.jacobian(exact, at)).passed
    assert testing.z_test(second, torch.autograd.functional.hessian(exact, at)).passed


def test_mixtures_of_counts_and_of_categories():
    n = 20_000
    logits = t(0.2, -0.3).expand(n, 2).clone().requires_grad_()
    counts = td.MixtureSameFamily(td.Categorical(logits=logits), td.Poisson(t(1.0, 4.0)).expand((n, 2)))
    assert repr(rp.estimator_for(counts)) == "Components(within=LeaveOneOut(samples=4))"
    gradient = torch.autograd.grad(rp.expect(torch.square, counts).sum(), logits)[0][:, 1]
    p = torch.sigmoid(t(-0.5))
    assert testing.z_test(gradient, (18 * p * (1 - p)).item()).passed
    coins = td.MixtureSameFamily(td.Categorical(logits=logits[0]), td.Bernoulli(t(0.1, 0.7)))
    exact = torch.autograd.grad(rp.expect(torch.square, coins), logits)[0][0, 1]
    torch.testing.assert_close(exact, (0.6 * p * (1 - p)).squeeze())


def test_vector_components_batches_and_programs():
    logits = torch.zeros(5, 3, requires_grad=True)
    loc = torch.randn(5, 3, 2, requires_grad=True)
    dist = td.MixtureSameFamily(td.Categorical(logits=logits), td.Independent(td.Normal(loc, 1.0), 1))
    assert rp.Components(rp.Pathwise(4)).evaluations(dist) == 12
    assert rp.expect(lambda x: x.square().sum(-1), dist, samples=4).shape == (5,)

    def program(sample) -> Tensor:
        x = sample(dist)
        return (x - sample(td.Independent(td.Normal(x, 1.0), 1))).square().sum(-1)

    value = rp.expect(program, samples=2)
    assert value.shape == (5,)
    assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad(value.sum(), [logits, loc]))


def test_an_impossible_component_is_not_evaluated():
    logits = t(0.0, -float("inf")).requires_grad_()
    dist = td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(t(1.0, -100.0), 0.001))
    value = rp.expect(torch.log, dist)
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


def test_a_mixture_that_cannot_move_is_told_what_serves_it():
    counts = td.MixtureSameFamily(td.Categorical(torch.ones(2)), td.Poisson(torch.ones(2)))
    with pytest.raises(rp.NoPathwiseGradient, match="sums over the components"):
        rp.rsample(counts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.expect(torch.sin, td.Normal(0.0, 1.0), rp.Components()), "serves mixtures"),
        (lambda: rp.Components(rp.Pathwise), "must be one that proposes weights"),
        (
            lambda: rp.expect(torch.sin, mixture(torch.zeros(2), torch.zeros(2)), rp.Components(rp.Enumerate())),
            "no finite support",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
