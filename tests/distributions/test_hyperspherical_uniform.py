from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch.distributions import kl_divergence

import reparam as rp
from reparam.distributions import HypersphericalUniform
from reparam.errors import InvalidArgument

from .conformance import seeded


@pytest.mark.parametrize(("d", "area"), [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_density_is_one_over_the_area(d: int, area: float) -> None:
    law = HypersphericalUniform(d, dtype=torch.float64)
    x = law.rsample((3,))
    assert law.log_prob(x).tolist() == pytest.approx([-math.log(area)] * 3)
    assert law.entropy().item() == pytest.approx(math.log(area))
    assert kl_divergence(law, law.expand((2,))).tolist() == [0.0, 0.0]


def test_moments_and_shapes() -> None:
    law = HypersphericalUniform(3, (2,))
    x = rp.rsample(law, (20_000,), noise=seeded())
    assert x.shape == (20_000, 2, 3)
    error = 5.5 * math.sqrt(1 / 3 / 20_000)
    assert (x.mean(0) - law.mean).abs().max() < error
    assert (x.square().mean(0) - law.variance).abs().max() < error
    assert (x[..., 0] * x[..., 1]).mean(0).abs().max() < error
    assert law.expand((0, 2)).rsample((4,)).shape == (4, 0, 2, 3)
    assert law.log_prob(x[:5]).shape == (5, 2)


def test_composes() -> None:
    law = HypersphericalUniform(3, dtype=torch.bfloat16)
    x = law.rsample((5,))
    assert x.dtype == torch.bfloat16
    assert law.log_prob(x).dtype == torch.bfloat16
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        assert torch.equal(rp.rsample(twin, noise=seeded()), rp.rsample(law, noise=seeded()))
    one = torch.func.vmap(lambda _: HypersphericalUniform(3).rsample((2,)), randomness="different")(torch.zeros(4))
    assert one[0].ne(one[1]).any()
    compiled = torch.compile(lambda: HypersphericalUniform(3).rsample((2,)), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled().norm(dim=-1), torch.ones(2))
    assert torch.equal(rp.rsample(HypersphericalUniform(2), noise=torch.tensor([3.0, 4.0])), torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("dimension", [1, 2.0, True, torch.tensor(3)])
def test_refuses_what_is_no_dimension(dimension: object) -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)dimension.*received: .*instead: "):
        HypersphericalUniform(dimension)  # pyright: ignore[reportArgumentType]


def test_refuses_a_value_off_the_sphere() -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)support.*received: .*instead: "):
        HypersphericalUniform(3).log_prob(torch.ones(3))
