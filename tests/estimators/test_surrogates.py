"""Surrogates: their bias is what it is known to be, by enumeration and quadrature; their values are samples."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.drawn import expected_gradient, surrogates_at, t, true_gradient
from reparam.distributions import KSubset, PlackettLuce
from reparam.special._quadrature import gauss_legendre
from reparam.testing import z_test

with warnings.catch_warnings():  # torch imports this at the first jvp, and it warns about torch.jit
    warnings.simplefilter("ignore")
    import torch._decomp.decompositions_for_jvp

ON_CHOICES = [
    rp.GumbelSoftmax(0.7),
    rp.GumbelSoftmax(0.7, hard=True),
    rp.GumbelRao(0.7, inner=3),
    rp.StraightThrough(),
    rp.ReinMax(1.1),
    rp.MVE(),
    rp.Fini(2),
]
choices = pytest.mark.parametrize("via", ON_CHOICES, ids=str)
BIT = t(0.0, 1.0)


def square(x: Tensor) -> Tensor:
    return (x - 0.45) ** 2


def bernoulli(p: float) -> tuple[Tensor, td.Bernoulli]:
    logit = t(math.log(p / (1 - p)))[0].requires_grad_()
    return logit, td.Bernoulli(logits=logit)


def over_noise(via: rp.GumbelSoftmax, p: float) -> tuple[Tensor, Tensor]:
    """Weights, and the gradient of the square at each uniform number, by Gauss and Legendre on either side of 1 - p."""
    nodes, weights = gauss_legendre(80)
    below, above = (1 - p) * (1 + nodes) / 2, 1 - p + p * (1 + nodes) / 2
    u, mass = torch.cat([below, above]), torch.cat([weights * (1 - p) / 2, weights * p / 2])
    logit = torch.full_like(u, math.log(p / (1 - p)), requires_grad=True)
    y = rp.rsample(td.Bernoulli(logits=logit), via=via, noise=u)
    return mass, torch.autograd.grad(square(y).sum(), logit)[0]


@pytest.mark.parametrize("via", [rp.ReinMax(1.0), rp.Fini(2), rp.MVE()], ids=str)
def test_second_order_variance_is_the_closed_form(via):
    logit, dist = bernoulli(0.5)
    y = surrogates_at(via, dist, BIT)
    slopes = torch.stack([torch.autograd.grad(cost, logit, retain_graph=True)[0] for cost in square(y)])
    assert slopes.mean().item() == pytest.approx(0.025, abs=1e-14)
    assert slopes.var(correction=0).item() == pytest.approx(6.25e-2, abs=1e-12)


def test_straight_through_gumbel_bias_and_variance_are_the_closed_forms():
    """At p = 1/2 and temperature 1 the slope is u (1 - u): mean 1/60 instead of 1/40, variance 3.34e-2."""
    mass, slopes = over_noise(rp.GumbelSoftmax(1.0, hard=True), 0.5)
    mean = (mass * slopes).sum().item()
    assert mean / 0.025 - 1 == pytest.approx(-1 / 3, abs=1e-12)
    variance = (mass * slopes**2).sum().item() - mean**2
    assert variance == pytest.approx(4 * (0.55**2 + 0.45**2) / 60 - 1 / 3600, abs=1e-12)
    assert variance == pytest.approx(3.34e-2, abs=5e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_gumbel_softmax_bias_is_that_of_its_own_expectation(temperature: float):
    """The relaxed sample's gradient is the derivative of the relaxed expectation, which is not the discrete one."""
    p = 0.3
    mass, slopes = over_noise(rp.GumbelSoftmax(temperature), p)
    logit = t(math.log(p / (1 - p)))[0].requires_grad_()
    nodes, weights = gauss_legendre(400)
    u = (1 + nodes) / 2
    relaxed = (weights / 2 * square(torch.sigmoid((logit + torch.logit(u)) / temperature))).sum()
    (own,) = torch.autograd.grad(relaxed, logit)
    assert (mass * slopes).sum().item() == pytest.approx(own.item(), rel=1e-5)
    assert abs(own.item() / (p * (1 - p) * 0.1) - 1) > 0.1


