"""REBAR, RELAX and RODEO: no bias whatever the control variate is, less variance once it is trained, and only then."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributions as td

import reparam as rp
from estimators.outcomes import cost, derivatives, expectation, summed, t
from reparam import testing
from reparam.estimators import rodeo


def relax_with_the_cost() -> rp.RELAX:
    return rp.RELAX(temperature=0.5)


CONTROLLED = [rp.REBAR, rp.RELAX, relax_with_the_cost, rp.RODEO]


def perturbed(estimator):
    """A control variate somewhere on its way, and left there."""
    for p in estimator.parameters():
        nn.init.normal_(p, std=0.3)
    estimator.control.eval()
    return estimator


class Quadrature:
    """Two uniforms at Gauss-Legendre nodes, each on pieces where nothing jumps, along the batch.

    A substitution whose derivative vanishes at the ends of a piece takes care of fractional powers there.
    """

    def __init__(self, jump: float, nodes: int = 40) -> None:
        x, w = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(nodes))
        s = (x + 1) / 2
        w = w / 2 * 140 * (s * (1 - s)) ** 3
        s = s**4 * (35 - 84 * s + 70 * s**2 - 20 * s**3)
        ends = list(itertools.pairwise((0.0, jump, 1.0)))
        self.pieces = torch.cartesian_prod(torch.cat([s * (b - a) + a for a, b in ends]), s)
        self.law = torch.outer(torch.cat([w * (b - a) for a, b in ends]), w).flatten()
        self.asked = 0

    def uniform(self, shape, dtype, device) -> Tensor:
        self.asked += 1
        return self.pieces[:, self.asked - 1].reshape(shape).to(dtype)

    def normal(self, shape, dtype, device) -> Tensor:
        raise AssertionError

    exponential = normal


@pytest.mark.parametrize("estimator", [rp.REBAR(1.0), rp.RELAX(), rp.RELAX(temperature=1.0)], ids=str)
@pytest.mark.parametrize("given", ["logits", "probs"])
def test_one_coin_is_exact_by_quadrature(estimator, given: str):
    perturbed(estimator)
    estimator.control.double()
    at = t(0.3) if given == "logits" else t(0.6)
    p = torch.sigmoid(at).item() if given == "logits" else 0.6
    noise = Quadrature(1 - p)

    def make(parameter: Tensor) -> td.Distribution:
        return td.Bernoulli(**{given: parameter[:, 0]})

    got = expectation(lambda q: rp.expect(lambda x: cost(x, q, 0), make(q), estimator, noise=noise), at, noise.law)
    for a, b in zip(got, summed(make, t(0.0, 1.0), lambda x, q: cost(x, q, 0), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("given", ["logits", "probs"])
def test_rodeo_is_exact_over_every_outcome(monkeypatch, samples: int, given: str):
    estimator = perturbed(rp.RODEO(samples))
    estimator.control.double()
    at = t(0.3, -1.0) if given == "logits" else t(0.6, 0.3)
    sites = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)

    def make(p: Tensor) -> td.Distribution:
        return td.Independent(td.Bernoulli(**{given: p}), 1)

    index = torch.cartesian_prod(*[torch.arange(4)] * samples)
    law = make(at).log_prob(sites).exp()[index].prod(-1)
    monkeypatch.setattr("reparam.estimators.score.sample", lambda *_: sites[index].movedim(1, 0).clone())
    got = expectation(lambda p: rp.expect(lambda x: cost(x, p, 1), make(p), estimator), at, law)
    for a, b in zip(got, summed(make, sites, lambda x, p: cost(x, p, 1), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


_SHAPES = {
    "coins": (lambda p: td.Independent(td.Bernoulli(logits=p), 1), t(0.3, 0.0, -1.0)),
    "categories": (lambda p: td.OneHotCategorical(logits=p), t(0.3, 0.0, -1.0)),
    "sites of categories": (
        lambda p: td.Independent(td.OneHotCategorical(logits=p.unflatten(-1, (2, 2))), 1),
        t(0.3, 0.0, -1.0, 0.5),
    ),
}


@pytest.mark.parametrize("name", _SHAPES)
@pytest.mark.parametrize("kind", CONTROLLED[:3], ids=lambda k: k.__name__)
def test_vectors_pass_the_calibrated_test(kind, name: str):
    n = 20_000
    make, at = _SHAPES[name]
    estimator = perturbed(kind())
    parameter = at.expand(n, -1).clone().requires_grad_()
    events = len(make(at).event_shape)
    value = rp.expect(lambda x: cost(x, parameter, events), make(parameter), estimator)
    exact = at[None].clone().requires_grad_()
    dist = make(exact)
    truth = rp.expect(lambda x: cost(x, exact, events), dist, rp.Enumerate() if name == "coins" else _listed(dist))
    for got, wanted in zip(derivatives(value, parameter), derivatives(truth, exact), strict=True):
        result = testing.z_test(got, wanted[0])
        assert result.passed, str(result)


def _listed(dist: td.Distribution) -> rp.Enumerate:
    return rp.Enumerate()


def test_relax_serves_category_numbers_and_a_relaxed_cost_says_it_cannot():
    n = 20_000
    logits = t(0.3, 0.0, -1.0).expand(n, 3).clone().requires_grad_()
    value = rp.expect(lambda k: (k - 0.4) ** 2, td.Categorical(logits=logits), perturbed(rp.RELAX()))
    exact = t(0.3, 0.0, -1.0).requires_grad_()
    truth = rp.expect(lambda k: (k - 0.4) ** 2, td.Categorical(logits=exact), rp.Enumerate())
    wanted = torch.autograd.grad(truth, exact)[0]
    assert testing.z_test(torch.autograd.grad(value.sum(), logits)[0], wanted).passed
    for estimator in (rp.REBAR(), relax_with_the_cost()):
        with pytest.raises(rp.InvalidArgument, match="between the values"):
            rp.expect(torch.sin, td.Categorical(logits=logits), estimator)


def test_relax_with_the_cost_starts_at_rebar():
    """The same draws, the same gradient."""
    logits = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    dist = td.Independent(td.Bernoulli(logits=logits), 1)

    def gradient(estimator) -> Tensor:
        value = rp.expect(lambda b: (b.sum(-1) - 0.4) ** 2, dist, estimator, noise=torch.Generator().manual_seed(1))
        return torch.autograd.grad(value.sum(), logits)[0]

    torch.testing.assert_close(gradient(relax_with_the_cost()), gradient(rp.REBAR()))


def test_categories_that_never_win_leave_the_gradient_finite():
    logits = torch.tensor([300.0, -300.0, 90.0], requires_grad=True)
    for estimator in (rp.REBAR(), relax_with_the_cost(), rp.RELAX(2)):
        value = rp.expect(lambda x: 1e3 * x[..., 0], td.OneHotCategorical(logits=logits), estimator)
        torch.testing.assert_close(torch.autograd.grad(value, logits)[0], torch.zeros(3))


def test_two_draws_of_relax_do_not_see_an_offset():
    logits = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    dist = td.Independent(td.Bernoulli(logits=logits), 1)

    def gradient(offset: float) -> Tensor:
        value = rp.expect(lambda b: b.sum(-1) ** 2 + offset, dist, rp.RELAX(2), noise=torch.Generator().manual_seed(1))
        return torch.autograd.grad(value.sum(), logits)[0]

    torch.testing.assert_close(gradient(1000.0), gradient(0.0))


def spread(estimator, f, at: Tensor) -> float:
    """The total variance, by the same noise at every call."""
    logits = at.expand(10_000, 3).clone().requires_grad_()
    value = rp.expect(
        f, td.Independent(td.Bernoulli(logits=logits), 1), estimator, noise=torch.Generator().manual_seed(0)
    )
    return torch.autograd.grad(value.sum(), logits)[0].var(0).sum().item()


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minimised", "maximised"])
@pytest.mark.parametrize("kind", CONTROLLED, ids=lambda k: k.__name__)
def test_training_reduces_the_variance_whatever_becomes_of_the_estimate(kind, sign: float):
    """The objective's node ignores the incoming gradient: maximising, or a loss scaled by 1e-3, trains the same way."""
    estimator = kind()
    at = torch.tensor([0.5, -0.5, 1.0])
    logits = at.expand(300, 3).clone().requires_grad_()
    weight = torch.tensor([1.0, -2.0, 0.5])

    def f(b: Tensor) -> Tensor:
        return torch.exp((b * weight).sum(-1)) + 3 * (b * weight).sum(-1) ** 2

    if kind is rp.REBAR:
        nn.init.zeros_(estimator.control.eta)
    if kind is relax_with_the_cost:  # which starts well: from somewhere else
        nn.init.ones_(estimator.control.layers[-1].weight)
    before = spread(estimator, f, at)
    optimiser = torch.optim.Adam(list(estimator.parameters()), lr=0.05)
    for _ in range(40):
        optimiser.zero_grad()
        (sign * 1e-3 * rp.expect(f, td.Independent(td.Bernoulli(logits=logits), 1), estimator).sum()).backward()
        optimiser.step()
    assert spread(estimator, f, at) < 0.8 * before


