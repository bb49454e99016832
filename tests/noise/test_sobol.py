"""Sobol points: torch's own sequence under our scrambling, evenly spread, unbiased, and faster than independence."""

import math

import pytest
import torch
from torch.quasirandom import SobolEngine

import reparam as rp
from reparam.noise import Philox, Sobol, as_source

CPU = torch.device("cpu")


def points(noise, n, *rest, dtype=torch.float64):
    return as_source(noise, torch.Size((n,))).uniform((n, *rest), dtype, CPU)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_without_scrambling_it_is_the_sequence_in_the_middle_of_its_cells(n):
    width = 2.0 ** -math.ceil(math.log2(n))
    expected = SobolEngine(9).draw(n, dtype=torch.float64) + width / 2
    assert (points(Sobol(scramble=False), n, 3, 3) - expected.reshape(n, 3, 3)).abs().max() <= 2**-31 + 2**-53


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_scrambling_keeps_every_coordinate_evenly_spread(seed):
    n = 256
    cells = (points(Sobol(seed), n, 50) * n).floor().sort(dim=0).values
    assert torch.equal(cells, torch.arange(n, dtype=torch.float64)[:, None].expand(n, 50))


def test_scrambling_keeps_the_net_property_in_the_plane():
    """The first two coordinates are a (0, 8, 2)-net: one point in each of 256 rectangles of every shape."""
    x = points(Sobol(3), 256, 2)
    for k in range(9):
        box = (x[:, 0] * 2**k).floor() * 2 ** (8 - k) + (x[:, 1] * 2 ** (8 - k)).floor()
        assert box.unique().numel() == 256


def test_requests_of_one_draw_take_successive_coordinates():
    whole = points(Sobol(4), 16, 7)
    source = as_source(Sobol(4), torch.Size((16,)))
    parts = [source.uniform((16, k), torch.float64, CPU) for k in (2, 1, 4)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_all_sample_dimensions_number_the_points():
    source = as_source(Sobol(4), torch.Size((4, 8)))
    assert torch.equal(source.uniform((4, 8, 3), torch.float64, CPU).reshape(32, 3), points(Sobol(4), 32, 3))


def test_the_same_seed_and_step_give_the_same_points_and_others_do_not():
    first = points(Sobol(1), 8, 2)
    assert torch.equal(first, points(Sobol(1), 8, 2))
    assert torch.equal(points(Sobol(1).at(5), 8, 2), points(Sobol(1).at(torch.tensor(5)), 8, 2))
    for other in (Sobol(2), Sobol(1).at(1), Sobol(1 + 2**32)):
        assert not (points(other, 8, 2) == first).any()


def test_without_a_seed_torchs_global_generator_scrambles():
    torch.manual_seed(0)
    a, b = points(Sobol(), 8, 2), points(Sobol(), 8, 2)
    torch.manual_seed(0)
    assert torch.equal(a, points(Sobol(), 8, 2))
    assert not (a == b).any()


def test_the_mean_over_points_is_unbiased_over_scramblings():
    """E exp(sum x / 2) = exp(3 / 8); the same check rejects a draw whose digits are not shifted."""
    steps, n = torch.arange(2000), 8

    def mean(step):
        x = as_source(Sobol(9).at(step), torch.Size((n,))).normal((n, 3), torch.float64, CPU)
        return torch.exp(x.sum(-1) / 2).mean()

    means = torch.func.vmap(mean)(steps)
    z = (means.mean() - math.exp(3 / 8)) / (means.std() / math.sqrt(len(steps)))
    biased = (
        means
        - means.mean()
        + torch.exp(
            as_source(Sobol(scramble=False), torch.Size((n,))).normal((n, 3), torch.float64, CPU).sum(-1) / 2
        ).mean()
    )
    z_biased = (biased.mean() - math.exp(3 / 8)) / (biased.std() / math.sqrt(len(steps)))
    assert abs(z) < 4.9  # two-sided false-alarm rate 1e-6
    assert abs(z_biased) > 4.9


def test_the_error_falls_faster_than_that_of_independent_samples():
    """The spread of the mean of exp(u . a) in three dimensions: slope -1/2 for independent noise, -3/2 here."""
    weights = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64)

    def log2_spread(noise, n):
        def mean(step):
            source = as_source(noise.at(step), torch.Size((n,)))
            return torch.exp(source.uniform((n, 3), torch.float64, CPU) @ weights).mean()

        return torch.func.vmap(mean)(torch.arange(64)).std().log2().item()

    slopes = {type(noise): (log2_spread(noise, 1024) - log2_spread(noise, 64)) / 4 for noise in (Sobol(1), Philox(1))}
    assert slopes[Philox] == pytest.approx(-0.5, abs=0.15)
    assert slopes[Sobol] < -1.4


def test_half_dtypes_empty_batches_and_no_samples():
    assert points(Sobol(1), 8, 0).shape == (8, 0)
    assert points(Sobol(1), 0, 3).shape == (0, 3)
    for dtype in (torch.bfloat16, torch.float16):
        u = points(Sobol(1), 1024, 3, dtype=dtype)
        assert u.min() > 0
        assert u.max() < 1


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: rp.rsample(torch.distributions.Normal(0.0, 1.0), noise=Sobol(1)), "sample_shape = ()"),
        (lambda: points(Sobol(1), 2, 21202), "21202 coordinates"),
        (lambda: as_source(Sobol(1), torch.Size((2**16, 2**15))), "(65536, 32768)"),
        (lambda: Sobol().at(1), "Sobol(scramble=True).at"),
        (lambda: Sobol(1, scramble=False), "Sobol(seed=1, scramble=False)"),
        (lambda: Sobol(-1), "seed = -1"),
        (lambda: Sobol(1).at(2**32), "step = 4294967296"),
        (lambda: as_source(Sobol(1), torch.Size((4,))).normal((3, 4), torch.float32, CPU), "shape (3, 4)"),
    ],
)
def test_errors_say_what_was_received(make, received):
    with pytest.raises(rp.InvalidArgument) as caught:
        make()
    assert received in caught.value.received
    assert caught.value.instead