def test_gumbel_rao_is_the_mean_of_straight_through_gumbel_with_less_variance():
    exact = (lambda mass, slopes: (mass * slopes).sum().item())(*over_noise(rp.GumbelSoftmax(0.5, hard=True), 0.3))
    slopes = []
    for via in (rp.GumbelRao(0.5, inner=10), rp.GumbelSoftmax(0.5, hard=True)):
        logit = torch.full((20_000,), math.log(0.3 / 0.7), dtype=torch.float64, requires_grad=True)
        y = rp.rsample(td.Bernoulli(logits=logit), via=via)
        slopes.append(torch.autograd.grad(square(y).sum(), logit)[0])
        assert z_test(slopes[-1], exact).passed
        assert not z_test(slopes[-1], 0.3 * 0.7 * 0.1).passed
    assert slopes[0].var() < 0.8 * slopes[1].var()


def test_gumbel_rao_of_many_classes_draws_the_noise_of_its_sample():
    """Given the sample, the conditional perturbed logits have the unconditional law once the sample is averaged out."""
    logits = t(0.5, -1.0, 1.5).expand(20_000, 3).clone().requires_grad_()
    dist = td.OneHotCategorical(logits=logits)
    weight = t(1.0, -2.0, 0.5)
    slopes = [
        torch.autograd.grad((rp.rsample(dist, via=via) * weight).sum(), logits, retain_graph=True)[0]
        for via in (rp.GumbelRao(0.8, inner=4), rp.GumbelSoftmax(0.8, hard=True))
    ]
    # A linear cost: both have the mean of the softmax's own Jacobian.
    difference = slopes[0] - slopes[1]
    assert z_test(difference, torch.zeros(3)).passed
    assert (slopes[0].var(0) < slopes[1].var(0)).all()


