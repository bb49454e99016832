"""`expect`: one variable, and every way to call it wrongly."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp
from reparam import testing


@pytest.mark.parametrize(
    ("dist", "expected"),
    [
        (td.Normal(0.0, 1.0), "Pathwise(samples=1)"),
        (td.Independent(td.Normal(torch.zeros(3), 1.0), 1), "Pathwise(samples=1)"),
        (td.Bernoulli(0.5), "Enumerate(budget=65536)"),
        (td.Independent(td.Bernoulli(torch.full((3,), 0.5)), 1), "Enumerate(budget=65536)"),
        (td.Independent(td.Bernoulli(torch.full((30,), 0.5)), 1), "LeaveOneOut(samples=4)"),
        (td.Poisson(3.0), "LeaveOneOut(samples=4)"),
    ],
)
def test_the_default_estimator(dist, expected: str):
    assert repr(rp.estimator_for(dist)) == expected


def test_result_has_the_batch_shape_and_elements_do_not_cross_talk():
    logits = torch.randn(3, 4, requires_grad=True)
    value = rp.expect(lambda b: b * torch.arange(4.0), td.Bernoulli(logits=logits), rp.LeaveOneOut(5))
    assert value.shape == (3, 4)
    (gradient,) = torch.autograd.grad(value[1, 2], logits)
    assert (gradient != 0).sum() <= 1


def test_estimates_pass_the_calibrated_test_and_the_biased_control_fails_it():
    """4,000 estimates of d E[(b - .45)^2] / d logit by each estimator; a straight-through gradient is the control."""
    n, exact = 4000, 0.024445831169074586
    logits = torch.full((n,), 0.3, dtype=torch.float64, requires_grad=True)
    dist = td.Bernoulli(logits=logits)
    for estimator in (rp.ScoreFunction(2), rp.LeaveOneOut(2), rp.LeaveOneOut(8)):
        value = rp.expect(lambda b: (b - 0.45) ** 2, dist, estimator)
        result = testing.z_test(torch.autograd.grad(value.sum(), logits)[0], exact)
        assert result.passed, f"{estimator}: {result}"
    hard = dist.sample()
    straight_through = hard + dist.probs - dist.probs.detach()
    biased = torch.autograd.grad((2 * (straight_through - 0.45) ** 2).sum(), logits)[0]
    assert not testing.z_test(biased, exact).passed


def test_poisson_by_leave_one_out():
    rate = torch.full((20_000,), 4.0, dtype=torch.float64, requires_grad=True)
    value = rp.expect(lambda x: x**2, td.Poisson(rate), rp.LeaveOneOut(4))
    assert testing.z_test(value, 20.0).passed
    assert testing.z_test(torch.autograd.grad(value.sum(), rate)[0], 9.0).passed


def test_gradient_reaches_the_cost_s_own_parameters():
    weight = torch.tensor(2.0, requires_grad=True)
    value = rp.expect(lambda b: weight * b, td.Bernoulli(0.25))
    assert torch.autograd.grad(value, weight)[0].item() == pytest.approx(0.25)


def test_samples_overrides_the_estimator_s_own():
    seen = []

    def cost(x):
        seen.append(x.shape[0])
        return x

    rp.expect(cost, td.Normal(0.0, 1.0), samples=7)
    rp.expect(cost, td.Poisson(3.0), rp.LeaveOneOut(2), samples=5)
    assert seen == [7, 5]


@pytest.mark.parametrize("make", [td.Bernoulli, td.Geometric, lambda p: td.Categorical(torch.stack([p, 1 - p], -1))])
def test_base_noise_in_the_users_hand(make):
    """The same uniform noise gives the same draws; a generator with the same seed too."""
    dist = make(torch.tensor([0.3, 0.6]))
    noise = torch.rand(4, 2)
    first, second = (rp.expect(lambda x: x.double() ** 2, dist, rp.LeaveOneOut(4), noise=noise) for _ in range(2))
    assert torch.equal(first, second)
    a, b = (
        rp.expect(lambda x: x.double() ** 2, dist, rp.LeaveOneOut(4), noise=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("make", "mean"),
    [
        (lambda: td.Bernoulli(torch.tensor(0.3)), 0.3),
        (lambda: td.Categorical(torch.tensor([0.2, 0.5, 0.3])), 1.1),
        (lambda: td.Geometric(torch.tensor(0.4)), 1.5),
        (lambda: td.Poisson(torch.tensor(2.5)), 2.5),
        (lambda: td.Binomial(5, torch.tensor(0.3)), 1.5),
        (lambda: td.NegativeBinomial(torch.tensor(3.0), torch.tensor(0.4)), 2.0),
    ],
    ids=["Bernoulli", "Categorical", "Geometric", "Poisson", "Binomial", "NegativeBinomial"],
)
def test_samplers_fed_by_a_generator(make, mean: float):
    from reparam.noise import as_source
    from reparam.pathwise.sampling import sample

    x = sample(make(), torch.Size((20_000,)), as_source(torch.Generator().manual_seed(torch.seed() % 2**31)))
    assert testing.z_test(x.double(), mean).passed


def test_infinite_costs_of_both_signs_are_not_taken_for_nan():
    value = rp.expect(lambda x: x / 0.0, td.Normal(torch.tensor([-50.0, 50.0]), 1.0))
    assert value.tolist() == [-torch.inf, torch.inf]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.expect(lambda z: z.sum(), td.Normal(torch.zeros(3), 1.0)), "one number for each point"),
        (lambda: rp.expect(lambda z: 3.0, td.Normal(torch.zeros(3), 1.0)), "one number for each point"),
        (lambda: rp.expect(lambda z: z if z > 0 else -z, td.Poisson(3.0)), "one point at a time"),
        (lambda: rp.expect(lambda z: float(z) * z, td.Poisson(3.0)), "one point at a time"),
        (lambda: rp.expect(torch.log, td.Normal(torch.tensor(-9.0), 1.0)), "cost is NaN"),
        (lambda: rp.expect(lambda z: z * 1j, td.Poisson(3.0)), "must be real"),
        (lambda: rp.expect(3, td.Poisson(3.0)), "a function"),
        (lambda: rp.expect(torch.sin, "Normal"), "must be a torch.distributions"),
        (lambda: rp.expect(torch.sin, td.Normal(0.0, 1.0), rp.Pathwise), "must be an object"),
        (lambda: rp.expect(torch.sin, td.Bernoulli(0.5), rp.Enumerate(), samples=4), "decides by itself"),
        (lambda: rp.expect(torch.sin, estimator=rp.Pathwise()), "names an estimator for each"),
        (lambda: rp.expect(lambda sample: sample, samples=0), "positive integer"),
        (lambda: rp.expect(torch.sin, td.Poisson(3.0), noise=torch.rand(4)), "no base noise of fixed size"),
        (
            lambda: rp.expect(lambda z: (z > 0).float(), td.Normal(torch.zeros(3, requires_grad=True), 1.0)),
            "no gradient back",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


def test_a_cost_with_no_gradient_is_fine_where_nobody_differentiates():
    loc = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        assert rp.expect(lambda z: (z > 0).float(), td.Normal(loc, 1.0), samples=10).shape == (3,)


def test_pathwise_on_a_discrete_distribution_says_what_to_use():
    with pytest.raises(rp.NoPathwiseGradient, match=r"Enumerate\(\)"):
        rp.expect(torch.sin, td.Bernoulli(0.5), rp.Pathwise())
