"""Rejection samplers on counters: their laws, their definition in torch operations, and every way to cut a draw."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

import reparam as rp
from instruction_sets import INSTRUCTION_SETS, instruction_set, needs_kernels
from reparam.errors import InvalidArgument
from reparam.noise import Philox, as_source
from reparam.noise.philox import PhiloxStream
from reparam.noise.variates import _by_definition, philox_variate, variate
from reparam.testing.statistics import COMPARISONS, FALSE_ALARM_RATE, z_test

F64 = torch.float64
DTYPES = [torch.float32, F64]
N = 20_000

# Each law at parameters of every branch of its sampler: names, points, and the law in scipy.
LAWS = {
    "gamma": ([(0.1,), (0.8,), (1.0,), (2.5,), (300.0,), (1e6,)], lambda a: stats.gamma(a)),
    "log_gamma": ([(0.05,), (0.8,), (2.5,), (300.0,)], lambda a: stats.loggamma(a)),
    "von_mises": ([(0.0,), (0.3,), (4.0,), (1e4,)], lambda k: stats.vonmises(k)),
    "poisson": ([(0.05,), (3.0,), (9.9,), (10.1,), (250.0,), (1e6,)], lambda rate: stats.poisson(rate)),
    "binomial": ([(5.0, 0.3), (40.0, 0.9), (100.0, 0.5), (3000.0, 0.2), (1e5, 0.999)], lambda n, p: stats.binom(n, p)),
}
POINTS = [(law, point) for law, (points, _) in LAWS.items() for point in points]


def stream(seed: int = 3, **place) -> PhiloxStream:
    return Philox(seed, **place).bind(torch.Size())


def draw(law: str, point: tuple[float, ...], n: int, dtype: torch.dtype) -> Tensor:
    return stream().variate(law, [torch.tensor(v, dtype=dtype).expand(n) for v in point])


def scattered(law: str, n: int, dtype: torch.dtype) -> list[Tensor]:
    """Parameters over the whole range of a law."""
    generator = torch.Generator().manual_seed(1)
    u = [torch.rand(n, dtype=F64, generator=generator) for _ in range(2)]
    if law == "binomial":
        return [(9 * u[0]).exp().floor().to(dtype), u[1].to(dtype)]
    return [(16 * u[0] - 8).exp().to(dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("law", "point"), POINTS)
def test_law(law: str, point: tuple[float, ...], dtype: torch.dtype):
    """Kolmogorov and Smirnov's distance, and the first two moments, at the suite's false-alarm rate."""
    exact = LAWS[law][1](*(torch.tensor(v, dtype=dtype).item() for v in point))
    x = draw(law, point, N, dtype).double()
    check_distribution(x, exact, continuous=law not in ("poisson", "binomial"))
    if law == "von_mises":
        assert z_test(torch.sin(x), 0.0).passed
    else:
        check_moments(x, exact)


def check_distribution(x: Tensor, exact: Any, *, continuous: bool) -> None:
    if continuous:
        assert stats.kstest(x.numpy(), exact.cdf).pvalue > FALSE_ALARM_RATE / COMPARISONS
    for value in exact.ppf([0.05, 0.3, 0.5, 0.8, 0.99]):
        check = z_test((x <= value).double(), exact.cdf(value))
        assert check.passed, f"P(x <= {value}): {check}"


def check_moments(x: Tensor, exact: Any) -> None:
    for statistic, expected in ((x - exact.mean(), 0.0), ((x - exact.mean()) ** 2, exact.var())):
        check = z_test(statistic, expected)
        assert check.passed, str(check)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a", "b"), [(0.3, 0.4), (2.0, 0.7), (5.0, 60.0), (3e4, 2.0)])
def test_the_beta_law_under_philox(a: float, b: float, dtype: torch.dtype):
    """A ratio of two of the Gammas, whichever way its rule makes it."""
    beta = td.Beta(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))
    x = rp.rsample(beta, (N,), noise=Philox(5)).double()
    exact = stats.beta(beta.concentration1.item(), beta.concentration0.item())
    check_distribution(x, exact, continuous=True)
    check_moments(x, exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("df", [0.3, 1.0, 2.5, 30.0, 1e5])
def test_the_student_t_law_under_philox(df: float, dtype: torch.dtype):
    """A normal over the root of a Gamma; moments where the squares have a variance."""
    law = td.StudentT(torch.tensor(df, dtype=dtype), 0.5, 2.0)
    x = rp.rsample(law, (N,), noise=Philox(6)).double()
    exact = stats.t(law.df.item(), loc=0.5, scale=2.0)
    check_distribution(x, exact, continuous=True)
    if df > 4:
        check_moments(x, exact)


def test_the_test_of_a_law_can_fail():
    x = draw("gamma", (2.5,), N, F64)
    assert stats.kstest(1.05 * x.numpy(), stats.gamma(2.5).cdf).pvalue < FALSE_ALARM_RATE / COMPARISONS


@pytest.mark.parametrize("shape_parameter", [1e-4, 1e-3, 0.05])
def test_the_logarithm_of_a_gamma_that_underflows(shape_parameter: float):
    """At a shape of 1e-4 half of the variates are below the smallest float; a log x is exponential up to O(a)."""
    log_x = draw("log_gamma", (shape_parameter,), N, F64)
    assert torch.isfinite(log_x).all()
    for p in (0.01, 0.2, 0.5, 0.9):
        quantile = rp.special.log_gammaincinv(shape_parameter, torch.tensor(p, dtype=F64).log())
        assert z_test((log_x <= quantile).double(), p).passed


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_kernel_and_definition_agree(name: str, law: str, dtype: torch.dtype):
    """Up to rounding, and to a candidate within rounding of its threshold: none in float64, a few in float32."""
    parameters = [p.reshape(50, 60) for p in scattered(law, 3000, dtype)]
    for place in (stream().place((50, 60)), stream(index=torch.arange(3000).reshape(50, 60)).place((50, 60))):
        with instruction_set(name):
            by_kernel = variate(law, parameters, place)
        exact = _by_definition(law, parameters, place)
        tolerance = {torch.float32: 2e-4, F64: 1e-11}[dtype]
        differ = ~torch.isclose(by_kernel, exact, rtol=tolerance, atol=tolerance if law == "log_gamma" else 0.0)
        assert differ.sum() <= (3 if dtype == torch.float32 else 0)


@needs_kernels
@pytest.mark.parametrize("law", LAWS)
def test_no_bit_depends_on_threads_pieces_or_rows(law: str):
    parameters = scattered(law, 9000, torch.float32)
    whole = stream().variate(law, parameters)
    parts = [stream(index=i).variate(law, [p[i : i + 3000] for p in parameters]) for i in (0, 3000, 6000)]
    assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(9000)
    assert torch.equal(stream(index=order).variate(law, [p[order] for p in parameters]), whole[order])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(stream().variate(law, parameters), whole)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_out_of_range_make_nan(dtype: torch.dtype):
    bad = torch.tensor([-1.0, torch.nan, torch.inf, 2.0], dtype=dtype)
    for law in ("gamma", "log_gamma", "von_mises", "poisson"):
        assert stream().variate(law, [bad]).isnan().tolist() == [True, True, True, False]
    count, chance = torch.tensor([3.0, 2.5, -1.0, 3.0], dtype=dtype), torch.tensor([1.5, 0.5, 0.5, 0.5], dtype=dtype)
    assert stream().variate("binomial", [count, chance]).isnan().tolist() == [True, True, True, False]
    assert stream().variate("gamma", [torch.zeros(1, dtype=dtype)]).isnan().all()
    assert stream().variate("poisson", [torch.zeros(1, dtype=dtype)]).item() == 0
    assert stream().variate("binomial", [count.new_tensor([7.0, 7.0]), count.new_tensor([0.0, 1.0])]).tolist() == [0, 7]
    assert stream().variate("gamma", [torch.ones(0, 3, dtype=dtype)]).shape == (0, 3)


def test_the_transforms_and_the_compiler():
    a, steps = torch.tensor([0.3, 2.0, 50.0]), torch.arange(2)
    alone = torch.stack([Philox(5).at(s).bind(torch.Size()).variate("gamma", [a]) for s in steps])
    batched = torch.vmap(lambda s: Philox(5).at(s).bind(torch.Size()).variate("gamma", [a]))(steps)
    assert torch.equal(batched, alone)
    twice = torch.vmap(lambda v: Philox(5).bind(torch.Size()).variate("gamma", [v]))(torch.stack([a, a]))
    assert torch.equal(twice, alone[:1].expand(2, 3))
    compiled = torch.compile(
        lambda v, s: as_source(Philox(5).at(s)).variate("gamma", [v]), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(a, steps[1]), alone[1])
    torch.library.opcheck(philox_variate, ("gamma", [a], [5, 0], torch.tensor(1), 0, torch.tensor(0)))


@needs_kernels
def test_torchs_generator_seeds_the_samplers():
    gamma = td.Gamma(torch.full((5,), 2.0), 1.0)
    torch.manual_seed(4)
    first, second = rp.rsample(gamma), rp.rsample(gamma)
    torch.manual_seed(4)
    assert torch.equal(rp.rsample(gamma), first)
    assert not torch.equal(first, second)
    generators = [torch.Generator().manual_seed(9) for _ in range(2)]
    assert torch.equal(*(rp.rsample(gamma, noise=g) for g in generators))


@pytest.mark.parametrize(
    "dist",
    [
        td.Poisson(torch.tensor([0.5, 30.0])),
        td.Binomial(9, torch.tensor([0.2, 0.9])),
        td.NegativeBinomial(4.0, torch.tensor([0.3])),
    ],
    ids=lambda dist: type(dist).__name__,
)
def test_counts_under_philox_have_their_means(dist: td.Distribution):
    from reparam.pathwise.sampling import sample

    x = sample(dist, torch.Size((N,)), as_source(Philox(8)))
    assert x.shape == (N, *dist.batch_shape)
    assert z_test(x, dist.mean).passed
    assert z_test((x - dist.mean) ** 2, dist.variance).passed


@pytest.mark.parametrize("law", [td.Gamma, td.Beta, td.Chi2, td.Dirichlet])
def test_a_raw_draw_from_torchs_stream_out_of_range_is_nan(law: type):
    """In few numbers, where torch's own sampler serves and the boost of a small concentration divides by it."""
    bad = torch.tensor([[2.0, -1.0], [0.3, -1.5], [0.0, 0.2], [torch.nan, 1.0]])
    parameters = [bad] if law in (td.Chi2, td.Dirichlet) else [bad, torch.ones_like(bad)]
    x = rp.rsample(law(*parameters, validate_args=False))
    moderate = law(*(p[3:].clamp(min=1) for p in parameters), validate_args=False)  # NaN among what is well inside
    assert torch.isnan(rp.rsample(moderate))[0, 0]
    valid = (bad > 0).all(-1, keepdim=True).expand_as(bad) if law is td.Dirichlet else bad > 0
    assert torch.equal(torch.isnan(x), ~valid)


def test_what_cannot_be_sampled_is_named():
    source, ones = rp.noise.Philox(3).bind(torch.Size()), torch.ones(3)
    for parameters, named in (
        ([ones, 0.5 * ones.double()], "torch.float64"),
        ([ones, ones[:2]], r"\(2,\)"),
        ([ones.long(), ones.long()], "torch.int64"),
        ([ones.to_sparse(), ones.to_sparse()], "sparse"),
        ([ones, ones.to("meta")], "on meta"),
    ):
        with pytest.raises(InvalidArgument, match=named):
            source.variate("binomial", parameters)
    with pytest.raises(InvalidArgument, match="no law of this name"):
        source.variate("no such law", [ones])
    for draw in (source.normal, source.uniform, source.exponential):
        for dtype in (torch.int64, torch.complex64, torch.float8_e4m3fn):
            with pytest.raises(InvalidArgument, match=str(dtype)):
                draw((3,), dtype, torch.device("cpu"))
    assert source.variate("gamma", [ones.to("meta")]).device.type == "meta"