def test_the_estimate_s_own_gradient_never_reaches_the_control_variate():
    """Twice the loss: twice the gradient of the logits, the same gradient of the control variate."""
    for kind in CONTROLLED:
        estimator, found = kind(), []
        for scale in (1.0, 2.0):
            torch.manual_seed(3)
            logits = torch.zeros(4, 3, requires_grad=True)
            value = rp.expect(lambda b: b.sum(-1) ** 2, td.Independent(td.Bernoulli(logits=logits), 1), estimator)
            parameters = list(estimator.parameters())
            found.append(torch.autograd.grad(scale * value.sum(), [logits, *parameters], allow_unused=True))
        torch.testing.assert_close(found[1][0], 2 * found[0][0])
        trained = [(a, b) for a, b in zip(found[0][1:], found[1][1:], strict=True) if a is not None]
        assert trained
        for a, b in trained:
            torch.testing.assert_close(a, b)


def test_a_linear_cost_has_no_variance_under_rodeo_untrained():
    logits = torch.randn(200, 5, dtype=torch.float64, requires_grad=True)
    weight = t(1.0, -2.0, 0.5, 3.0, 0.0)
    value = rp.expect(lambda b: (b * weight).sum(-1), td.Independent(td.Bernoulli(logits=logits), 1), rp.RODEO(2))
    p = torch.sigmoid(logits.detach())
    torch.testing.assert_close(torch.autograd.grad(value.sum(), logits)[0], weight * p * (1 - p))


