"""The bounds, in a model where everything is known: z ~ N(0, 1), x | z ~ N(z, s^2), q(z | x) = N(m, v^2)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam import testing

X = torch.tensor([0.7, -1.3], dtype=torch.float64)
NOISE = 0.8  # s
PRIOR = td.Independent(td.Normal(torch.zeros(1, dtype=torch.float64), 1.0), 1)


def likelihood(z: Tensor, noise: float | Tensor = NOISE) -> Tensor:
    return td.Normal(z.squeeze(-1), noise).log_prob(X.expand(z.shape[1:-1]))


def posterior(m: Tensor, v: Tensor) -> td.Independent:
    return td.Independent(td.Normal(m.unsqueeze(-1), v.unsqueeze(-1)), 1)


def exact_elbo(m: Tensor, v: Tensor) -> Tensor:
    expected = -0.5 * math.log(2 * math.pi * NOISE**2) - ((X - m) ** 2 + v**2) / (2 * NOISE**2)
    return expected - (0.5 * (m**2 + v**2 - 1) - v.log())


def start() -> tuple[Tensor, Tensor]:
    m = torch.tensor([0.2, -0.4], dtype=torch.float64)
    v = torch.tensor([0.5, 1.1], dtype=torch.float64)
    return m.requires_grad_(), v.requires_grad_()


OPTIONS = [
    {"kl": "auto"},
    {"kl": "analytic"},
    {"kl": "monte-carlo"},
    {"stick_the_landing": True},
    {"estimator": rp.LeaveOneOut(4)},
    {"kl": "monte-carlo", "estimator": rp.LeaveOneOut(4)},
    {"kl": "monte-carlo", "estimator": rp.ScoreFunction(2)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_elbo_value_and_gradient(options):
    """20,000 repeats of each way to estimate the bound, against its closed form."""
    n = 20_000
    m, v = (x.detach().expand(n, 2).clone().requires_grad_() for x in start())
    value = rp.objectives.elbo(likelihood, posterior(m, v), PRIOR, **options)
    gradients = torch.autograd.grad(value.sum(), (m, v))
    at = start()
    truth = exact_elbo(*at)
    assert testing.z_test(value, truth).passed
    for got, wanted in zip(gradients, torch.autograd.grad(truth.sum(), at), strict=True):
        result = testing.z_test(got, wanted)
        assert result.passed, str(result)


def test_the_closed_form_is_used_where_there_is_one():
    m, v = start()
    far = torch.zeros(1, 2, 1, dtype=torch.float64)
    value = rp.objectives.elbo(likelihood, posterior(m, v), PRIOR, noise=far)
    by_hand = likelihood(far + m[:, None]).squeeze(0) - td.kl_divergence(posterior(m, v), PRIOR)
    torch.testing.assert_close(value, by_hand)


def test_sticking_the_landing_is_silent_at_the_optimum():
    """With the exact posterior the path derivative is zero for every draw; with the score it only is on average."""
    precision = 1 + 1 / NOISE**2
    m = (X / NOISE**2 / precision).requires_grad_()
    v = torch.full((2,), precision**-0.5, dtype=torch.float64, requires_grad=True)
    for stick, silent in ((True, True), (False, False)):
        value = rp.objectives.elbo(
            likelihood, posterior(m, v), PRIOR, samples=3, kl="monte-carlo", stick_the_landing=stick
        )
        gradients = torch.autograd.grad(value.sum(), (m, v))
        assert all(bool(g.abs().max() < 1e-14) for g in gradients) is silent


def test_iwae_is_a_tighter_bound_and_exact_with_the_true_posterior():
    truth = td.Normal(0.0, math.hypot(1, NOISE)).log_prob(X)
    precision = 1 + 1 / NOISE**2
    q = posterior(X / NOISE**2 / precision, torch.full((2,), precision**-0.5, dtype=torch.float64))
    torch.testing.assert_close(rp.objectives.iwae(likelihood, q, PRIOR, samples=5), truth)
    m, v = (x.detach().expand(5000, 2) for x in start())
    means = [rp.objectives.iwae(likelihood, posterior(m, v), PRIOR, samples=k).mean(0) for k in (1, 8, 64)]
    assert bool((means[0] < means[1]).all())
    assert bool((means[1] < means[2]).all())
    assert bool((means[2] < truth + 0.02).all())


@pytest.mark.parametrize("doubly", [False, True], ids=["plain", "DReG"])
def test_iwae_gradient_to_encoder_and_decoder(doubly: bool):
    """K = 2, against quadrature over both draws; the decoder's noise is differentiated too."""
    nodes = torch.linspace(-7, 7, 401, dtype=torch.float64)
    weight = torch.exp(-(nodes**2) / 2)
    weight = weight / weight.sum()

    def exact(m: Tensor, v: Tensor, noise: Tensor) -> Tensor:
        z = (m + v * nodes[:, None]).unsqueeze(-1)
        log_w = likelihood(z, noise) + PRIOR.log_prob(z) - posterior(m, v).log_prob(z)
        pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
        return torch.einsum("i,j,ijb->b", weight, weight, pairs)

    n = 40_000
    m, v = (x.detach().expand(n, 2).clone().requires_grad_() for x in start())
    s = torch.full((n, 2), NOISE, dtype=torch.float64, requires_grad=True)
    value = rp.objectives.iwae(
        lambda z: likelihood(z, s), posterior(m, v), PRIOR, samples=2, doubly_reparameterized=doubly
    )
    estimates = torch.autograd.grad(value.sum(), (m, v, s))
    at = (*start(), torch.full((2,), NOISE, dtype=torch.float64, requires_grad=True))
    truth = exact(*at)
    assert testing.z_test(value, truth).passed
    for got, wanted in zip(estimates, torch.autograd.grad(truth.sum(), at), strict=True):
        result = testing.z_test(got, wanted)
        assert result.passed, str(result)


