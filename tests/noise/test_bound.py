"""Noise as torch's stream, a generator, or a tensor in the user's hand."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp
from reparam.noise import TorchStream


def test_a_normal_consumes_the_stream_exactly_as_randn_does():
    for shape in ((), (3,), (64,), (5, 7)):
        torch.manual_seed(47)
        expected = 2.0 + torch.randn(shape) * 5.0
        after = torch.randn(())
        torch.manual_seed(47)
        assert torch.equal(rp.rsample(td.Normal(torch.full(shape, 2.0), 5.0)), expected)
        assert torch.equal(torch.randn(()), after)


def test_the_seed_case_of_the_project():
    torch.manual_seed(47)
    loc, scale = torch.tensor(2.0, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    z = rp.rsample(td.Normal(loc, scale))
    assert z.item() == -5.312154293060303
    assert [g.item() for g in torch.autograd.grad(z, (loc, scale))] == [1.0, -1.4624308347702026]


def test_a_generator_leaves_the_global_stream_alone():
    dist = td.Normal(torch.zeros(4), 1.0)
    before = torch.get_rng_state()
    a = rp.rsample(dist, (3,), noise=torch.Generator().manual_seed(1))
    b = rp.rsample(dist, (3,), noise=torch.Generator().manual_seed(1))
    assert torch.equal(a, b)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tensor_of_noise_broadcasts_and_carries_a_gradient_of_its_own():
    noise = torch.tensor(-1.5, requires_grad=True)
    z = rp.rsample(td.Normal(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 1.0])), (4,), noise=noise)
    assert torch.equal(z, torch.tensor([-2.5, -1.5]).expand(4, 2))
    assert torch.autograd.grad(z.sum(), noise)[0].item() == 16.0


def test_uniform_noise_is_open_at_both_ends():
    """float32 has 2^24 uniform values; the lowest cell must not become 0 and no cell may round to 1."""
    u = TorchStream(torch.Generator().manual_seed(0)).uniform((2**24,), torch.float32, torch.device("cpu"))
    assert 0 < u.min() < 2**-22
    assert u.max() < 1


@pytest.mark.parametrize(
    ("dist", "noise", "message"),
    [
        (td.Normal(0.0, 1.0), torch.tensor(float("nan")), "must be finite"),
        (td.Normal(0.0, 1.0), torch.zeros(3), "must broadcast to the shape"),
        (td.Normal(0.0, 1.0), torch.zeros((), dtype=torch.float64), "dtype and device"),
        (td.Uniform(0.0, 1.0), torch.tensor(1.0), "open interval"),
        (td.Exponential(1.0), torch.tensor(-1.0), "positive and finite"),
        (td.Normal(0.0, 1.0), 47, "must be None, a torch.Generator"),
        (td.Normal(0.0, 1.0), rp.noise.Philox, "must be None, a torch.Generator"),
        (td.Normal(0.0, 1.0), torch.Generator, "must be None, a torch.Generator"),
    ],
)
def test_bad_noise(dist, noise, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        rp.rsample(dist, noise=noise)
    assert error.value.received
    assert error.value.instead
