from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import reparam as rp
from reparam.distributions import TanhNormal
from reparam.errors import InvalidArgument

from .conformance import UNIVARIATE_CHECKS, Case, pairs, seeded


def cdf(x, loc, scale, low, high):
    return mpmath.ncdf((mpmath.atanh((2 * x - low - high) / (high - low)) - loc) / scale)


def row(loc: float, scale: float, low: float = -1.0, high: float = 1.0, **more) -> Case:
    return Case(TanhNormal, {"loc": loc, "scale": scale, "low": low, "high": high}, cdf, **more)


EXTREMES = ({"loc": 30.0}, {"loc": -30.0, "scale": 10.0}, {"scale": 1e-6}, {"low": -1e-3, "high": 1e4})
CASES = [row(0.3, 0.8, extremes=EXTREMES), row(-0.5, 0.6, -2.0, 5.0)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def exact_log_prob(z: float, loc: float, scale: float) -> float:
    z, loc, scale = map(mpmath.mpf, (z, loc, scale))
    return float(mpmath.log(mpmath.npdf(z, loc, scale)) + 2 * mpmath.log(mpmath.cosh(z)))


@pytest.mark.parametrize("loc", [-40.0, 12.0, 300.0])
def test_log_prob_of_a_saturated_sample(loc: float) -> None:
    policy = TanhNormal(torch.tensor(loc, requires_grad=True), torch.tensor(0.5, requires_grad=True))
    eps = torch.tensor(1.25)
    x = rp.rsample(policy, noise=eps)
    assert x.abs() == 1
    log_prob = policy.log_prob(x)
    assert log_prob.item() == pytest.approx(exact_log_prob(loc + 0.5 * 1.25, loc, 0.5), rel=1e-6)
    # z - loc is fixed noise, so only the squashing and log(scale) move: d/dloc = 2 tanh z, d/dscale = that * eps - 2.
    by_loc, by_scale = torch.autograd.grad(log_prob, (policy.loc, policy.scale))
    sign = 1 if loc > 0 else -1
    assert by_loc.item() == pytest.approx(2 * sign, rel=1e-5)
    assert by_scale.item() == pytest.approx(2 * sign * 1.25 - 2, rel=1e-5)


def test_sample_and_log_prob_at_once() -> None:
    policy = TanhNormal(torch.tensor([0.1, 25.0]), torch.tensor(1.0))
    x, log_prob = policy.rsample_with_log_prob((64,))
    assert (x[:, 1] == 1).all()
    assert torch.isfinite(log_prob).all()
    # Another tensor with the same values is not remembered, and away from the bounds needs no memory.
    torch.testing.assert_close(policy.log_prob(x.clone())[:, 0], log_prob[:, 0], rtol=1e-4, atol=1e-4)


def test_a_foreign_value_on_the_bound_is_the_last_float_inside() -> None:
    policy = TanhNormal(torch.tensor(0.0), torch.tensor(1.0))
    inside = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    assert policy.log_prob(torch.tensor(1.0)) == policy.log_prob(inside)
    assert policy.cdf(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]


def test_half_precision_remembers_the_unrounded_z() -> None:
    policy = TanhNormal(torch.tensor(8.0, dtype=torch.bfloat16), torch.tensor(1.0, dtype=torch.bfloat16))
    x, log_prob = policy.rsample_with_log_prob((1000,))
    assert x.dtype == log_prob.dtype == torch.bfloat16
    assert log_prob.float().std() > 0.5


def test_kl_is_that_of_the_normals() -> None:
    p, q = TanhNormal(0.5, 2.0, -3.0, 3.0), TanhNormal(-1.0, 1.0, -3.0, 3.0)
    assert kl_divergence(p, q) == kl_divergence(Normal(0.5, 2.0), Normal(-1.0, 1.0))
    with pytest.raises(InvalidArgument, match=r"(?s)bounds are the same.*received: .*instead: "):
        kl_divergence(p, TanhNormal(0.0, 1.0))


def test_bounds_out_of_order() -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)low must be below high.*received: .*instead: "):
        TanhNormal(0.0, 1.0, 1.0, -1.0)


def test_samples_stay_inside_any_bounds() -> None:
    policy = TanhNormal(torch.tensor(3.0), torch.tensor(5.0), 0.1, 0.7)
    x = rp.rsample(policy, (10_000,), noise=seeded())
    assert policy.support.check(x).all()


def test_a_sample_changed_in_place_is_no_longer_the_one_remembered() -> None:
    policy = TanhNormal(torch.tensor(2.0), torch.tensor(1.0))
    x = policy.sample((5,))
    x.mul_(0.5)
    torch.testing.assert_close(policy.log_prob(x), policy.log_prob(x.clone()))
    with torch.inference_mode():
        y = policy.sample((5,))
        assert torch.isfinite(policy.log_prob(y)).all()
