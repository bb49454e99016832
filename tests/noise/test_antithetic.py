"""Antithetic pairs: exact reflections, each with the law it had, along the first sample dimension."""

import pytest
import torch

import reparam as rp
from reparam.noise import Antithetic, Philox, Sobol, as_source
from reparam.noise.antithetic import AntitheticStream

CPU = torch.device("cpu")
BASES = [None, Philox(3), Sobol(3)]


def halves(base, law, dtype=torch.float64, n=64):
    draw = getattr(as_source(Antithetic(base), torch.Size((n,))), law)((n, 5), dtype, CPU)
    return draw[: n // 2], draw[n // 2 :]


@pytest.mark.parametrize("base", BASES, ids=str)
def test_each_law_is_reflected_through_its_own_quantile(base):
    x, y = halves(base, "normal")
    assert torch.equal(y, -x)
    u, v = halves(base, "uniform")
    assert torch.equal(v, 1 - u)
    e, f = halves(base, "exponential")
    torch.testing.assert_close(torch.exp(-e) + torch.exp(-f), torch.ones_like(e), rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_reflections_stay_inside_the_open_range(dtype):
    eps = torch.finfo(dtype).eps
    extremes = torch.tensor([eps / 4, eps, 0.5, 1 - eps, 1 - eps / 2], dtype=dtype)

    class Extremes:
        def uniform(self, shape, dtype, device):
            return extremes

        def exponential(self, shape, dtype, device):
            return torch.tensor([1e-10, 1e-4, 0.7, 10.0, 23.0]).clamp(min=torch.finfo(dtype).tiny).to(dtype)

        normal = uniform

    stream = AntitheticStream(Extremes(), torch.Size((10,)))
    u, e = stream.uniform((10,), dtype, CPU), stream.exponential((10,), dtype, CPU)
    assert u.min() >= eps / 4
    assert u.max() <= 1 - eps / 2
    assert (e > 0).all()
    assert torch.isfinite(e).all()


def test_the_first_half_is_the_base_itself():
    assert torch.equal(halves(Philox(3), "normal")[0], as_source(Philox(3)).normal((32, 5), torch.float64, CPU))
    generator = torch.Generator().manual_seed(4)
    expected = torch.randn(32, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert torch.equal(halves(generator, "normal")[0], expected)
    torch.manual_seed(4)
    assert torch.equal(halves(None, "normal")[0], expected)


def test_an_odd_cost_is_integrated_exactly_and_an_even_one_pairs_twins():
    x = rp.rsample(torch.distributions.Normal(torch.zeros(4), 2.0), (16, 3), noise=Antithetic(Philox(1)))
    assert torch.equal((x**3)[:8] + (x**3)[8:], torch.zeros(8, 3, 4))
    assert torch.equal((x**2)[:8], (x**2)[8:])


def test_requests_of_one_draw_are_distinct():
    source = as_source(Antithetic(Philox(1)), torch.Size((4,)))
    a, b = (source.normal((4, 3), torch.float64, CPU) for _ in range(2))
    assert not (a == b).any()


def test_philox_pairs_are_numbered_so_two_processes_equal_one():
    dist = torch.distributions.Normal(0.0, 1.0)
    whole = rp.rsample(dist, (8,), noise=Antithetic(Philox(1)))
    parts = [rp.rsample(dist, (4,), noise=Antithetic(Philox(1).at(0, index=first))) for first in (0, 2)]
    assert torch.equal(torch.cat([p[:2] for p in parts] + [p[2:] for p in parts]), whole)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: rp.rsample(torch.distributions.Normal(0.0, 1.0), noise=Antithetic()), "sample_shape = ()"),
        (lambda: rp.rsample(torch.distributions.Normal(0.0, 1.0), (3, 2), noise=Antithetic()), "(3, 2)"),
        (lambda: Antithetic(torch.zeros(3)), "base = tensor"),
        (lambda: Antithetic(Antithetic()), "base = Antithetic"),
        (lambda: Antithetic(as_source(None)), "base = TorchStream"),
        (lambda: as_source(Antithetic(), torch.Size((4,))).normal((2, 4), torch.float32, CPU), "shape (2, 4)"),
    ],
)
def test_errors_say_what_was_received(make, received):
    with pytest.raises(rp.InvalidArgument) as caught:
        make()
    assert received in caught.value.received
    assert caught.value.instead
