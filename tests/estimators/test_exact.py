"""Estimators against enumeration: value, first and second derivative, logits and probs.

A score-function estimator of K draws has finitely many outcomes when the support is finite. Summing its value and its
derivatives over all of them, weighted by their probabilities, gives its expectation without any chance.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam.estimators import particle_weights
from reparam.estimators.score import log_ratio


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


FAMILIES = {
    "Bernoulli logits": (lambda p: td.Bernoulli(logits=p), t(0.3)),
    "Bernoulli probs": (lambda p: td.Bernoulli(probs=p), t(0.7)),
    "Categorical logits": (lambda p: td.Categorical(logits=p), t(0.3, -1.0, 0.5)),
    "Categorical probs": (lambda p: td.Categorical(probs=p), t(0.2, 0.5, 0.3)),
    "OneHotCategorical logits": (lambda p: td.OneHotCategorical(logits=p), t(0.3, -1.0, 0.5)),
    "OneHotCategorical probs": (lambda p: td.OneHotCategorical(probs=p), t(0.2, 0.5, 0.3)),
    "Binomial logits": (lambda p: td.Binomial(3, logits=p), t(0.4)),
    "Binomial probs": (lambda p: td.Binomial(3, probs=p), t(0.4)),
    "Independent Bernoulli": (lambda p: td.Independent(td.Bernoulli(logits=p), 1), t(0.3, -1.0)),
}


def cost(x: Tensor, event_dims: int, parameter: Tensor) -> Tensor:
    """A cost that is not linear in the draw, and that depends on the parameter directly too."""
    x = x.double()
    if event_dims:
        x = (x * torch.arange(1, x.shape[-1] + 1, dtype=torch.float64)).sum(-1)
    return torch.sin(1.3 * x + 0.2) + x**2 * parameter.sum().exp()


def derivatives(value: Tensor, parameter: Tensor) -> list[Tensor]:
    (first,) = torch.autograd.grad(value, parameter, create_graph=True)
    second = [torch.autograd.grad(g, parameter, retain_graph=True)[0] for g in first]
    return [value.detach(), first.detach(), torch.stack(second)]


def truth(make, at: Tensor) -> list[Tensor]:
    """By the definition, with no code of the library: the sum over torch's own support of exp(log_prob)."""
    parameter = at.clone().requires_grad_()
    dist = make(parameter)
    if isinstance(dist, td.Independent):
        points = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
    else:
        points = dist.enumerate_support(expand=False)
    points = (
        points if len(dist.event_shape) or isinstance(dist, td.Independent) else points.reshape(-1, *dist.batch_shape)
    )
    if dist.batch_shape == (1,):
        points = points.reshape(-1, 1)
    law = dist.log_prob(points).exp()
    costs = cost(points, len(dist.event_shape), parameter)
    return derivatives((law * costs).sum(), parameter)


