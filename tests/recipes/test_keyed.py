"""Order, binarisation and noise are functions of seed, step and place: shares are parts of the whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from reparam import testing
from reparam.recipes import keyed
from reparam.recipes.keyed import Order, Share, uniform
from reparam.recipes.machine import Machine


def machine(rank: int, world: int) -> Machine:
    return cast(Any, SimpleNamespace(rank=rank, world=world, device=torch.device("cpu")))


def shares(step: int, world: int, rows: int = 23, batch: int = 7) -> list[Share]:
    return [Order(rows, batch, 5, machine(rank, world)).share(step) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3, 8])
@pytest.mark.parametrize("step", [0, 3, 9])
def test_shares_together_are_the_whole(step, world):
    (whole,) = shares(step, 1)
    parts = shares(step, world)
    images = torch.rand(23, 9)
    for read in (
        lambda share: share.rows,
        lambda share: share.bernoulli(images[share.rows]),
        lambda share: share.noise().bind(torch.Size()).normal((len(share.rows), 4), torch.float32, torch.device("cpu")),
    ):
        assert torch.equal(torch.cat([read(part) for part in parts]), read(whole))
    assert all(part.total == whole.total == len(whole.rows) for part in parts)


def test_noise_of_several_samples_is_shared_too():
    (whole,), parts = shares(1, 1), shares(1, 2)

    def drawn(share: Share) -> torch.Tensor:
        shape = (3, len(share.rows), 2)
        return share.noise(3).bind(torch.Size((3,))).uniform(shape, torch.float64, torch.device("cpu"))

    assert torch.equal(torch.cat([drawn(part) for part in parts], 1), drawn(whole))
    assert len(drawn(whole).unique()) == drawn(whole).numel()


def test_each_epoch_has_each_row_once_in_an_order_of_its_own():
    order = Order(23, 7, 5, machine(0, 1))
    epochs = [[int(row) for step in range(4) for row in order.share(4 * epoch + step).rows] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(23))
    assert epochs[0] != epochs[1]
    assert epochs[0] != [int(row) for step in range(4) for row in Order(23, 7, 6, machine(0, 1)).share(step).rows]


def test_order_does_not_depend_on_what_was_asked_before():
    order = Order(23, 7, 5, machine(0, 1))
    later = order.share(9).rows
    order.share(0)
    assert torch.equal(order.share(9).rows, later)


def test_splitmix_gives_its_published_numbers():
    """The first outputs of the generator that starts from 0 (Vigna's reference implementation)."""
    words = keyed._mix(keyed.GOLDEN * torch.arange(1, 4))
    assert [int(word) % 2**64 for word in words] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_uniform_noise_is_uniform_and_rows_and_steps_differ():
    first, second = (uniform(7, torch.tensor(step), torch.arange(300), 300).double() for step in (0, 1))
    assert (first.min() >= 0, first.max() < 1) == (True, True)
    for values, mean in (
        (first, 1 / 2),
        (first.square(), 1 / 3),
        ((first - 0.5) * (second - 0.5), 0.0),
        ((first[1:] - 0.5) * (first[:-1] - 0.5), 0.0),
        ((first[:, 1:] - 0.5) * (first[:, :-1] - 0.5), 0.0),
    ):
        assert (test := testing.z_test(values.flatten(), mean)).passed, test
