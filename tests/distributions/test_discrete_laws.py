"""The discrete classes of ours, each against probabilities written down from its definition."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

import reparam as rp
from reparam.distributions import BetaBinomial, KSubset, LogarithmicSeries, PlackettLuce, ZeroInflated
from reparam.errors import InvalidArgument
from reparam.pathwise.sampling import sample
from reparam.testing import z_test


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Law:
    """A class at one parameter point, and its probabilities.

    Attributes:
        name: of the row.
        make: builds the distribution from its differentiable parameters.
        parameters: in float64, of an empty batch shape.
        points: values, along the first dimension.
        pmf: their probabilities, from the definition.
        moments: which of mean, variance and entropy it has.
    """

    name: str
    make: Callable[..., Distribution]
    parameters: tuple[Tensor, ...]
    points: Tensor
    pmf: Tensor
    moments: tuple[str, ...] = ("mean", "variance")

    def __str__(self) -> str:
        return self.name

    @property
    def support(self) -> Tensor:
        """The points where they are all, and else as many counts as carry any weight."""
        if abs(self.pmf.sum().item() - 1) < 1e-12:
            return self.points
        return torch.arange(self.points[0].item(), 300.0, dtype=torch.float64)


def _subset_weights(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    points = [[float(i in chosen) for i in range(len(logits))] for chosen in itertools.combinations(range(5), k)]
    weights = (torch.tensor(points, dtype=torch.float64) * logits).sum(-1).exp()
    return torch.tensor(points, dtype=torch.float64), weights / weights.sum()


def _ranking_weights(logits: Tensor) -> tuple[Tensor, Tensor]:
    points = list(itertools.permutations(range(len(logits))))
    weights = logits.exp().tolist()
    law = [math.prod(weights[i] / sum(weights[j] for j in order[k:]) for k, i in enumerate(order)) for order in points]
    return torch.tensor(points), t(*law)


def _counts(law, n: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(float(n), dtype=torch.float64)
    return x, t(*law(x.numpy()))


def _poisson_with_zeros(x):
    return 0.3 * (x == 0) + 0.7 * stats.poisson(2.5).pmf(x)


_LOGITS = t(0.3, -1.0, 0.5, 2.0, 0.0)
_SERIES = torch.arange(1.0, 13.0, dtype=torch.float64)
LAWS = [
    Law("LogarithmicSeries-probs", LogarithmicSeries, (t(0.6)[0],), _SERIES, t(*stats.logser(0.6).pmf(_SERIES))),
    Law(
        "LogarithmicSeries-logits",
        lambda logits: LogarithmicSeries(logits=logits),
        (t(-3.0)[0],),
        _SERIES,
        t(*stats.logser(1 / (1 + math.exp(3))).pmf(_SERIES)),
    ),
    Law(
        "BetaBinomial",
        lambda a, b: BetaBinomial(a, b, 6),
        (t(0.7)[0], t(2.5)[0]),
        *_counts(stats.betabinom(6, 0.7, 2.5).pmf, 7),
    ),
    Law(
        "ZeroInflated-Poisson",
        lambda gate, rate: ZeroInflated(td.Poisson(rate), gate),
        (t(0.3)[0], t(2.5)[0]),
        *_counts(_poisson_with_zeros, 12),
    ),
    Law(
        "ZeroInflated-Binomial-logits",
        lambda logits, p: ZeroInflated(td.Binomial(3, logits=p), gate_logits=logits),
        (t(math.log(2 / 3))[0], t(math.log(1 / 4))[0]),
        t(0.0, 1.0, 2.0, 3.0),
        t(0.4 + 0.6 * 0.512, 0.6 * 0.384, 0.6 * 0.096, 0.6 * 0.008),
    ),
    Law("KSubset", lambda p: KSubset(2, p), (_LOGITS,), *_subset_weights(_LOGITS, 2), ("mean", "variance", "entropy")),
    Law("KSubset-all", lambda p: KSubset(5, p), (_LOGITS,), *_subset_weights(_LOGITS, 5), ("mean", "variance")),
    Law("KSubset-none", lambda p: KSubset(0, p), (_LOGITS,), *_subset_weights(_LOGITS, 0), ("mean", "variance")),
    Law("PlackettLuce", PlackettLuce, (_LOGITS[:4],), *_ranking_weights(_LOGITS[:4]), ()),
]
every = pytest.mark.parametrize("law", LAWS, ids=str)


def _leaves(law: Law, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [p.to(dtype).clone().requires_grad_() for p in law.parameters]


@every
def test_probabilities_are_those_of_the_definition(law: Law):
    d = law.make(*law.parameters)
    torch.testing.assert_close(d.log_prob(law.points).exp(), law.pmf, rtol=1e-12, atol=1e-15)
    assert torch.autograd.gradcheck(lambda *p: law.make(*p).log_prob(law.points), _leaves(law))
    assert torch.autograd.gradgradcheck(lambda *p: law.make(*p).log_prob(law.points), _leaves(law))


@every
def test_moments_are_sums_over_the_law(law: Law):
    d = law.make(*law.parameters)
    points = law.support
    pmf = d.log_prob(points).exp()
    weights = pmf.view(-1, *[1] * (points.dim() - 1))
    mean = (weights * points).sum(0)
    exact = {
        "mean": mean,
        "variance": (weights * (points - mean) ** 2).sum(0),
        "entropy": torch.special.entr(pmf).sum(),
    }
    for name in law.moments:
        torch.testing.assert_close(_moment(d, name), exact[name], rtol=1e-11, atol=1e-13)
        assert torch.autograd.gradcheck(lambda *p, n=name: _moment(law.make(*p), n), _leaves(law))


def _moment(d: Distribution, name: str) -> Tensor:
    value = getattr(d, name)
    return value if isinstance(value, Tensor) else value()


@every
@pytest.mark.parametrize("source", ["global", "generator", "Philox"])
def test_samples_follow_the_law(law: Law, source: str):
    n = 20_000
    d = law.make(*law.parameters)
    seed = torch.seed() % 2**31
    noise = {"global": None, "generator": torch.Generator().manual_seed(seed), "Philox": rp.noise.Philox(seed)}[source]
    x = sample(d, torch.Size((n,)), rp.noise.as_source(noise, torch.Size((n,))))
    likely = law.pmf * n > 50
    matches = (x.unsqueeze(1) == law.points[likely]).view(n, int(likely.sum()), -1).all(-1)
    assert d.support is not None
    assert d.support.check(x).all()
    assert z_test(matches, law.pmf[likely]).passed
    assert not x.requires_grad


@every
def test_shapes_layouts_and_dtypes(law: Law):
    for dtype in (torch.float32, torch.float64):
        d = law.make(*[p.to(dtype) for p in law.parameters])
        for batch in ((), (3,), (0,), (2, 1)):
            e = d.expand(batch)
            assert type(e) is type(d)
            x = e.sample((4,))
            assert x.shape == (4, *batch, *d.event_shape)
            assert x.dtype == (torch.int64 if isinstance(d, PlackettLuce) else dtype)
            assert e.log_prob(x).shape == (4, *batch)
            assert e.log_prob(x).dtype == dtype
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        torch.testing.assert_close(twin.log_prob(law.points), d.log_prob(law.points))
    x = rp.pathwise.sampling.sample(td.Independent(d.expand((3,)), 1), torch.Size((2,)), rp.noise.as_source(None))
    assert x.shape == (2, 3, *d.event_shape)


@every
def test_expectations_have_the_gradient_of_the_sum(law: Law):
    """Enumeration where it can be, and the leave-one-out score by its z-score."""
    weight = torch.linspace(-1, 1, max(1, math.prod(law.points.shape[1:])), dtype=torch.float64)

    def cost(x: Tensor) -> Tensor:
        return torch.sin(x.double()) if law.points.dim() == 1 else torch.sin((x * weight).sum(-1) + 0.3)

    d = law.make(*(leaves := _leaves(law)))
    exact = torch.autograd.grad((d.log_prob(law.support).exp() * cost(law.support)).sum(), leaves)
    if d.has_enumerate_support:
        assert rp.estimators.support_size(d) == len(law.points)
        value = rp.expect(cost, law.make(*leaves))
        for got, wanted in zip(torch.autograd.grad(value, leaves), exact, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    copies = [p.expand(4000, *p.shape).clone().requires_grad_() for p in law.parameters]
    estimate = rp.expect(cost, law.make(*copies), rp.LeaveOneOut(4))
    for got, wanted in zip(torch.autograd.grad(estimate.sum(), copies), exact, strict=True):
        assert z_test(got, wanted).passed


@every
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")  # torch's own Binomial
def test_under_vmap(law: Law):
    stacked = [torch.stack([p] * 3) for p in law.parameters]
    x = torch.vmap(lambda *p: law.make(*p).sample((50,)), randomness="different")(*stacked)
    assert x.shape == (3, 50, *law.points.shape[1:])
    scores = torch.vmap(torch.func.grad(lambda *p: law.make(*p).log_prob(law.points[0])))(*stacked)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize(
    "law",
    [pytest.param(law, marks=[] if law.name == "ZeroInflated-Poisson" else [pytest.mark.long]) for law in LAWS],
    ids=str,
)
def test_compiled(law: Law):
    def both(*parameters: Tensor) -> tuple[Tensor, Tensor]:
        d = law.make(*parameters)
        return d.log_prob(law.points), d.sample((3,))

    torch._dynamo.reset()
    log_prob, x = torch.compile(both, fullgraph=True, backend="aot_eager", dynamic=False)(*law.parameters)
    torch.testing.assert_close(log_prob.exp(), law.pmf)
    assert torch.isfinite(law.make(*law.parameters).log_prob(x)).all()


@every
def test_a_sample_has_no_gradient_and_says_what_has(law: Law):
    d = law.make(*law.parameters)
    row = next(row for row in rp.coverage() if row.distribution is type(d))
    assert row.kind == "none"
    assert row.reference
    with pytest.raises(rp.NoPathwiseGradient, match=r"rp\.expect"):
        rp.rsample(d)


def test_tails_of_the_parameters():
    """Where the textbook formulas cancel or overflow."""
    count = t(0.0, 3.0, 10.0)
    wide = BetaBinomial(t(3e12)[0], t(1e12)[0], 10).log_prob(count)
    torch.testing.assert_close(wide, td.Binomial(10, t(0.75)[0]).log_prob(count), rtol=1e-10, atol=1e-10)
    small = LogarithmicSeries(t(1e-9)[0])
    torch.testing.assert_close(small.variance, t(5e-10)[0], rtol=1e-8, atol=0.0)
    torch.testing.assert_close(LogarithmicSeries(logits=t(-40.0)[0]).log_prob(t(1.0)), t(0.0), atol=1e-13, rtol=0.0)
    apart = KSubset(2, torch.tensor([0.0, 300.0, 600.0, -300.0]))
    assert apart.mean.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert apart.sample((50,)).unique(dim=0).tolist() == [[0.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_a_gate_at_its_edge_has_its_gradient(gate: float):
    g = torch.tensor(gate, dtype=torch.float64, requires_grad=True)
    d = ZeroInflated(td.Binomial(2, t(0.5)[0]), g)
    (slope,) = torch.autograd.grad(d.log_prob(t(0.0))[0], g)
    assert slope.item() == pytest.approx((1 - 0.25) / (gate + (1 - gate) * 0.25))
    (slope,) = torch.autograd.grad(rp.expect(lambda x: x, d, rp.Enumerate()), g)
    assert torch.isfinite(slope)


def test_half_precision():
    half = torch.bfloat16
    laws = [
        LogarithmicSeries(torch.tensor(0.9, dtype=half)),
        BetaBinomial(torch.tensor(2.0, dtype=half), torch.tensor(0.01, dtype=half), 8),
        KSubset(2, torch.randn(5).to(half)),
        PlackettLuce(torch.randn(5).to(half)),
    ]
    for d in laws:
        x = d.sample((100,))
        assert d.support is not None
        assert d.support.check(x).all()
        assert d.log_prob(x).dtype == half
        assert torch.isfinite(d.log_prob(x)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogarithmicSeries(), "takes either probs or logits"),
        (lambda: LogarithmicSeries(0.5, 0.0), "takes either probs or logits"),
        (lambda: LogarithmicSeries(1.0), "probs must satisfy"),
        (lambda: LogarithmicSeries(0.5).log_prob(torch.tensor(0.0)), "support"),
        (lambda: BetaBinomial(-1.0, 1.0, 3), "concentration1 must satisfy"),
        (lambda: BetaBinomial(1.0, 1.0, 3).log_prob(torch.tensor(4.0)), "support"),
        (lambda: BetaBinomial(1.0, 1.0, torch.tensor([2.0, 3.0])).enumerate_support(), "one number of trials"),
        (lambda: ZeroInflated(td.Normal(0.0, 1.0), 0.5), "distribution of counts"),
        (lambda: ZeroInflated(LogarithmicSeries(0.5), 0.5), "that can be zero"),
        (lambda: ZeroInflated(td.Poisson(1.0), 1.5), "gate must satisfy"),
        (lambda: ZeroInflated(td.Poisson(1.0)), "takes either gate or gate_logits"),
        (lambda: KSubset(6, torch.zeros(5)), "between 0 and the number of items"),
        (lambda: KSubset(2, torch.tensor([0.0, -torch.inf, 1.0])), "logits must be finite"),
        (lambda: KSubset(2, [0.0, 1.0, 2.0]), "floating-point tensor"),
        (lambda: KSubset(2, torch.zeros(3)).log_prob(torch.ones(3)), "support"),
        (lambda: PlackettLuce(torch.zeros(3)).log_prob(torch.tensor([0, 0, 1])), "support"),
        (lambda: rp.expect(lambda x: x[..., 0], KSubset(20, torch.zeros(40)), rp.Enumerate()), "exceeds the budget"),
        (
            lambda: rp.expect(torch.sin, BetaBinomial(1.0, 1.0, 3), rp.LeaveOneOut(4), noise=torch.rand(4)),
            "no base noise of fixed size",
        ),
    ],
)
def test_bad_input(call, message: str):
    with pytest.raises(InvalidArgument, match=message) as error:
        call()
    assert error.value.received
    assert error.value.instead
