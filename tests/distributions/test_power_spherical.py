from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import kl_divergence

import reparam as rp
from reparam.distributions import HypersphericalUniform, PowerSpherical, VonMisesFisher
from reparam.errors import InvalidArgument

from .conformance import CHECKS, Case, seeded
from .sphere import direction, direction_in, integrates_to_one, is_safe_at_every_direction, moves_as_its_moments_do

EXTREMES = tuple({"concentration": k} for k in (0.0, 1e-6, 300.0, 1e5))
CASES = [
    Case(PowerSpherical, {"loc": direction(0.6, -0.8), "concentration": 0.7}, extremes=EXTREMES),
    Case(PowerSpherical, {"loc": direction(1.0, 0.0, 0.0), "concentration": 3.0}, extremes=EXTREMES),
]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES, ids=["d2", "d3-at-a-pole"])
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("kappa", [0.0, 2.0, 40.0])
def test_integrates_to_one(d: int, kappa: float) -> None:
    integrates_to_one(PowerSpherical(direction_in(d), kappa))


@pytest.mark.parametrize("d", [2, 3, 5])
def test_moves_as_its_moments_do(d: int) -> None:
    moves_as_its_moments_do(PowerSpherical, direction_in(d), 2.0)


def test_is_safe_at_every_direction() -> None:
    is_safe_at_every_direction(PowerSpherical)


def test_polar_coordinate_in_three_dimensions_moves_as_its_quantile() -> None:
    """There F(w) = ((1 + w) / 2)^(kappa + 1), so log((1 + w) / 2) moves by -itself / (kappa + 1)."""
    kappa = torch.tensor(2.5, dtype=torch.float64)
    pole = direction(0.0, 1.0, 0.0)

    def log_half(k: torch.Tensor) -> torch.Tensor:
        x = rp.rsample(PowerSpherical(pole, k, validate_args=False), (50,), noise=seeded())
        return (0.5 * (1 + x[:, 1])).log()

    value, slope = torch.func.jvp(log_half, (kappa,), (torch.ones_like(kappa),))
    torch.testing.assert_close(slope, -value / (kappa + 1), rtol=1e-9, atol=1e-12)


def test_score_reaches_a_concentration_of_zero() -> None:
    kappa = torch.zeros((), dtype=torch.float64, requires_grad=True)
    x = direction(0.0, 0.6, 0.8)
    log_prob = PowerSpherical(direction(0.0, 0.0, 1.0), kappa).log_prob(x)
    score = torch.autograd.grad(log_prob, kappa)[0].item()
    # d/dkappa of kappa log((1 + w) / 2) + log((kappa + 1) / (4 pi)) at 0.
    assert score == pytest.approx(math.log(0.9) + 1)


def test_divergences_are_mean_log_ratios() -> None:
    p = PowerSpherical(direction_in(5), torch.tensor([0.0, 1.0, 30.0], dtype=torch.float64))
    others = (
        HypersphericalUniform(5, dtype=torch.float64),
        VonMisesFisher(direction(0.2, 1.0, -0.4, 0.1, 0.3), torch.tensor([2.0, 0.0, 20.0], dtype=torch.float64)),
    )
    x = rp.rsample(p, (20_000,), noise=seeded(2))
    for q in others:
        ratio = p.log_prob(x) - q.log_prob(x)
        error = ratio.std(0) / math.sqrt(len(x)) + 1e-12
        assert ((ratio.mean(0) - kl_divergence(p, q)).abs() < 5.5 * error).all()
    with pytest.raises(InvalidArgument, match=r"(?s)same sphere.*received: .*instead: "):
        kl_divergence(p, HypersphericalUniform(3))
