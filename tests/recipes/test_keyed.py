"""Order, binarisation and noise are functions of seed, step and place: shares are parts of the whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from reparam import testing
from reparam.recipes import keyed
from reparam.recipes.keyed import Order, Share
from reparam.recipes.machine import Machine


def machine(rank: int, world: int) -> Machine:
    return cast(Any, SimpleNamespace(rank=rank, world=world, device=torch.device("cpu")))


def shares(step: int, world: int, rows: int = 230, batch: int = 70) -> list[Share]:
    return [Order(rows, batch, 5, machine(rank, world)).share(step) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3, 8, 100])
@pytest.mark.parametrize("step", [0, 3, 9])
def test_shares_together_are_the_whole(step, world):
    (whole,) = shares(step, 1)
    parts = shares(step, world)
    images = torch.rand(230, 9)
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


def test_keys_are_splitmix():
    """The first output of the generator that starts from 0 (Vigna's reference implementation)."""
    assert keyed._key(0) == 0xE220A8397B1DCDAF
    assert len({keyed._key(a, b) for a in range(50) for b in range(50)}) == 2500


def test_binarisation_has_its_probabilities_and_no_memory():
    probabilities = torch.linspace(0, 1, 300).expand(500, 300)

    def drawn(step: int) -> torch.Tensor:
        return Share(torch.arange(500), 0, 500, step, 7).bernoulli(probabilities).double()

    first, second = drawn(0), drawn(1)
    assert first.unique().tolist() == [0, 1]
    centred, other = first - probabilities, second - probabilities
    for values in (centred, centred * other, centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1]):
        assert (test := testing.z_test(values.flatten(), 0.0)).passed, test
