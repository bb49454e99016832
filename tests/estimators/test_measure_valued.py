"""MeasureValued: every outcome of the draws it couples, for value, first and second derivative."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.outcomes import cost, derivatives, expectation, product, summed, t
from reparam import testing
from reparam.distributions import LogarithmicSeries
from reparam.estimators import couplings, score

Piece = tuple[Tensor, Tensor]


def upto(dist: td.Distribution, size: int, start: int = 0) -> Piece:
    """A piece of randomness: the values of a count up to where nothing is left, and their law."""
    values = torch.arange(start, start + size, dtype=torch.float64)
    return values, dist.log_prob(values).exp()


def _binomial(n: int, p: Tensor) -> list[Piece]:
    return [upto(td.Binomial(n - 1, p), n), upto(td.Bernoulli(p), 2)]


def _negative_binomial(r: float, probs: Tensor, size: int) -> list[Piece]:
    return [
        upto(td.NegativeBinomial(num(r), probs), size),
        upto(td.Geometric(1 - probs), size),
        upto(LogarithmicSeries(probs), size, 1),
    ]


def _categories(p: Tensor) -> Piece:
    return torch.arange(len(p)), p


def _trials(n: int, size: int) -> Tensor:
    rows = [c for c in itertools.product(range(n + 1), repeat=size) if sum(c) == n]
    return torch.tensor(rows, dtype=torch.float64)


def _multinomial(n: int, p: Tensor) -> list[Piece]:
    others = _trials(n - 1, len(p))
    return [_categories(p), (others, td.Multinomial(n - 1, p).log_prob(others).exp())]


def num(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def sig(x: float) -> Tensor:
    return torch.sigmoid(num(x))


COUNTS = torch.arange(40, dtype=torch.float64)
PAIRS = torch.cartesian_prod(COUNTS[:25], COUNTS[:25])
CUBE = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
SHARES = t(0.2, 0.5, 0.3)
SOFT = torch.softmax(t(0.3, -1.0, 0.5), -1)

# For each row: the distribution, the parameter point, the support, and for every site the pieces in the order drawn.
ROWS = {
    "Bernoulli logits": (
        lambda p: td.Bernoulli(logits=p[:, 0]),
        t(0.3),
        COUNTS[:2],
        [[upto(td.Bernoulli(sig(0.3)), 2)]],
    ),
    "Bernoulli probs": (lambda p: td.Bernoulli(p[:, 0]), t(0.2), COUNTS[:2], [[upto(td.Bernoulli(num(0.2)), 2)]]),
    "Binomial logits": (lambda p: td.Binomial(4, logits=p[:, 0]), t(0.3), COUNTS[:5], [_binomial(4, sig(0.3))]),
    "Binomial probs": (lambda p: td.Binomial(4, p[:, 0]), t(0.3), COUNTS[:5], [_binomial(4, num(0.3))]),
    "Binomial one trial": (lambda p: td.Binomial(1, p[:, 0]), t(0.3), COUNTS[:2], [_binomial(1, num(0.3))]),
    "Poisson": (lambda p: td.Poisson(p[:, 0]), t(1.3), COUNTS, [[upto(td.Poisson(num(1.3)), 30)]]),
    "Geometric logits": (
        lambda p: td.Geometric(logits=p[:, 0]),
        t(0.9),
        COUNTS,
        [[upto(td.Geometric(sig(0.9)), 32)] * 2],
    ),
    "Geometric probs": (lambda p: td.Geometric(p[:, 0]), t(0.7), COUNTS, [[upto(td.Geometric(num(0.7)), 32)] * 2]),
    "NegativeBinomial logits": (
        lambda p: td.NegativeBinomial(p[:, 0], logits=p[:, 1]),
        t(1.5, -1.5),
        COUNTS,
        [_negative_binomial(1.5, sig(-1.5), 20)],
    ),
    "NegativeBinomial probs": (
        lambda p: td.NegativeBinomial(p[:, 0], p[:, 1]),
        t(1.5, 0.17),
        COUNTS,
        [_negative_binomial(1.5, num(0.17), 20)],
    ),
    "Categorical logits": (
        lambda p: td.Categorical(logits=p),
        t(0.3, -1.0, 0.5),
        torch.arange(3),
        [[_categories(SOFT)]],
    ),
    "Categorical probs": (lambda p: td.Categorical(p), SHARES, torch.arange(3), [[_categories(SHARES)]]),
    "OneHotCategorical": (
        lambda p: td.OneHotCategorical(p),
        SHARES,
        torch.eye(3).double(),
        [[(torch.eye(3).double(), SHARES)]],
    ),
    "Multinomial probs": (lambda p: td.Multinomial(3, p), SHARES, _trials(3, 3), [_multinomial(3, SHARES)]),
    "Multinomial logits": (
        lambda p: td.Multinomial(2, logits=p),
        t(0.3, -1.0, 0.5),
        _trials(2, 3),
        [_multinomial(2, SOFT)],
    ),
    "Independent Bernoulli": (
        lambda p: td.Independent(td.Bernoulli(logits=p), 1),
        t(0.3, 0.0, -1.0),
        CUBE,
        [[upto(td.Bernoulli(sig(x)), 2)] for x in (0.3, 0.0, -1.0)],
    ),
    "Independent Poisson": (
        lambda p: td.Independent(td.Poisson(p), 1),
        t(0.4, 0.9),
        PAIRS,
        [[upto(td.Poisson(num(x)), 25)] for x in (0.4, 0.9)],
    ),
    "Independent Binomial": (
        lambda p: td.Independent(td.Binomial(2, p), 1),
        t(0.4, 0.9),
        PAIRS[(PAIRS <= 2).all(-1)],
        [_binomial(2, num(x)) for x in (0.4, 0.9)],
    ),
}


def scripted(monkeypatch, sites: list[list[Piece]]) -> Tensor:
    """Make the draws of a coupling be every outcome of its pieces, along the batch; returns their law."""
    values, law = product([piece for site in sites for piece in site])
    count = len(sites[0])
    # The draws of one call: a piece of each site, along the event dimension of an Independent.
    calls = [values[i] if len(sites) == 1 else torch.stack(values[i::count], -1) for i in range(count)]
    queue = iter(calls)
    monkeypatch.setattr(couplings, "sample", lambda *_: next(queue).unsqueeze(0))
    return law


@pytest.mark.parametrize("name", ROWS)
def test_expectation_is_exact(monkeypatch, name: str):
    make, at, support, sites = ROWS[name]
    events = len(make(at[None]).event_shape)
    law = scripted(monkeypatch, sites)
    got = expectation(lambda p: rp.expect(lambda x: cost(x, p, events), make(p), rp.MeasureValued()), at, law)
    for a, b in zip(got, summed(make, support, lambda x, p: cost(x, p, events), at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("f", "figures"),
    [
        (torch.square, (2.74, 1.77, 4 / 9)),
        (lambda x: torch.sin(0.7 * x), (1.02, 1.39, 1.56)),
        (lambda x: (x >= 3).double(), (2.48, 1.60, 2.41)),
    ],
    ids=["square", "sine", "threshold"],
)
def test_spread_of_poisson_gradients_is_that_of_the_docs(monkeypatch, f, figures):
    """Poisson(4): the standard deviation over the gradient, summed over all outcomes; for the square's step 4 / 9."""
    one, law = upto(td.Poisson(num(4.0)), 50)
    pairs = torch.cartesian_prod(one, one)
    both = torch.outer(law, law).flatten()

    def spread(estimator, draws: Tensor, law: Tensor) -> float:
        for module in (couplings, score):
            monkeypatch.setattr(module, "sample", lambda *_: draws)
        rate = torch.full((len(law), 1), 4.0, dtype=torch.float64, requires_grad=True)
        gradient = derivatives(rp.expect(f, td.Poisson(rate[:, 0]), estimator), rate)[1][:, 0]
        mean = (law * gradient).sum()
        return ((law * (gradient - mean) ** 2).sum().sqrt() / mean.abs()).item()

    found = spread(rp.ScoreFunction(1), one[None], law), spread(rp.LeaveOneOut(2), pairs.T, both)
    assert (*found, spread(rp.MeasureValued(), one[None], law)) == pytest.approx(figures, abs=6e-3)
    if f is torch.square:
        assert spread(rp.MeasureValued(), one[None], law) == pytest.approx(4 / 9, abs=1e-9)


