"""SumAndSample and Unordered: every outcome of what they draw, for value, first and second derivative."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.outcomes import cost, derivatives, expectation, summed, t

BITS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
FAMILIES = {
    "Categorical logits": (lambda p: td.Categorical(logits=p), t(0.3, -1.0, 0.5, 1.0, 0.0), torch.arange(5)),
    "Categorical probs": (lambda p: td.Categorical(p), t(0.2, 0.4, 0.3, 0.1), torch.arange(4)),
    "OneHotCategorical": (lambda p: td.OneHotCategorical(p), t(0.2, 0.4, 0.3, 0.1), torch.eye(4).double()),
    "Binomial": (lambda p: td.Binomial(4, p[:, 0]), t(0.3), torch.arange(5.0).double()),
    "Independent": (lambda p: td.Independent(td.Bernoulli(logits=p), 1), t(0.3, -1.0), BITS),
}


class Races:
    """Exponential noise that makes every order of finish come up once, along the batch, with the laws they have.

    Only the order matters. The winners' law is that of draws without replacement at the rates raced.
    """

    def __init__(self, orders: Tensor, rates: Tensor) -> None:
        self.times = torch.empty_like(orders, dtype=torch.float64)
        self.times.scatter_(1, orders, torch.arange(1.0, orders.shape[1] + 1).double().expand(orders.shape))
        self.rates = rates.where(rates > 0, 1.0)

    def exponential(self, shape, dtype, device) -> Tensor:
        return (self.times * self.rates).T.to(dtype)  # the estimator divides by the rates again

    def normal(self, shape, dtype, device) -> Tensor:
        raise AssertionError

    uniform = normal


def orders_and_law(chances: Tensor) -> tuple[Tensor, Tensor]:
    orders = torch.tensor(list(itertools.permutations(range(len(chances)))))
    ordered = chances[orders]
    left = ordered.flip(1).cumsum(1).flip(1)
    return orders, (ordered / left).prod(1)


CASES = [
    *[(rp.Unordered(k), "Categorical logits") for k in (2, 3, 4)],
    *[(rp.Unordered(2), name) for name in list(FAMILIES)[1:]],
    *[(rp.SumAndSample(k), "Categorical logits") for k in (2, 3, 4)],
    *[(rp.SumAndSample(3), name) for name in list(FAMILIES)[1:]],
]


@pytest.mark.parametrize(("estimator", "name"), CASES, ids=str)
def test_expectation_is_exact(estimator, name: str):
    make, at, support = FAMILIES[name]
    chances = make(at[None]).log_prob(support[:, None] if support.dim() == 1 else support).exp().flatten().detach()
    rates = chances
    if isinstance(estimator, rp.SumAndSample):
        rates = chances.scatter(0, chances.topk(estimator.samples - 1).indices, 0.0)
        # Who cannot win comes in last, in one order.
        losers = (rates == 0).nonzero().flatten()
        orders, law = orders_and_law(chances[rates > 0])
        orders = torch.cat([(rates > 0).nonzero().flatten()[orders], losers.expand(len(orders), -1)], 1)
    else:
        orders, law = orders_and_law(chances)
    events = len(make(at[None]).event_shape)
    noise = Races(orders, rates)
    got = expectation(lambda p: rp.expect(lambda x: cost(x, p, events), make(p), estimator, noise=noise), at, law)
    for a, b in zip(got, summed(make, support, lambda x, p: cost(x, p, events), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("estimator", [rp.Unordered(2), rp.SumAndSample(2), rp.Unordered(5)], ids=str)
def test_two_values_are_enumerated_without_variance(estimator):
    """E[(b - .45)^2] at probability 1/2: the gradient is .025, always."""
    logits = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    value = rp.expect(lambda b: (b - 0.45) ** 2, td.Bernoulli(logits=logits), estimator)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), logits)[0], torch.full_like(logits, 0.025))
    assert estimator.evaluations(td.Bernoulli(0.5)) == 2


@pytest.mark.parametrize("estimator", [rp.Unordered(3), rp.SumAndSample(3)], ids=str)
def test_no_value_is_evaluated_twice_and_a_constant_has_no_gradient(estimator):
    logits = torch.randn(20, 6, requires_grad=True)
    seen = []

    def f(x: Tensor) -> Tensor:
        seen.append(x)
        return 0.0 * x + 7

    value = rp.expect(f, td.Categorical(logits=logits), estimator)
    assert seen[0].shape == (3, 20)
    assert (seen[0].sort(0).values.diff(dim=0) > 0).all()
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    if isinstance(estimator, rp.SumAndSample):
        assert gradient.abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", [rp.Unordered(4), rp.SumAndSample(4)], ids=str)
def test_laws_with_little_beyond_the_set(estimator, dtype):
    """Impossible values, and possible ones whose probability rounds to nothing: finite, and not evaluated."""
    logits = torch.tensor([0.0, -float("inf"), 1.0, -float("inf"), -500.0, -60.0], dtype=dtype, requires_grad=True)
    f = lambda k: torch.where((k == 1) | (k == 3), float("nan"), k.to(dtype))  # noqa: E731
    value = rp.expect(f, td.Categorical(logits=logits), estimator)
    exact = rp.expect(f, td.Categorical(logits=logits), rp.Enumerate())
    torch.testing.assert_close(value, exact, rtol=1e-5, atol=1e-6)
    first, wanted = (torch.autograd.grad(v, logits)[0] for v in (value, exact))
    torch.testing.assert_close(first, wanted, rtol=1e-4, atol=1e-6)


def test_a_peaked_law_leaves_little_to_chance():
    """The variance of a draw from the tail, times the square of the tail's probability: against leave-one-out."""
    logits = t(6.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0).expand(4000, 8).clone().requires_grad_()
    spread = {}
    for estimator in (rp.LeaveOneOut(4), rp.SumAndSample(4), rp.Unordered(4)):
        value = rp.expect(lambda k: (k - 1.5) ** 2, td.Categorical(logits=logits), estimator)
        gradient = derivatives(value, logits)[1]
        spread[type(estimator).__name__] = gradient.var(0).sum().item()
    assert max(spread["SumAndSample"], spread["Unordered"]) < 0.2 * spread["LeaveOneOut"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.Unordered(1), "at least 2"),
        (lambda: rp.Unordered(11), "all subsets"),
        (lambda: rp.SumAndSample(1), "at least 2"),
        (lambda: rp.expect(torch.sin, td.Poisson(3.0), rp.Unordered()), "no finite support"),
        (lambda: rp.SumAndSample(4, budget=3).evaluations(td.Categorical(torch.ones(5))), "exceeds the budget"),
        (
            lambda: rp.expect(torch.sin, td.Categorical(t(0.0, 0.5, 0.3, 0.2).requires_grad_()), rp.Unordered(2)),
            "does not exist",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
