"""Costs credited to their ancestors, variables that a batch shares, nested expectations, outputs beside the cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam import testing

AT = torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64)
COIN = torch.tensor([0.0, 1.0], dtype=torch.float64)


def law(value: Tensor, logits: Tensor) -> Tensor:
    return torch.sigmoid((2 * value - 1) * logits)


def fork(theta: Tensor, estimators, credited: bool):
    """a and b are independent, c depends on b; one cost of a, one of b, one of c."""

    def program(sample) -> Tensor | None:
        a = sample(td.Bernoulli(logits=theta[0]), estimators[0])
        b = sample(td.Bernoulli(logits=theta[1]), estimators[1], given=())
        c = sample(td.Bernoulli(logits=theta[2] + 2 * b), estimators[2], given=b)
        costs = {"a": (torch.sin(a + 0.5), a), "b": (3 * b * theta[2], b), "c": ((c + b) ** 2, c)}
        if not credited:
            return costs["a"][0] + costs["b"][0] + costs["c"][0]
        for value, of in costs.values():
            sample.cost(value, of=of)
        return None

    return program


def fork_truth(theta: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for a, b, c in itertools.product(COIN, repeat=3):
        p = law(a, theta[0]) * law(b, theta[1]) * law(c, theta[2] + 2 * b)
        total = total + p * (torch.sin(a + 0.5) + 3 * b * theta[2] + (c + b) ** 2)
    return total


def derivatives(value: Tensor, theta: Tensor) -> list[Tensor]:
    """Value, gradient and Hessian; of each of n repeats where theta has shape (n, parameters)."""
    (first,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    second = [torch.autograd.grad(g.sum(), theta, retain_graph=True)[0] for g in first.unbind(-1)]
    return [value.detach(), first.detach(), torch.stack(second, -2)]


def assert_unbiased(estimate: Callable[[Tensor], Tensor], exact: Callable[[Tensor], Tensor], at: Tensor = AT):
    theta = at.expand(6000, len(at)).clone().requires_grad_()
    once = at.clone().requires_grad_()
    for got, wanted in zip(derivatives(estimate(theta.T), theta), derivatives(exact(once), once), strict=True):
        result = testing.z_test(got, wanted)
        assert result.passed, str(result)


_LOO, _SCORE, _ALL = rp.LeaveOneOut(), rp.ScoreFunction(), rp.Enumerate()


@pytest.mark.parametrize(
    "estimators",
    [
        (_LOO, _LOO, _LOO),
        (_SCORE, _SCORE, _SCORE),
        (_ALL, _LOO, _SCORE),
        (_LOO, _ALL, _LOO),
        (_SCORE, _LOO, _ALL),
        (rp.DisARM(), _LOO, rp.DisARM()),
    ],
    ids=lambda e: "-".join(type(x).__name__ for x in e),
)
def test_credited_costs_are_unbiased_to_second_order(estimators):
    assert_unbiased(lambda theta: rp.expect(fork(theta, estimators, True), samples=4), fork_truth)


def test_credited_costs_of_enumerated_variables_are_exact():
    theta = AT.clone().requires_grad_()
    value = rp.expect(fork(theta, [_ALL] * 3, True))
    for got, wanted in zip(derivatives(value, theta), derivatives(fork_truth(theta), theta), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_credit_takes_the_scores_of_strangers_out_of_the_gradient():
    """The score of a multiplies the cost of a alone, so a large cost of b and c adds no noise to its gradient."""
    theta = AT.expand(4000, 3).clone().requires_grad_()
    spread = {}
    for credited in (False, True):
        torch.manual_seed(1)
        value = rp.expect(fork(theta.T, [_SCORE] * 3, credited))
        spread[credited] = torch.autograd.grad(value.sum(), theta)[0].var(0)
    # By enumeration 0.13 for Var[sin(a + .5) s_a], against more than 2 with the costs of strangers beside it.
    assert spread[True][0] < 0.2 * spread[False][0]
    assert (spread[True] < spread[False] * 1.05).all()


def test_a_wrong_credit_is_biased_and_the_test_sees_it():
    """The control: c is declared to be drawn given nothing, so the score of b never meets the cost of c."""
    theta = AT.expand(6000, 3).clone().requires_grad_()

    def program(sample) -> None:
        b = sample(td.Bernoulli(logits=theta.T[1]), _LOO)
        c = sample(td.Bernoulli(logits=theta.T[2] + 2 * b), _LOO, given=())
        sample.cost(c, of=c)

    (gradient,) = torch.autograd.grad(rp.expect(program, samples=2).sum(), theta)
    once = AT.clone().requires_grad_()
    pairs = itertools.product(COIN, repeat=2)
    truth = torch.stack([law(b, once[1]) * law(c, once[2] + 2 * b) * c for b, c in pairs]).sum()
    (exact,) = torch.autograd.grad(truth, once)
    assert not testing.z_test(gradient[:, 1], exact[1]).passed
    assert testing.z_test(gradient[:, 2], exact[2]).passed


def test_a_returned_cost_and_a_constant_join_the_credited_ones():
    theta = AT.clone().requires_grad_()

    def program(sample) -> Tensor:
        a = sample(td.Bernoulli(logits=theta[0]), _ALL)
        sample.cost(5 * a, of=a)
        sample.cost(theta[2] ** 2, of=())
        b = sample(td.Bernoulli(logits=theta[1]), _ALL)
        return a * b

    value = rp.expect(program)
    p = torch.sigmoid(theta)
    torch.testing.assert_close(value, 5 * p[0] + p[0] * p[1] + theta[2] ** 2, rtol=1e-12, atol=1e-12)


# A variable that the batch shares


def shared(theta: Tensor, estimators, elements: int = 3):
    """w is one coin for a batch of three, z_i a coin of each: batch shape (repeats, 1) beside (repeats, 3)."""
    slope = torch.arange(1, elements + 1, dtype=torch.float64)

    def program(sample) -> Tensor:
        w = sample(td.Bernoulli(logits=theta[0].unsqueeze(-1)), estimators[0])
        z = sample(td.Bernoulli(logits=theta[1].unsqueeze(-1) * slope + 2 * w), estimators[1])
        return (z - 0.3) ** 2 * slope + w * z

    return program


def shared_truth(theta: Tensor, elements: int = 3) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(1, elements + 1):
        for w, z in itertools.product(COIN, repeat=2):
            total = total + law(w, theta[0]) * law(z, theta[1] * i + 2 * w) * ((z - 0.3) ** 2 * i + w * z)
    return total


@pytest.mark.parametrize(
    "estimators",
    [(_LOO, _LOO), (_LOO, _ALL), (_SCORE, _LOO), (_ALL, _SCORE), (_ALL, _ALL)],
    ids=lambda e: "-".join(type(x).__name__ for x in e),
)
def test_a_variable_that_the_batch_shares(estimators):
    assert_unbiased(lambda theta: rp.expect(shared(theta, estimators), samples=3).sum(-1), shared_truth, AT[:2])


def test_a_cost_of_the_shared_variable_alone():
    logits = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        w = sample(td.Bernoulli(logits=logits), _ALL)
        sample.cost(4 * w, of=w)
        return sample(td.Bernoulli(logits=torch.ones(3, dtype=torch.float64)), _ALL) * 0

    value = rp.expect(program)
    assert value.shape == (3,)
    torch.testing.assert_close(value, torch.full((3,), 2.0, dtype=torch.float64))


def test_elements_of_the_batch_do_not_cross_talk():
    """The gradient of element i's value reaches the parameters of element i and of the shared variable only."""
    local = torch.randn(4, dtype=torch.float64, requires_grad=True)
    common = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        w = sample(td.Bernoulli(logits=common), _LOO)
        z = sample(td.Normal(local + w, 1.0))
        b = sample(td.Bernoulli(logits=local + z), _LOO)
        sample.cost(z * b, of=(z, b))
        return (b - w) ** 2

    # So many that they never all agree, which would leave a gradient of zero.
    value = rp.expect(program, samples=64)
    jacobian = torch.stack([torch.autograd.grad(v, local, retain_graph=True)[0] for v in value])
    assert (jacobian.diagonal() != 0).all()
    assert (jacobian - torch.diag(jacobian.diagonal()) == 0).all()