def test_straight_through_is_exact_for_linear_costs_and_biased_by_the_closed_form():
    for p in (0.2, 0.7):
        logit, dist = bernoulli(p)
        via = rp.StraightThrough()
        linear = expected_gradient(via, dist, BIT, lambda x: 3 * x, logit)
        assert linear.item() == pytest.approx(3 * p * (1 - p), rel=1e-12)
        bias = expected_gradient(via, dist, BIT, square, logit) - true_gradient(dist, BIT, square, logit)
        assert bias.item() == pytest.approx(p * (1 - p) * (2 * p - 1), rel=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_reinmax_gradient_is_its_formula(temperature: float):
    """Cubic costs, for which it is biased, on a Categorical's index and on a Bernoulli."""
    logits = t(0.3, -1.0, 0.5).requires_grad_()
    index = torch.arange(3)
    got = expected_gradient(rp.ReinMax(temperature), td.Categorical(logits=logits), index, lambda x: x**3, logits)
    p, heated = logits.detach().softmax(-1), (logits.detach() / temperature).softmax(-1)
    wanted = torch.zeros(3, dtype=torch.float64)
    for k in range(3):
        middle = (torch.eye(3, dtype=torch.float64)[k] + heated) / 2
        slope = 2 * (torch.diag(middle) - torch.outer(middle, middle)) - (torch.diag(p) - torch.outer(p, p)) / 2
        wanted += p[k] * slope @ (3 * k**2 * t(0.0, 1.0, 2.0))
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    exact = true_gradient(td.Categorical(logits=logits), index, lambda x: x**3, logits)
    assert (got - exact).abs().max() > 1e-2


@choices
@pytest.mark.parametrize(
    "make",
    [td.Bernoulli, td.Categorical, td.OneHotCategorical],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_shapes_dtypes_and_values(via, make, dtype: torch.dtype):
    logits = torch.randn(2, 3).to(dtype).requires_grad_()
    # torch's own check of a simplex does not stand the rounding of half precision.
    dist = make(logits=logits, validate_args=False)
    dist = td.Independent(dist, 1) if make is td.Bernoulli else dist
    y = rp.rsample(dist, (5,), via=via)
    assert y.shape == (5, *dist.batch_shape, *dist.event_shape)
    assert y.dtype == dtype
    (slope,) = torch.autograd.grad((y * torch.arange(1, y.numel() + 1).view_as(y)).sum(), logits)
    assert torch.isfinite(slope).all()
    assert (slope != 0).any()
    if not isinstance(via, rp.GumbelSoftmax) or via.hard:
        assert torch.equal(y, y.round())
    empty = rp.rsample(dist.expand((0, *dist.batch_shape)), via=via)
    assert empty.shape == (0, *dist.batch_shape, *dist.event_shape)


@choices
def test_values_follow_the_law_and_probs_have_the_gradient_of_logits(via):
    p = t(0.2, 0.5, 0.3)
    if via != rp.GumbelSoftmax(0.7):
        x = rp.rsample(td.OneHotCategorical(p), (20_000,), via=via)
        assert z_test(x, p).passed
    logits, probs = p.log().requires_grad_(), p.clone().requires_grad_()
    slopes = []
    for dist, leaf in ((td.Categorical(logits=logits), logits), (td.Categorical(probs), probs)):
        y = rp.rsample(dist, (4,), via=via, noise=torch.Generator().manual_seed(7))
        slopes.append(torch.autograd.grad((y * t(1.0, 2.0, 3.0, 4.0)).sum(), leaf)[0])
    # A logit moves its probability by p, and the sum of a Categorical's probabilities does not count.
    torch.testing.assert_close(slopes[0], p * (slopes[1] - (p * slopes[1]).sum()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-2, 1e-6, 1e-20, 1e-38, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_low_temperatures_are_never_nan(temperature: float, dtype: torch.dtype):
    logits = (30 * torch.randn(200, 4)).to(dtype).requires_grad_()
    for via in (
        rp.GumbelSoftmax(temperature),
        rp.GumbelSoftmax(temperature, hard=True),
        rp.GumbelRao(temperature, inner=2),
        rp.ReinMax(temperature),
    ):
        y = rp.rsample(td.OneHotCategorical(logits=logits, validate_args=False), via=via)
        (slope,) = torch.autograd.grad((y * torch.arange(4)).sum(), logits)
        assert not y.isnan().any(), via
        assert not slope.isnan().any(), via
        torch.testing.assert_close(y.sum(-1).double(), torch.ones(200).double(), rtol=0, atol=4e-3)
        if temperature <= 1e-20:
            assert torch.equal(y, y.round()), via


@choices
def test_noise_in_the_users_hand(via):
    dist = td.OneHotCategorical(logits=torch.randn(6, 3))
    once, again = (rp.rsample(dist, (4,), via=via, noise=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)
    once, again = (rp.rsample(dist, (4,), via=via, noise=rp.noise.Philox(5)) for _ in range(2))
    assert torch.equal(once, again)


@choices
def test_under_func_and_vmap(via):
    """A fixed sampler and fixed noise: reverse, func, forward mode and vmap agree on the slope."""
    if isinstance(via, rp.GumbelRao):
        via = rp.StraightThrough()  # its inner noise cannot be fixed beside its sample's
    logits, weight = torch.randn(3, dtype=torch.float64), t(1.0, -2.0, 0.5)
    fixed = torch.tensor([0.4], dtype=torch.float64) if not isinstance(via, rp.GumbelSoftmax) else t(0.3, 1.0, 0.2)

    def cost(p: Tensor) -> Tensor:
        dist = td.OneHotCategorical(logits=p, validate_args=False)
        return (rp.rsample(dist, (1,), via=via, noise=fixed) * weight).sum()

    leaf = logits.clone().requires_grad_()
    (plain,) = torch.autograd.grad(cost(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(cost)(logits), plain)
    tangent = torch.randn(3, dtype=torch.float64)
    torch.testing.assert_close(torch.func.jvp(cost, (logits,), (tangent,))[1], plain @ tangent)
    stacked = torch.stack([logits, logits])
    torch.testing.assert_close(torch.vmap(torch.func.grad(cost))(stacked), torch.stack([plain, plain]))
    different = torch.vmap(
        lambda p: rp.rsample(td.OneHotCategorical(logits=p, validate_args=False), (40,), via=via),
        randomness="different",
    )(stacked)
    assert different[0].ne(different[1]).any()


def _compiled_slopes(via, make, logits: Tensor) -> Tensor:
    def sampled(p: Tensor) -> Tensor:
        return rp.rsample(make(p), (50,), via=via)

    torch._dynamo.reset()
    leaf = logits.clone().requires_grad_()
    y = torch.compile(sampled, fullgraph=True, backend="aot_eager", dynamic=False)(leaf)
    return torch.autograd.grad((y * torch.arange(y.numel()).view_as(y).sin()).sum(), leaf)[0]


@pytest.mark.parametrize(
    "via",
    [
        pytest.param(via, marks=[] if type(via) in (rp.ReinMax, rp.MVE) else [pytest.mark.long])
        for via in [*ON_CHOICES, rp.Fini(3)]
    ],
    ids=str,
)
def test_compiled(via):
    make = (lambda p: td.Poisson(p.exp())) if via == rp.Fini(3) else (lambda p: td.OneHotCategorical(logits=p))
    slope = _compiled_slopes(via, make, torch.randn(4))
    assert torch.isfinite(slope).all()
    assert (slope != 0).all()


@choices
def test_in_expect_and_as_a_value(via):
    logits = torch.zeros(6, 3, requires_grad=True)
    value = rp.expect(lambda x: (x * torch.arange(3)).sum(-1) ** 2, td.OneHotCategorical(logits=logits), via, samples=4)
    assert value.shape == (6,)
    assert (torch.autograd.grad(value.sum(), logits)[0] != 0).any()
    assert via.unbiased is False
    assert via.evaluations(td.Bernoulli(0.5)) == 1
    for again in (pickle.loads(pickle.dumps(via)), copy.deepcopy(via)):
        assert again == via
        assert hash(again) == hash(via)


def test_in_a_program_beside_an_unbiased_estimator():
    """b ~ Bernoulli by a leave-one-out score, x ~ Poisson(rate (1 + b)) by Fini: a quadratic cost has no bias."""
    n = 4000
    logit = torch.full((n,), 0.3, dtype=torch.float64, requires_grad=True)
    rate = torch.full((n,), 1.5, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        b = sample(td.Bernoulli(logits=logit), rp.LeaveOneOut())
        x = sample(td.Poisson(rate * (1 + b)), rp.Fini(2))
        return x**2 + b * x

    value = rp.expect(program, samples=4)
    slopes = torch.autograd.grad(value.sum(), [logit, rate])
    p, r = torch.sigmoid(t(0.3))[0], 1.5
    high, low = 4 * r**2 + 2 * r + 2 * r, r**2 + r
    assert z_test(value, p * high + (1 - p) * low).passed
    assert z_test(slopes[0], p * (1 - p) * (high - low)).passed
    assert z_test(slopes[1], p * (8 * r + 4) + (1 - p) * (2 * r + 1)).passed


def test_straight_through_a_subset_goes_through_its_exact_marginals():
    """Six items, three of them: exact for linear costs, sign included, by enumeration."""
    logits = torch.randn(6, dtype=torch.float64, requires_grad=True)
    dist, weight = KSubset(3, logits), torch.randn(6, dtype=torch.float64)
    points = dist.enumerate_support()
    got = expected_gradient(rp.StraightThrough(), dist, points, lambda x: x @ weight, logits)
    torch.testing.assert_close(got, true_gradient(dist, points, lambda x: x @ weight, logits), rtol=1e-9, atol=1e-12)
    got = expected_gradient(rp.StraightThrough(), dist, points, lambda x: (x @ weight) ** 3, logits)
    assert (got - true_gradient(dist, points, lambda x: (x @ weight) ** 3, logits)).abs().max() > 1e-3


def test_gumbel_top_k_draws_one_by_one_and_not_the_subset_law():
    logits = t(1.5, 0.0, -1.0, 0.5)
    dist = KSubset(2, logits)
    x = rp.rsample(dist, (20_000,), via=rp.GumbelTopK(hard=True))
    w = logits.softmax(-1)
    second = torch.stack([w[i] + sum(w[j] * w[i] / (1 - w[j]) for j in range(4) if j != i) for i in range(4)])
    assert z_test(x, second).passed
    assert not z_test(x, dist.mean).passed
    logits = torch.randn(50, 6).requires_grad_()
    for via in (rp.GumbelTopK(0.5), rp.GumbelTopK(1e-30), rp.GumbelTopK(0.5, hard=True)):
        y = rp.rsample(KSubset(3, logits), via=via)
        (slope,) = torch.autograd.grad((y * torch.arange(6)).sum(), logits)
        torch.testing.assert_close(y.sum(-1), torch.full((50,), 3.0))
        assert torch.isfinite(slope).all()
        assert (slope != 0).any() == (via.temperature > 1e-9)


def test_soft_sort_is_a_ranking_at_low_temperature():
    logits = torch.randn(30, 5, dtype=torch.float64, requires_grad=True)
    dist, noise = PlackettLuce(logits), torch.rand(30, 5, dtype=torch.float64) + 0.1
    hard = rp.rsample(dist, via=rp.SoftSort(0.3, hard=True), noise=noise)
    assert torch.equal(hard.long(), (logits - noise.log()).argsort(-1, descending=True))
    cold = rp.rsample(dist, via=rp.SoftSort(1e-30), noise=noise)
    torch.testing.assert_close(cold, hard)
    matrix = rp.SoftSort(0.3).matrix(dist, (7,))
    assert matrix.shape == (7, 30, 5, 5)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(7, 30, 5).double())
    slopes = [torch.autograd.grad((y * torch.arange(5)).sum(), logits)[0] for y in (hard, cold)]
    assert (slopes[0] != 0).any()
    assert not slopes[1].isnan().any()


def test_soft_sort_is_biased():
    logits = t(1.0, 0.0, -0.5).requires_grad_()
    dist = PlackettLuce(logits)
    points = dist.enumerate_support()
    exact = true_gradient(dist, points, lambda x: (x * t(3.0, 1.0, 0.0)).sum(-1), logits)
    copies = logits.detach().expand(20_000, 3).clone().requires_grad_()
    y = rp.rsample(PlackettLuce(copies), via=rp.SoftSort(1.0, hard=True))
    slopes = torch.autograd.grad((y * t(3.0, 1.0, 0.0)).sum(), copies)[0]
    assert not z_test(slopes, exact).passed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.ReinMax(0.0), "temperature to be a positive number"),
        (lambda: rp.GumbelSoftmax(-1.0), "temperature to be a positive number"),
        (lambda: rp.GumbelSoftmax(math.nan), "temperature to be a positive number"),
        (lambda: rp.GumbelSoftmax("cold"), "temperature to be a positive number"),
        (lambda: rp.GumbelRao(1.0, inner=0), "inner to be a positive integer"),
        (lambda: rp.ReinMax(samples=0), "samples to be a positive integer"),
        (lambda: rp.rsample(td.Poisson(3.0), via=rp.ReinMax()), "ReinMax is defined for Bernoulli"),
        (lambda: rp.rsample(td.Normal(0.0, 1.0), via=rp.StraightThrough()), "discrete distributions with a mean"),
        (lambda: rp.rsample(PlackettLuce(torch.zeros(3)), via=rp.StraightThrough()), "with a mean"),
        (lambda: rp.rsample(td.Bernoulli(0.5), via=rp.GumbelTopK()), "GumbelTopK is defined for KSubset"),
        (lambda: rp.rsample(td.Bernoulli(0.5), via=rp.SoftSort()), "SoftSort is defined for PlackettLuce"),
        (
            lambda: rp.rsample(td.Bernoulli(torch.tensor(1.0, requires_grad=True)), via=rp.ReinMax()),
            "a gradient through logits does not exist where probs is 0 or 1",
        ),
        (
            lambda: rp.rsample(td.Bernoulli(0.5), via=rp.GumbelRao(), noise=torch.tensor(0.5)),
            "more than one piece",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


@choices
def test_a_second_derivative_raises_unless_the_sample_is_soft(via):
    """In a parameter; a mixed one, in the cost's own parameters, is the first derivative's and stays."""
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    cost = ((rp.rsample(td.OneHotCategorical(logits=logits), (5,), via=via) @ weight) ** 2).sum()
    (slope,) = torch.autograd.grad(cost, logits, create_graph=True)
    assert torch.isfinite(torch.autograd.grad(slope[0], weight, retain_graph=True)[0]).all()
    if via == rp.GumbelSoftmax(0.7):
        assert torch.isfinite(torch.autograd.grad(slope[0], logits)[0]).all()
        return
    with pytest.raises(rp.UnsupportedTransform, match="no derivative"):
        torch.autograd.grad(slope[0], logits)

    def value(p: Tensor) -> Tensor:
        return (rp.rsample(td.OneHotCategorical(logits=p, validate_args=False), via=via) @ weight.detach()) ** 2

    with pytest.raises(rp.UnsupportedTransform, match="no derivative"):
        torch.func.jacrev(torch.func.grad(value))(logits.detach())