def test_dreg_is_quieter_than_the_plain_gradient():
    n = 2000
    spread = {}
    for doubly in (False, True):
        m, v = (x.detach().expand(n, 2).clone().requires_grad_() for x in start())
        value = rp.objectives.iwae(likelihood, posterior(m, v), PRIOR, samples=64, doubly_reparameterized=doubly)
        spread[doubly] = torch.autograd.grad(value.sum(), m)[0].var(0)
    assert bool((spread[True] < 0.3 * spread[False]).all())


def test_dreg_refuses_a_second_derivative():
    m, v = start()
    value = rp.objectives.iwae(likelihood, posterior(m, v), PRIOR, samples=4, doubly_reparameterized=True)
    with pytest.raises(rp.UnsupportedTransform, match="first order"):
        torch.autograd.grad(value.sum(), m, create_graph=True)


def test_a_discrete_posterior_is_enumerated():
    """The bound of a two-component mixture model is exact, with a closed-form divergence of categoricals."""
    logits = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    centres = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    q = td.Categorical(logits=logits.expand(2, 2))
    p = td.Categorical(logits=torch.zeros(2, dtype=torch.float64))
    value = rp.objectives.elbo(lambda k: td.Normal(centres[k], 1.0).log_prob(X), q, p)
    law = logits.softmax(0)
    by_hand = (law * (td.Normal(centres, 1.0).log_prob(X[:, None]) + math.log(0.5) - law.log())).sum(-1)
    torch.testing.assert_close(value, by_hand)
    (a,), (b,) = (torch.autograd.grad(x.sum(), logits, retain_graph=True) for x in (value, by_hand))
    torch.testing.assert_close(a, b)


class _Flow(td.transforms.Transform):
    domain = codomain = td.constraints.real
    bijective = True

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)


M, V = (x.detach() for x in start())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: rp.objectives.elbo(likelihood, posterior(M, V), td.Normal(0.0, 1.0)),
            rp.InvalidArgument,
            "event_shape",
        ),
        (
            lambda: rp.objectives.elbo(likelihood, posterior(M, V), PRIOR, kl="exact"),
            rp.InvalidArgument,
            "names no way",
        ),
        (
            lambda: rp.objectives.elbo(torch.sin, td.Normal(M, V), td.Cauchy(M, V), kl="analytic"),
            rp.InvalidArgument,
            "no closed form",
        ),
        (
            lambda: rp.objectives.elbo(likelihood, posterior(M, V), PRIOR, kl="analytic", stick_the_landing=True),
            rp.InvalidArgument,
            "pathwise Monte Carlo",
        ),
        (lambda: rp.objectives.iwae(likelihood, posterior(M, V), PRIOR, samples=0), rp.InvalidArgument, "at least 1"),
        (
            lambda: rp.objectives.iwae(torch.sin, td.Poisson(V), td.Poisson(V), samples=3),
            rp.NoPathwiseGradient,
            "carries no gradient",
        ),
        (
            lambda: rp.objectives.elbo(
                torch.sin,
                td.TransformedDistribution(td.Normal(M, V), [_Flow()]),
                td.Normal(M, V),
                stick_the_landing=True,
            ),
            rp.UnsupportedTransform,
            "cannot be stopped",
        ),
    ],
)
def test_bad_input(call, error, message: str):
    with pytest.raises(error, match=message) as raised:
        call()
    assert raised.value.instead


def test_a_bernoulli_prior_without_a_batch_broadcasts():
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.0], [0.1, 0.2]], requires_grad=True)
    posterior = td.Independent(td.Bernoulli(logits=logits), 1)
    prior = td.Independent(td.Bernoulli(logits=torch.zeros(2)), 1)
    bound = rp.objectives.elbo(lambda z: 0 * z.sum(-1), posterior, prior, estimator=rp.Enumerate())
    p = logits.sigmoid()
    torch.testing.assert_close(-bound, (p * (2 * p).log() + (1 - p) * (2 - 2 * p).log()).sum(-1))