def test_a_linear_cost_has_no_variance_in_p():
    """Where the step is one, the difference of a linear cost is a constant: of counts, the best that can be."""
    p = torch.full((50,), 0.4, dtype=torch.float64, requires_grad=True)
    laws = [td.Binomial(5, p), td.Geometric(p), td.NegativeBinomial(3.0, p)]
    for dist, exact in zip(laws, [5, -1 / 0.16, 3 / 0.36], strict=True):
        value = rp.expect(lambda x: x, dist, rp.MeasureValued())
        torch.testing.assert_close(torch.autograd.grad(value.sum(), p)[0], torch.full_like(p, exact))


def test_the_normal_to_second_order_even_where_the_cost_jumps():
    """E[x > 0] and E[cos 5x], for which the pathwise gradient is zero or loud."""
    n = 20_000
    at = t(0.4, 1.2)
    parameter = at.expand(n, 2).clone().requires_grad_()
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)

    def exact(p: Tensor, f) -> Tensor:
        x = z * 1.5  # Fixed points and a moving density, so that a jump does not matter.
        density = torch.exp(td.Normal(p[:, :1], p[:, 1:]).log_prob(x))
        return torch.trapezoid(f(x) * density, x)

    for f in (lambda x: (x > 0).double(), lambda x: torch.cos(5 * x)):
        value = rp.expect(f, td.Normal(parameter[:, 0], parameter[:, 1]), rp.MeasureValued())
        point = at[None].clone().requires_grad_()
        for got, wanted in zip(derivatives(value, parameter), derivatives(exact(point, f), point), strict=True):
            result = testing.z_test(got, wanted[0])
            assert result.passed, str(result)