# Nested expectations


@pytest.mark.parametrize("outer", [_ALL, _LOO, _SCORE], ids=lambda e: type(e).__name__)
def test_a_function_of_an_exact_inner_expectation(outer):
    """log E[.] inside E[.]: with the inner one enumerated, any function of it is unbiased."""

    def estimate(theta: Tensor) -> Tensor:
        def program(sample) -> Tensor:
            a = sample(td.Bernoulli(logits=theta[0]), outer)
            return torch.log(rp.expect(lambda b: 1 + a * b, td.Bernoulli(logits=theta[1] + a), _ALL)) + a

        return rp.expect(program, samples=3)

    def exact(theta: Tensor) -> Tensor:
        inner = [torch.stack([law(b, theta[1] + a) * (1 + a * b) for b in COIN]).sum() for a in COIN]
        return torch.stack([law(a, theta[0]) * (torch.log(e) + a) for a, e in zip(COIN, inner, strict=True)]).sum()

    assert_unbiased(estimate, exact, AT[:2])


def test_a_linear_function_of_an_estimated_inner_program():
    def estimate(theta: Tensor) -> Tensor:
        def program(sample) -> Tensor:
            a = sample(td.Bernoulli(logits=theta[0]), _LOO)

            def inner(sample) -> Tensor:
                b = sample(td.Bernoulli(logits=theta[1] + a), _LOO)
                return (a + 2 * b) ** 2

            return 3 * rp.expect(inner, samples=2) + a

        return rp.expect(program, samples=2)

    def exact(theta: Tensor) -> Tensor:
        pairs = itertools.product(COIN, repeat=2)
        terms = [law(a, theta[0]) * law(b, theta[1] + a) * (3 * (a + 2 * b) ** 2 + a) for a, b in pairs]
        return torch.stack(terms).sum()

    assert_unbiased(estimate, exact, AT[:2])