class Seen(nn.Module):
    """The Taylor polynomial, which keeps what it was told."""

    def forward(self, cost: Tensor, change: Tensor, centred: Tensor) -> Tensor:
        self.told = getattr(self, "told", ()) or (cost, change, centred)
        return change


def test_rodeo_tells_its_guess_the_cost_there_and_the_change_from_the_draw_and_from_the_mean():
    logits, weight, control = t(0.3, -1.0, 0.8).requires_grad_(), t(1.0, -2.0, 4.0), Seen()
    points = []

    def f(x: Tensor) -> Tensor:
        points.append(x.detach())
        return (x * weight).sum(-1) ** 2

    rp.expect(f, td.Independent(td.Bernoulli(logits=logits), 1), rp.RODEO(3, control=control)).backward()
    (x,) = points
    slope = 2 * (x * weight).sum(-1, keepdim=True) * weight
    cost, change, centred = control.told
    torch.testing.assert_close(cost, (x * weight).sum(-1) ** 2)
    torch.testing.assert_close(change, ((x.unsqueeze(1) - x) * slope).sum(-1))
    torch.testing.assert_close(centred, ((x.unsqueeze(1) - logits.detach().sigmoid()) * slope).sum(-1))


def test_state_travels():
    for kind in CONTROLLED:
        estimator = kind()
        for p in estimator.parameters():
            nn.init.normal_(p)
        fresh = kind()
        fresh.load_state_dict(estimator.state_dict())
        for other in (fresh, copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
            for a, b in zip(estimator.parameters(), other.parameters(), strict=True):
                torch.testing.assert_close(a, b)


def test_nothing_is_trained_without_need(monkeypatch):
    """Neither under `no_grad`, nor with the logits held fixed, nor in `eval()` mode."""
    monkeypatch.setattr(rodeo, "descend", lambda *_: pytest.fail("trained"))
    fixed = td.Independent(td.Bernoulli(logits=torch.zeros(3)), 1)
    moving = td.Independent(td.Bernoulli(logits=torch.zeros(3, requires_grad=True)), 1)
    estimator = rp.RODEO(2)
    rp.expect(lambda b: b.sum(-1), fixed, estimator)
    with torch.no_grad():
        rp.expect(lambda b: b.sum(-1), moving, estimator)
    estimator.control.eval()
    rp.expect(lambda b: b.sum(-1), moving, estimator).backward()


def test_rebar_in_a_program():
    n = 20_000
    logits = torch.full((n,), 0.3, dtype=torch.float64, requires_grad=True)

    def program(sample) -> Tensor:
        b = sample(td.Bernoulli(logits=logits), rp.REBAR())
        return (sample(td.Normal(b, 1.0)) - 0.45) ** 2

    (gradient,) = torch.autograd.grad(rp.expect(program, samples=2).sum(), logits)
    assert testing.z_test(gradient, 0.024445831169074586).passed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.REBAR(0.0), "must be positive"),
        (lambda: rp.RELAX(temperature=-1.0), "must be positive"),
        (lambda: rp.RELAX(0), "at least 1"),
        (lambda: rp.REBAR("0.5"), "must be positive"),
        (lambda: rp.REBAR(float("inf")), "must be positive"),
        (lambda: rp.REBAR(control=torch.tanh), "must be a torch.nn.Module"),
        (lambda: rp.RODEO(control=torch.tanh), "must be a torch.nn.Module"),
        (lambda: rp.RELAX(control=torch.tanh), "must be a torch.nn.Module"),
        (
            lambda: rp.expect(torch.sin, td.Bernoulli(t(0.5, 0.5)), rp.RELAX(control=nn.Linear(1, 3).double())),
            "one number for each draw",
        ),
        (lambda: rp.RODEO(1), "at least 2"),
        (lambda: rp.expect(torch.sin, td.Poisson(3.0), rp.RELAX()), "relaxes Bernoulli"),
        (lambda: rp.expect(torch.sin, td.Categorical(torch.ones(3)), rp.RODEO()), "flips coins"),
        (lambda: rp.expect(torch.sin, td.Bernoulli(logits=t(float("inf"))), rp.RELAX()), "must be finite"),
        (lambda: rp.expect(lambda s: s(td.Bernoulli(t(0.5)), rp.RELAX())), "needs the cost of its variable"),
        (
            lambda: rp.expect(lambda b: (b > 0).float(), td.Bernoulli(t(0.5).requires_grad_()), rp.RODEO()),
            "no gradient back",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead


@pytest.mark.parametrize("kind", CONTROLLED, ids=lambda k: k.__name__)
def test_transforms_that_hide_the_training_are_refused(kind):
    def value(logits: Tensor) -> Tensor:
        return rp.expect(lambda b: b**2, td.Bernoulli(logits=logits, validate_args=False), kind()).sum()

    with pytest.raises(rp.UnsupportedTransform):
        torch.func.grad(value)(torch.zeros(3))