def test_several_normals_to_second_order():
    """E[x^2 y + y^2] of two independent normals, in all four parameters."""
    at = t(0.5, -1.0, 1.2, 0.8)
    parameter = at.expand(40_000, 4).clone().requires_grad_()
    dist = td.Independent(td.Normal(parameter[:, :2], parameter[:, 2:]), 1)
    value = rp.expect(lambda z: z[..., 0] ** 2 * z[..., 1] + z[..., 1] ** 2, dist, rp.MeasureValued())

    def exact(p: Tensor) -> Tensor:
        return (p[:, 0] ** 2 + p[:, 2] ** 2) * p[:, 1] + p[:, 1] ** 2 + p[:, 3] ** 2

    point = at[None].clone().requires_grad_()
    for got, wanted in zip(derivatives(value, parameter), derivatives(exact(point), point), strict=True):
        result = testing.z_test(got, wanted[0])
        assert result.passed, str(result)


def test_variance_of_the_coupled_normal():
    r"""For cos 5x and N(1, 1), in the location: :math:`4 \sin^2 5\, E[\sin^2 5R] / 2\pi - g^2`, about .30."""

    class Grid:
        """Every piece of noise at the midpoints of its own law."""

        def __init__(self, n: int) -> None:
            self.u = (torch.arange(n, dtype=torch.float64) + 0.5) / n

        def normal(self, shape, dtype, device) -> Tensor:
            return torch.special.ndtri(self.u).expand(shape)

        def uniform(self, shape, dtype, device) -> Tensor:
            return self.u.expand(shape)

        def exponential(self, shape, dtype, device) -> Tensor:
            return -torch.log1p(-self.u).expand(shape)

    n = 20_000
    loc = torch.ones(n, dtype=torch.float64, requires_grad=True)
    dist = td.Normal(loc, torch.ones_like(loc))
    value = rp.expect(lambda x: torch.cos(5 * x), dist, rp.MeasureValued(), noise=Grid(n))
    (gradient,) = torch.autograd.grad(value.sum(), loc)
    r = torch.linspace(0, 12, 200_001, dtype=torch.float64)
    law = r * torch.exp(-(r**2) / 2)
    mean = -5 * math.sin(5) * math.exp(-12.5)
    exact = 4 * math.sin(5) ** 2 * torch.trapezoid(torch.sin(5 * r) ** 2 * law, r).item() / (2 * math.pi) - mean**2
    assert gradient.var(correction=0).item() == pytest.approx(exact, abs=1e-4)
    assert exact == pytest.approx(0.30, abs=0.01)


@pytest.mark.parametrize(
    ("dist", "evaluations"),
    [
        (td.Bernoulli(torch.rand(7)), 2),
        (td.Poisson(4.0), 2),
        (td.Binomial(5, torch.tensor(0.3)), 2),
        (td.Geometric(0.4), 3),
        (td.NegativeBinomial(2.0, torch.tensor(0.4)), 4),
        (td.NegativeBinomial(2.0, torch.tensor(0.4, requires_grad=True)), 3),
        (td.Categorical(torch.ones(5)), 5),
        (td.Multinomial(9, torch.ones(5)), 5),
        (td.Normal(0.0, torch.ones(3)), 4),
        (td.Independent(td.Normal(torch.zeros(3), 1.0), 1), 10),
        (td.Independent(td.Poisson(torch.ones(2, 3)), 1), 4),
    ],
    ids=str,
)
def test_evaluations_are_counted_as_declared(dist, evaluations: int):
    assert rp.MeasureValued(5).evaluations(dist) == 5 * evaluations
    seen = []

    def f(x: Tensor) -> Tensor:
        seen.append(x.shape[0])
        return torch.zeros(x.shape[: x.dim() - len(dist.event_shape)])

    base = dist.base_dist if isinstance(dist, td.Independent) else dist
    held = [base.__dict__[n] for n in ("logits", "probs", "rate", "loc", "scale", "total_count") if n in base.__dict__]
    tensors = [x for x in held if isinstance(x, Tensor)]
    if not any(x.requires_grad for x in tensors) and not hasattr(base, "_categorical"):
        for x in tensors:
            x.requires_grad_(not isinstance(base, td.Binomial) or x is not base.total_count)
        rp.expect(f, dist, rp.MeasureValued(5))
        assert seen == [5 * evaluations]


def test_impossible_categories_are_not_evaluated():
    logits = t(0.0, -float("inf"), 1.0).requires_grad_()
    for make, bad in (
        (lambda: td.Categorical(logits=logits), lambda k: torch.where(k == 1, float("nan"), k.double())),
        (lambda: td.Multinomial(3, logits=logits), lambda x: torch.where(x[..., 1] > 0, float("nan"), x[..., 2])),
    ):
        value = rp.expect(bad, make(), rp.MeasureValued())
        assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rp.MeasureValued(0), "at least 1"),
        (lambda: rp.expect(torch.sin, td.Gamma(2.0, 1.0), rp.MeasureValued()), "no pair of laws"),
        (lambda: rp.expect(torch.sin, td.Binomial(3, t(0.0).requires_grad_()), rp.MeasureValued()), "does not exist"),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
