"""Programs of several dependent variables, against the sum over everything they can do."""

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


def chain(theta: Tensor, estimators):
    """a ~ B(theta0), b ~ B(theta1 + a), c ~ B(theta2 + 2 a - b): each depends on what came before."""

    def program(sample) -> Tensor:
        a = sample(td.Bernoulli(logits=theta[0]), estimators[0])
        b = sample(td.Bernoulli(logits=theta[1] + a), estimators[1])
        c = sample(td.Bernoulli(logits=theta[2] + 2 * a - b), estimators[2])
        return torch.sin(a + 2 * b + 0.5) * (1 + c) + theta[1] * b * c

    return program


def truth(theta: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for a, b, c in itertools.product(t(0.0, 1.0), repeat=3):
        law = [
            td.Bernoulli(logits=theta[0]).log_prob(a),
            td.Bernoulli(logits=theta[1] + a).log_prob(b),
            td.Bernoulli(logits=theta[2] + 2 * a - b).log_prob(c),
        ]
        total = total + sum(law).exp() * (torch.sin(a + 2 * b + 0.5) * (1 + c) + theta[1] * b * c)
    return total


def derivatives(value: Tensor, theta: Tensor) -> list[Tensor]:
    (first,) = torch.autograd.grad(value, theta, create_graph=True)
    second = torch.stack([torch.autograd.grad(g, theta, retain_graph=True)[0] for g in first])
    return [value.detach(), first.detach(), second]


AT = t(0.3, -0.5, 0.2)


def test_enumerated_programs_are_exact():
    theta = AT.clone().requires_grad_()
    value = rp.expect(chain(theta, [rp.Enumerate()] * 3))
    for got, wanted in zip(derivatives(value, theta), derivatives(truth(theta), theta), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_enumerated_programs_are_exact_whatever_the_number_of_runs():
    theta = AT.clone().requires_grad_()
    value = rp.expect(chain(theta, [rp.Enumerate()] * 3), samples=3)
    torch.testing.assert_close(value, truth(theta), rtol=1e-12, atol=1e-12)


_KINDS = [rp.ScoreFunction(), rp.LeaveOneOut(), rp.Enumerate()]


@pytest.mark.parametrize(
    "estimators", list(itertools.product(_KINDS, repeat=3)), ids=lambda e: "-".join(type(x).__name__ for x in e)
)
def test_every_mixture_of_estimators_is_unbiased_to_second_order(estimators):
    """27 programs; the batch dimension holds independent repeats of the estimate."""
    n = 4000
    theta = AT.expand(n, 3).clone().requires_grad_()

    def program(sample) -> Tensor:
        return chain(theta.T, estimators)(sample)

    value = rp.expect(program, samples=3)
    (first,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    second = torch.stack([torch.autograd.grad(first[:, i].sum(), theta, retain_graph=True)[0] for i in range(3)], 1)
    exact_theta = AT.clone().requires_grad_()
    for got, wanted in zip((value, first, second), derivatives(truth(exact_theta), exact_theta), strict=True):
        result = testing.z_test(got, wanted)
        assert result.passed, str(result)


def test_a_continuous_variable_upstream_of_a_discrete_one():
    """z ~ N(m, 1), b ~ B(logit z): the score of b reaches m through z, to the value quadrature gives."""
    n = 20_000
    m = torch.full((n,), 0.4, dtype=torch.float64, requires_grad=True)

    def exact(loc: Tensor) -> Tensor:
        z = torch.linspace(-9, 9, 4001, dtype=torch.float64) + loc
        density = torch.exp(-((z - loc) ** 2) / 2) / (2 * torch.pi) ** 0.5
        cost = torch.sigmoid(z) * (z - 1) ** 2 + (1 - torch.sigmoid(z)) * z**2
        return torch.trapezoid(density * cost, dx=18 / 4000)

    for estimator in (rp.ScoreFunction(), rp.LeaveOneOut(), rp.Enumerate()):

        def program(sample, estimator=estimator) -> Tensor:
            z = sample(td.Normal(m, 1.0))
            b = sample(td.Bernoulli(logits=z), estimator)
            return (z - b) ** 2

        value = rp.expect(program, samples=2)
        at = t(0.4).requires_grad_()
        (wanted,) = torch.autograd.grad(exact(at), at)
        result = testing.z_test(torch.autograd.grad(value.sum(), m)[0], wanted)
        assert result.passed, f"{estimator}: {result}"


def test_a_program_of_one_variable_is_expect():
    logits = t(0.3, -1.0).requires_grad_()
    dist = td.Bernoulli(logits=logits)
    for estimator, samples in ((rp.Enumerate(), None), (rp.LeaveOneOut(4), 4)):
        torch.manual_seed(5)
        one = rp.expect(lambda b: (b - 0.45) ** 2, dist, estimator)
        torch.manual_seed(5)
        other = rp.expect(lambda sample: (sample(dist, estimator) - 0.45) ** 2, samples=samples)  # noqa: B023
        torch.testing.assert_close(one, other)
        for a, b in zip(derivatives(one.sum(), logits), derivatives(other.sum(), logits), strict=True):
            torch.testing.assert_close(a, b)


def test_events_and_batches_of_a_latent_variable_model():
    """The README's program: a Gaussian layer, a Bernoulli layer on top, batch of 5."""
    mu = torch.zeros(5, 3, requires_grad=True)
    weight = torch.randn(4, 3, requires_grad=True)

    def program(sample) -> Tensor:
        z = sample(td.Independent(td.Normal(mu, 1.0), 1))
        b = sample(td.Independent(td.Bernoulli(logits=z @ weight.T), 1), rp.LeaveOneOut())
        return (b.sum(-1) - 2) ** 2 + z.square().sum(-1)

    loss = rp.expect(program, samples=8)
    assert loss.shape == (5,)
    gradients = torch.autograd.grad(loss.sum(), [mu, weight])
    assert all(bool(torch.isfinite(g).all()) and bool((g != 0).any()) for g in gradients)


@pytest.mark.parametrize(
    ("program", "samples", "message"),
    [
        (lambda sample: torch.zeros(()), 2, "drew nothing"),
        (lambda sample: sample("Normal"), 2, "takes a torch.distributions"),
        (lambda sample: sample(td.Poisson(3.0)), 1, "needs at least two"),
        (lambda sample: sample(td.Normal(torch.zeros(3), 1.0)).sum(), 2, "one cost for each run"),
        (
            lambda sample: sample(td.Normal(torch.zeros(3), 1.0)) + sample(td.Normal(0.0, 1.0)),
            2,
            "share one batch shape",
        ),
    ],
)
def test_bad_input(program, samples: int, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        rp.expect(program, samples=samples)
    assert error.value.received
    assert error.value.instead


def test_a_cost_that_loses_the_gradient_of_a_draw_says_so():
    loc = t(0.3, -1.0).requires_grad_()

    def jump(sample) -> Tensor:
        b = sample(td.Bernoulli(logits=loc), rp.LeaveOneOut())
        return (sample(td.Normal(loc, 1.0)) > 0) * (1 + b)

    with pytest.raises(rp.InvalidArgument, match="no gradient back") as error:
        rp.expect(jump, samples=4)
    assert "of=" in error.value.instead
    with pytest.raises(rp.InvalidArgument, match="must be real"):
        rp.expect(lambda sample: 1j * sample(td.Bernoulli(logits=loc), rp.LeaveOneOut()), samples=4)

    def carried(sample) -> Tensor:
        z = sample(td.Normal(loc, 1.0))
        b = sample(td.Bernoulli(logits=z), rp.LeaveOneOut())
        sample.cost(2 * b, of=b)
        return b

    assert torch.autograd.grad(rp.expect(carried, samples=4).sum(), loc)[0].abs().min() > 0

    def unused(sample) -> None:
        b = sample(td.Bernoulli(logits=loc), rp.LeaveOneOut())
        sample(td.Normal(loc, 1.0))
        sample.cost(b, of=b)

    assert rp.expect(unused, samples=4).shape == (2,)