@pytest.mark.parametrize("name", FAMILIES)
def test_enumerate_is_exact(name: str):
    make, at = FAMILIES[name]
    parameter = at.clone().requires_grad_()
    dist = make(parameter)
    value = rp.expect(lambda x: cost(x, len(dist.event_shape), parameter), dist, rp.Enumerate())
    for got, wanted in zip(derivatives(value.sum(), parameter), truth(make, at), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("centred", [False, True], ids=["ScoreFunction", "LeaveOneOut"])
@pytest.mark.parametrize("name", FAMILIES)
def test_score_estimators_have_the_exact_expectation(name: str, centred: bool, samples: int):
    """Averaged over every outcome of K draws, value, first and second derivative are those of the expectation."""
    make, at = FAMILIES[name]
    parameter = at.clone().requires_grad_()
    dist = make(parameter)
    support, law = (x.detach() for x in (lambda d: (d.points, d.weights))(rp.Enumerate().draw(dist, None)))
    total = [torch.zeros(()).double(), torch.zeros_like(at), torch.zeros(len(at), len(at)).double()]
    for outcome in itertools.product(range(len(support)), repeat=samples):
        points = support[list(outcome)]
        box = log_ratio(dist, points)
        weights = particle_weights(samples, None, box, 0) if centred else particle_weights(samples, box, None, 0)
        value = (weights * cost(points, len(dist.event_shape), parameter)).sum()
        chance = law[list(outcome)].prod()
        total = [a + chance * b for a, b in zip(total, derivatives(value, parameter), strict=True)]
    for got, wanted in zip(total, truth(make, at), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-11)


def test_a_biased_baseline_would_fail_the_same_sum():
    """The control: a baseline containing the draw's own cost is biased by 1/K, and the sum over outcomes shows it."""
    parameter = t(0.3).requires_grad_()
    dist = td.Bernoulli(logits=parameter)
    total = torch.zeros(1, dtype=torch.float64)
    for outcome in itertools.product([0.0, 1.0], repeat=2):
        points = t(*outcome)[:, None]
        costs = (points - 0.45) ** 2
        score = dist.log_prob(points)
        surrogate = ((costs - costs.mean()) * score).mean()
        total += dist.log_prob(points).exp().prod() * torch.autograd.grad(surrogate, parameter, retain_graph=True)[0]
    exact = 0.024445831169074586
    assert abs(total.item() - exact / 2) < 1e-12


def test_score_function_variance_is_the_closed_form():
    """E[(b - .45)^2] at p = 1/2: 1.594e-2 a draw."""
    gradients = [(b - 0.45) ** 2 * (b - 0.5) for b in (0.0, 1.0)]
    found = []
    for b in (0.0, 1.0):
        parameter = t(0.0).requires_grad_()
        box = log_ratio(td.Bernoulli(logits=parameter), t(b)[:, None])
        value = (particle_weights(1, box, None, 0) * (t(b)[:, None] - 0.45) ** 2).sum()
        found.append(torch.autograd.grad(value, parameter)[0].item())
    assert found == pytest.approx(gradients, abs=1e-15)
    assert sum(g**2 for g in found) / 2 - 0.025**2 == pytest.approx(1.594e-2, abs=5e-6)


def test_leave_one_out_variance_is_the_closed_form():
    """E[(b - .45)^2] at p = 1/2: the variance of a pair's logit gradient is 6.25e-4, exactly."""
    mean = square = 0.0
    for outcome in itertools.product([0.0, 1.0], repeat=2):
        parameter = t(0.0).requires_grad_()
        dist = td.Bernoulli(logits=parameter)
        points = t(*outcome)[:, None]
        value = (particle_weights(2, None, log_ratio(dist, points), 0) * (points - 0.45) ** 2).sum()
        gradient = torch.autograd.grad(value, parameter)[0].item()
        mean, square = mean + gradient / 4, square + gradient**2 / 4
    assert mean == pytest.approx(0.025, abs=1e-15)
    assert square - mean**2 == pytest.approx(6.25e-4, abs=1e-15)


@pytest.mark.parametrize("edge", [0.0, 1.0])
@pytest.mark.parametrize(
    "make", [lambda p: td.Bernoulli(p), lambda p: td.Binomial(2, p)], ids=["Bernoulli", "Binomial"]
)
def test_enumerate_is_exact_at_the_edge_of_probs(make, edge: float):
    """torch's log_prob is clamped there: off by an epsilon in value, and zero in gradient."""
    p = torch.tensor(edge, dtype=torch.float64, requires_grad=True)
    value = rp.expect(lambda b: 3 * b + b**2, make(p), rp.Enumerate())
    n = 1 if isinstance(make(p), td.Bernoulli) else 2
    (gradient,) = torch.autograd.grad(value, p)
    assert value.item() == pytest.approx(3 * n * edge + n * edge * (1 - edge) + (n * edge) ** 2, abs=1e-14)
    assert gradient.item() == pytest.approx(3 * n + n * (1 - 2 * edge) + 2 * n**2 * edge, abs=1e-13)


def test_points_that_cannot_happen_are_not_evaluated():
    logits = t(0.0, -float("inf"), 1.0).requires_grad_()
    value = rp.expect(lambda k: torch.where(k == 1, float("nan"), k.double()), td.Categorical(logits=logits))
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_the_score_does_not_exist_at_the_edge_and_says_so():
    p = torch.tensor([0.0, 0.5], requires_grad=True)
    with pytest.raises(rp.InvalidArgument, match="does not exist where probs is 0 or 1"):
        rp.expect(lambda b: b, td.Bernoulli(p), rp.LeaveOneOut(4))


def test_a_moving_average_baseline_is_not_needed_for_a_constant_cost():
    """Leave-one-out: a constant cost has no gradient at all, not merely none on average."""
    logits = torch.zeros(5, requires_grad=True)
    value = rp.expect(lambda b: 0 * b + 7.0, td.Bernoulli(logits=logits), rp.LeaveOneOut(3))
    assert torch.autograd.grad(value.sum(), logits)[0].abs().max() < 1e-6


def test_nothing_is_computed_under_no_grad(monkeypatch):
    calls = []
    monkeypatch.setattr(td.Poisson, "log_prob", lambda self, x: calls.append(x))
    with torch.no_grad():
        value = rp.expect(lambda x: x * 0 + 2.0, td.Poisson(torch.tensor(3.0, requires_grad=True)))
    assert value.item() == 2.0
    assert not calls


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.LeaveOneOut(1), "at least 2"),
        (lambda: rp.ScoreFunction(0), "at least 1"),
        (lambda: rp.Pathwise(2.5), "at least 1"),
        (lambda: rp.expect(torch.sin, td.Poisson(3.0), rp.Enumerate()), "no finite support"),
        (
            lambda: rp.expect(
                lambda b: b.sum(-1), td.Independent(td.Bernoulli(torch.full((40,), 0.5)), 1), rp.Enumerate()
            ),
            "exceeds the budget",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
