"""Expectations in chunks and in shares are the expectation in one piece."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import torch
from torch import Tensor
from torch.distributed import HashStore, ProcessGroupGloo
from torch.distributions import Bernoulli, Distribution, Independent, Normal

import reparam as rp
from reparam.errors import InvalidArgument
from reparam.expectation.sharding import expect_sharded

PARAMETER = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
SAMPLES = 101


def bit(p: Tensor) -> Distribution:
    return Bernoulli(logits=p)


def normal(p: Tensor) -> Distribution:
    return Normal(p, 0.5 * p.exp())


def bits(p: Tensor) -> Distribution:
    return Independent(Bernoulli(logits=p.unsqueeze(-1) * torch.arange(1, 3)), 1)


CASES: dict[str, tuple[Callable[[Tensor], Distribution], rp.Pathwise | rp.ScoreFunction]] = {
    "pathwise": (normal, rp.Pathwise()),
    "score": (bit, rp.ScoreFunction()),
    "leave one out": (bits, rp.LeaveOneOut(2)),
    "leave one out, normal": (normal, rp.LeaveOneOut(2)),
}
CASE = pytest.mark.parametrize("case", CASES)


def cost(x: Tensor, p: Tensor) -> Tensor:
    """A cost with a parameter of its own."""
    x = x if x.ndim == 2 else x.sum(-1)
    return (x - 0.45 * p).square() + 3


def value_and_gradient(case: str, expectation: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    make, estimator = CASES[case]
    p = PARAMETER.clone().requires_grad_()
    noise = rp.noise.Philox(3, step=2, index=40)
    value = expectation(lambda x: cost(x, p), make(p), estimator, samples=SAMPLES, noise=noise)
    return value.detach(), torch.autograd.grad(value.sum(), p)[0]


def in_chunks(size: int, group: ProcessGroupGloo | None = None) -> Callable[..., Tensor]:
    return lambda *args, **how: expect_sharded(*args, **how, chunk=size, group=group)


@CASE
@pytest.mark.parametrize("size", [7, 50, 1000])
def test_chunks_are_the_whole(case, size):
    torch.testing.assert_close(value_and_gradient(case, in_chunks(size)), value_and_gradient(case, rp.expect))


def on_two_processes(work: Callable[[ProcessGroupGloo], None], world: int = 2) -> None:
    """Each in a thread, with a process group of its own; what one raises is raised here."""
    store, raised = HashStore(), []

    def process(rank: int) -> None:
        try:
            work(ProcessGroupGloo(store, rank, world, timedelta(seconds=20)))
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


@CASE
def test_shares_are_the_whole(case):
    """The value on each process; the gradient as the mean over processes."""
    found: list[tuple[Tensor, Tensor]] = []
    on_two_processes(lambda group: found.append(value_and_gradient(case, in_chunks(20, group))))
    value, gradient = value_and_gradient(case, rp.expect)
    assert len(found) == 2
    for each, _ in found:
        torch.testing.assert_close(each, value)
    torch.testing.assert_close((found[0][1] + found[1][1]) / 2, gradient)
    assert not torch.allclose(found[0][1], found[1][1])


def test_more_processes_than_samples():
    found: list[Tensor] = []

    def mean(group: ProcessGroupGloo) -> None:
        found.append(expect_sharded(torch.square, normal(PARAMETER), **options, group=group))

    options = {"samples": 1, "noise": rp.noise.Philox(0), "chunk": 5}
    on_two_processes(mean)
    whole = rp.expect(torch.square, normal(PARAMETER), samples=1, noise=rp.noise.Philox(0))
    for each in found:
        torch.testing.assert_close(each, whole)


@pytest.mark.parametrize("pieces", [1, 8])
def test_memory_does_not_grow_with_the_samples(pieces):
    """Of the large intermediate results of a cost, those of one chunk are kept for the backward pass."""
    kept: list[int] = []
    p = PARAMETER.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        expect_sharded(
            lambda x: (x.unsqueeze(-1) * torch.ones(100, dtype=torch.float64)).square().sum(-1),
            normal(p),
            samples=64,
            noise=rp.noise.Philox(0),
            chunk=64 // pieces,
        )
    assert sum(size for size in kept if size >= 300) == 64 // pieces * 300


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"samples": 0}, "samples must be a positive integer"),
        ({"chunk": 2.5}, "chunk must be a positive integer"),
        ({"noise": torch.Generator()}, "noise that numbers them"),
        ({"noise": rp.noise.Philox(0, index=torch.arange(8))}, "noise that numbers them"),
        ({"estimator": rp.Enumerate()}, "independent draws"),
        ({"estimator": rp.LeaveOneOut(4), "samples": 1}, "needs others"),
        ({"f": lambda x: x.sum()}, "one number for each point"),
        ({"f": lambda x: x.detach()}, "carries no gradient"),
    ],
    ids=["samples", "chunk", "generator", "index", "enumerate", "one sample", "not batched", "detached"],
)
def test_what_cannot_be_shared_is_told(change, what):
    dist = normal(PARAMETER.clone().requires_grad_())
    options = {"f": torch.square, "dist": dist, "samples": 8, "noise": rp.noise.Philox(0), "chunk": 4}
    with pytest.raises(InvalidArgument, match=what):
        expect_sharded(**{**options, **change})
