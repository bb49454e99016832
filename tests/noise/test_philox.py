"""Philox: published known answers, and the same bits however a draw is cut up."""

import copy
from typing import Any, cast

import pytest
import torch

import reparam as rp
from reparam.noise import Philox, as_source
from reparam.noise.counter import philox4x32
from reparam.noise.philox import PhiloxStream
from reparam.noise.quantile import QuantileStream

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
LAWS = ["normal", "uniform", "exponential"]


def ask(noise, law, shape, dtype=torch.float32):
    return getattr(as_source(noise, torch.Size(shape[:1])), law)(shape, dtype, CPU)


# Random123's kat_vectors, philox4x32 with 10 rounds (Salmon et al., SC 2011).
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_published_known_answers(counter, key, answer):
    words = philox4x32(torch.tensor(counter).unsqueeze(-1), torch.tensor(key))
    assert tuple(words.squeeze(-1).tolist()) == answer


def python_philox(counter, key):
    x, k = list(counter), list(key)
    for _ in range(10):
        a, b = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [b >> 32 ^ x[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ x[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


def test_where_each_number_stands_in_the_stream():
    """The layout is a promise: kernels and other devices must find the same word at the same place."""
    seed, step, index, variable = (0xDEADBEEF << 32) + 0x12345678, 77, 1000, 3
    source = as_source(Philox(seed).at(step, index, variable))
    source.uniform((1,), torch.float32, CPU)
    x = source.uniform((2, 3, 2), torch.float64, CPU)
    for row, place in [(0, 0), (1, 3), (1, 5)]:
        counter = (place // 2, index + row, step, variable << 16 | 1)
        words = python_philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
        high, low = words[2 * (place % 2)], words[2 * (place % 2) + 1]
        assert x[row].flatten()[place].item() == pytest.approx(((high << 21 | low >> 11) + 0.5) / 2**53, abs=2**-53)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("row", [(), (5,), (3, 7)])
def test_parts_of_a_draw_equal_the_whole(law, dtype, row):
    noise = Philox(5)
    whole = ask(noise.at(2), law, (13, *row), dtype)
    for cuts in ([6, 7], [1, 11, 1], [13]):
        starts = [sum(cuts[:i]) for i in range(len(cuts))]
        parts = [ask(noise.at(2, index=start), law, (n, *row), dtype) for start, n in zip(starts, cuts, strict=True)]
        assert torch.equal(torch.cat(parts), whole)


def test_rows_in_any_order_and_offset_as_tensors():
    whole = ask(Philox(5), "normal", (8, 3))
    order = torch.tensor([6, 1, 1, 7])
    assert torch.equal(ask(Philox(5).at(0, index=order), "normal", (4, 3)), whole[order])
    assert torch.equal(ask(Philox(5).at(0, index=torch.tensor(5)), "normal", (3, 3)), whole[5:])


def test_an_index_for_several_leading_dimensions():
    """Samples by batch, the batch cut between two processes."""
    index = torch.arange(4)[:, None] * 100 + torch.arange(6)
    whole = ask(Philox(5).at(0, index=index), "normal", (4, 6, 2))
    halves = [ask(Philox(5).at(0, index=part), "normal", (4, 3, 2)) for part in index.split(3, dim=1)]
    assert torch.equal(torch.cat(halves, dim=1), whole)


def test_a_long_draw_is_computed_in_pieces_with_the_same_bits():
    whole = ask(Philox(1), "normal", (40_000,))
    assert torch.equal(whole[39_000:], ask(Philox(1).at(0, index=39_000), "normal", (1000,)))
    assert torch.equal(whole, whole.unique_consecutive())


def test_thread_count_changes_no_bit():
    threads = torch.get_num_threads()
    draws = []
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            draws.append(ask(Philox(1), "normal", (300, 301)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*draws)


def test_seed_step_variable_and_request_each_change_every_number():
    base = ask(Philox(1), "normal", (50,))
    source = as_source(Philox(1))
    source.normal((50,), torch.float32, CPU)
    others = [
        ask(Philox(2), "normal", (50,)),
        ask(Philox(1 + (1 << 32)), "normal", (50,)),
        ask(Philox(1).at(1), "normal", (50,)),
        ask(Philox(1).at(0, variable=1), "normal", (50,)),
        source.normal((50,), torch.float32, CPU),
    ]
    draws = torch.stack([base, *others])
    assert draws.unique().numel() == draws.numel()


def test_a_tensor_step_equals_an_int_step():
    for step in (0, 3, 2**32 - 1):
        assert torch.equal(
            ask(Philox(1).at(step), "normal", (4,)), ask(Philox(1).at(torch.tensor(step)), "normal", (4,))
        )


def test_empty_and_scalar_draws():
    for shape in [(0,), (0, 3), (3, 0), ()]:
        assert as_source(Philox(1)).normal(shape, torch.float64, CPU).shape == shape
    assert torch.equal(as_source(Philox(1)).normal((), torch.float32, CPU), ask(Philox(1), "normal", (1,))[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_stays_inside_its_open_range(dtype):
    """The outermost and innermost cells, of either tail: inside the range, mirrored, and in order."""
    width = 53 if dtype == torch.float64 else 32
    middle = 2 ** (width - 1)
    source = _Fixed(torch.tensor([0, 1, middle - 1, middle, 2**width - 2, 2**width - 1]))
    u, z, e = (getattr(source, law)((6,), dtype, CPU) for law in ("uniform", "normal", "exponential"))
    eps = torch.finfo(dtype).eps
    assert u.min() >= eps / 4
    assert u.max() <= 1 - eps / 2
    assert (e > 0).all()
    assert torch.isfinite(e).all()
    assert torch.equal(z, -z.flip(0))
    for x in (u, z, e):
        assert (x.diff() >= 0).all()


class _Fixed(QuantileStream):
    def __init__(self, values):
        self.values = values

    def cells(self, shape, width, device):
        return self.values


def test_normal_noise_is_the_normal_quantile_to_the_dtype():
    """Against mpmath, in both tails and at the centre."""
    import mpmath

    for dtype, width, tolerance in [(torch.float32, 32, 4e-7), (torch.float64, 53, 2e-15)]:
        depth = torch.arange(1, width)
        cells = torch.cat([2**depth - 1, 2**width - 2**depth, 2 ** (width - 1) + 2 ** depth[:-2]])
        z = _Fixed(cells).normal(cells.shape, dtype, CPU).double()
        with mpmath.workdps(40):
            exact = [mpmath.sqrt(2) * mpmath.erfinv((2 * mpmath.mpf(c) + 1) / 2**width - 1) for c in cells.tolist()]
        exact = torch.tensor([float(x) for x in exact], dtype=torch.float64)
        assert ((z - exact).abs() / exact.abs().clamp(min=1)).max() < tolerance


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: Philox(-1), "seed = -1"),
        (lambda: Philox(1 << 64), "seed = 18446744073709551616"),
        (lambda: Philox(cast(Any, 1.0)), "seed = 1.0"),
        (lambda: Philox(cast(Any, torch.tensor(1))), "seed = tensor(1)"),
        (lambda: Philox(1).at(-1), "step = -1"),
        (lambda: Philox(1).at(torch.tensor(1.0)), "step = tensor(1.)"),
        (lambda: Philox(1).at(torch.arange(3)), "step = tensor([0, 1, 2])"),
        (lambda: Philox(1).at(0, index=1 << 32), "index = 4294967296"),
        (lambda: Philox(1).at(0, variable=0xFFFF), "variable = 65535"),
        (lambda: ask(Philox(1).at(0, index=torch.arange(3)), "normal", (4,)), "(3,) for a draw of shape (4,)"),
    ],
)
def test_errors_say_what_was_received(make, received):
    with pytest.raises(rp.InvalidArgument) as caught:
        make()
    assert received in caught.value.received
    assert caught.value.instead


def test_more_requests_than_the_counter_holds():
    source = PhiloxStream(Philox(1), requests=65535)
    source.normal((1,), torch.float32, CPU)
    with pytest.raises(rp.InvalidArgument, match="65536 times"):
        source.normal((1,), torch.float32, CPU)


def test_two_draws_of_one_value_are_equal_and_the_value_is_unchanged():
    noise, dist = Philox(1).at(4), torch.distributions.Normal(torch.zeros(3), 1.0)
    before = copy.deepcopy(noise)
    assert torch.equal(rp.rsample(dist, (5,), noise=noise), rp.rsample(dist, (5,), noise=noise))
    assert noise == before
