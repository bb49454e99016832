"""Goodness of fit of every source to the three laws, and independence of what should be independent.

False-alarm rate of this file: 1e-5, divided evenly among its comparisons (Kolmogorov-Smirnov and correlations); of its
moments the suite's, by `reparam.testing`.
"""

import math

import pytest
import torch
from scipy import stats

from reparam.noise import Antithetic, Philox, Sobol, TorchStream, as_source
from reparam.noise.philox import PhiloxStream
from reparam.testing.statistics import z_test

CPU = torch.device("cpu")
N = 20_000
COMPARISONS = 48
ALARM = 1e-5 / COMPARISONS
CDF = {"normal": stats.norm.cdf, "uniform": stats.uniform.cdf, "exponential": stats.expon.cdf}
DTYPES = [torch.float32, torch.float64]


def torch_stream(law, dtype):
    source = TorchStream(torch.Generator().manual_seed(11))
    return getattr(source, law)((N,), dtype, CPU)


def philox_row(law, dtype):
    return getattr(as_source(Philox(11)), law)((1, N), dtype, CPU).flatten()


def philox_rows(law, dtype):
    return getattr(as_source(Philox(11)), law)((N,), dtype, CPU)


def reflected_half(law, dtype):
    return getattr(as_source(Antithetic(Philox(11)), torch.Size((2 * N,))), law)((2 * N,), dtype, CPU)[N:]


def sobol_over_scramblings(law, dtype):
    """The sixth point's third coordinate: independent over steps."""

    def one(step):
        return getattr(as_source(Sobol(11).at(step), torch.Size((8,))), law)((8, 3), dtype, CPU)[5, 2]

    return torch.func.vmap(one)(torch.arange(N // 4))


SOURCES = [torch_stream, philox_row, philox_rows, reflected_half, sobol_over_scramblings]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", CDF)
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_the_law_it_claims(source, law, dtype):
    assert stats.kstest(source(law, dtype).double().numpy(), CDF[law]).pvalue > ALARM


MOMENTS = {"uniform": (1 / 2, 1 / 3, 1 / 5), "normal": (0.0, 1.0, 3.0), "exponential": (1.0, 2.0, 24.0)}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", MOMENTS)
@pytest.mark.parametrize("source", [philox_row, philox_rows])
def test_the_first_second_and_fourth_moment(source, law, dtype):
    x = source(law, dtype).double()
    check = z_test(torch.stack((x, x**2, x**4), -1), torch.tensor(MOMENTS[law], dtype=torch.float64))
    assert check.passed, str(check)


@pytest.mark.parametrize("law", CDF)
def test_the_check_rejects_a_law_ten_percent_off(law):
    x = philox_rows(law, torch.float64).numpy()
    assert stats.kstest(x**1.1 if law == "uniform" else 1.1 * x, CDF[law]).pvalue < ALARM


def requests():
    source = as_source(Philox(1))
    return [source.normal((N,), torch.float64, CPU) for _ in range(2)]


def normals(noise, *shape):
    return as_source(noise).normal(shape or (N,), torch.float64, CPU)


PAIRS = {
    "requests": requests,
    "seeds": lambda: [normals(Philox(1)), normals(Philox(2))],
    "steps": lambda: [normals(Philox(1)), normals(Philox(1).at(1))],
    "variables": lambda: [normals(Philox(1)), normals(Philox(1).at(0, variable=1))],
    "rows": lambda: [normals(Philox(1)), normals(Philox(1).at(0, index=1))],
    "places": lambda: normals(Philox(1), N, 2).unbind(1),
    "sobol coordinates": lambda: [sobol_over_scramblings("normal", torch.float64), _other_coordinate()],
}


def _other_coordinate():
    def one(step):
        return as_source(Sobol(11).at(step), torch.Size((8,))).normal((8, 3), torch.float64, CPU)[5, 1]

    return torch.func.vmap(one)(torch.arange(N // 4))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("power", [1, 2])
def test_neighbouring_streams_are_uncorrelated(name, power):
    a, b = (x**power for x in PAIRS[name]())
    correlation = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
    assert abs(correlation) * math.sqrt(len(a)) < stats.norm.isf(ALARM / 2)


def test_every_bit_of_a_word_is_fair():
    words = PhiloxStream(Philox(2)).cells((1, N), 32, CPU).flatten()
    ones = torch.stack([(words >> b & 1).sum() for b in range(32)])
    assert ((ones - N / 2).abs() / math.sqrt(N / 4)).max() < stats.norm.isf(ALARM / 64)