def test_the_product_of_independent_estimates_is_unbiased_and_that_of_one_is_not():
    """Their Hessian too; the control multiplies two expectations estimated from one set of draws."""

    def first(b: Tensor) -> Tensor:
        return b + 1

    def estimate(theta: Tensor) -> Tensor:
        dist = td.Bernoulli(logits=theta[0])
        return rp.expect(first, dist, _LOO) * rp.expect(lambda b: 2 - b, dist, _LOO)

    def exact(theta: Tensor) -> Tensor:
        p = torch.sigmoid(theta[0])
        return (1 + p) * (2 - p)

    assert_unbiased(estimate, exact, AT[:1])
    theta = AT[:1].expand(6000, 1).clone().requires_grad_()
    one, run = rp.expect(lambda b: (first(b), b), td.Bernoulli(logits=theta[:, 0]), _LOO, aux=True)
    both = one * (run.weights * (2 - run.outputs)).sum(0)
    assert not testing.z_test(both.detach(), exact(AT[:1])).passed


# What a run can be asked for


def test_draws_and_outputs_of_a_program():
    def program(sample):
        z = sample(td.Independent(td.Normal(torch.zeros(5, 3), 1.0), 1))
        b = sample(td.Bernoulli(logits=z.sum(-1)), _ALL)
        return (b - 1) ** 2, {"wrong": 1 - b}

    value, run = rp.expect(program, samples=4, aux=True)
    assert [tuple(draw.shape) for draw in run.draws] == [(4, 5, 3), (2, 4, 5)]
    assert run.weights.shape == (2, 4, 5)
    torch.testing.assert_close((run.weights * run.outputs["wrong"]).sum((0, 1)), value)


def test_draws_and_outputs_of_one_variable():
    value, run = rp.expect(lambda x: (x**2, x), td.Poisson(torch.ones(3)), rp.LeaveOneOut(4), aux=True)
    assert torch.equal(run.draws[0], run.outputs)
    torch.testing.assert_close((run.weights * run.outputs**2).sum(0), value)


def _late(sample):
    sample(td.Bernoulli(0.5 * torch.ones(3)), _ALL)
    sample.cost(torch.zeros(2, 2, 3), of=torch.zeros(3))


def _constant(sample):
    sample(td.Bernoulli(0.5 * torch.ones(3)), _ALL)
    sample.cost(torch.zeros(2), of=())


def _no_cost(sample):
    sample(td.Normal(0.0, 1.0))


def _lost_run(sample):
    return sample(td.Normal(torch.zeros(3), 1.0)).mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_late, "takes draws of this program"),
        (_constant, "of no draw"),
        (_lost_run, "one cost for each run"),
        (_no_cost, "one cost for each run"),
        (lambda sample: sample(td.Bernoulli(0.5), rp.Enumerate), "must be an object"),
        (lambda sample: sample(td.Poisson(3.0), rp.Enumerate()), "no finite support"),
    ],
)
def test_bad_input(program, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        rp.expect(program, samples=2)
    assert error.value.received
    assert error.value.instead


def test_aux_wants_a_pair():
    with pytest.raises(rp.InvalidArgument, match="pair"):
        rp.expect(lambda sample: sample(td.Normal(0.0, 1.0)), aux=True)
