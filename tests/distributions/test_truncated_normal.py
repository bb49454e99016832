from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch

import reparam as rp
from reparam.distributions import TruncatedNormal
from reparam.errors import InvalidArgument

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, loc, scale, low, high):
    a, z, b = ((t - loc) / scale for t in (low, x, high))
    return (mpmath.ncdf(z) - mpmath.ncdf(a)) / (mpmath.ncdf(b) - mpmath.ncdf(a))


def statistics(loc: float, scale: float, low: float, high: float) -> dict[str, float]:
    with mpmath.workdps(60):
        a, b = (mpmath.mpf(low) - loc) / scale, (mpmath.mpf(high) - loc) / scale
        mass = mpmath.ncdf(b) - mpmath.ncdf(a)
        mean = (mpmath.npdf(a) - mpmath.npdf(b)) / mass
        square = 1 + (a * mpmath.npdf(a) - b * mpmath.npdf(b)) / mass
        entropy = mpmath.log(mpmath.sqrt(2 * mpmath.pi) * scale * mass) + square / 2
        variance = scale**2 * (square - mean**2)
        return {"mean": float(loc + scale * mean), "variance": float(variance), "entropy": float(entropy)}


def row(loc: float, scale: float, low: float, high: float, **more) -> Case:
    names = {"loc": loc, "scale": scale, "low": low, "high": high}
    return Case(TruncatedNormal, names, cdf, moments=statistics(**names), **more)


EXTREMES = (
    {"low": 60.3, "high": torch.inf},
    {"low": -torch.inf, "high": -59.7},
    {"low": 60.3, "high": 60.31},
    {"low": -torch.inf, "high": torch.inf},
    {"low": 2e3, "high": 1e5},
    {"low": -1e30, "high": 1e30},
)
CASES = [row(0.3, 2.0, -1.0, 2.5, extremes=EXTREMES), row(-1.0, 0.5, 0.1, 3.0), row(0.5, 1.0, -20.0, -7.0)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("u", [1e-6, 0.3, 0.999])
def test_float32_at_thirty_sigma(side: float, u: float) -> None:
    """Value and all four derivatives against mpmath, at the float32 parameters and noise themselves."""
    ends = (30.0, 31.0) if side > 0 else (-31.0, -30.0)
    leaves = [torch.tensor(v, requires_grad=True) for v in (0.0, 1.0, *ends)]
    noise = torch.tensor(u)
    x = rp.rsample(TruncatedNormal(*leaves), noise=noise)
    grads = torch.autograd.grad(x, leaves)
    with mpmath.workdps(250):
        level = mpmath.mpf(noise.item())

        def quantile(loc, scale, low, high):
            a, b = (mpmath.ncdf((t - loc) / scale) for t in (low, high))
            t = mpmath.mpf(x.item())
            for _ in range(9):  # Newton, from a start that is right to a float32
                t -= (mpmath.ncdf((t - loc) / scale) - a - level * (b - a)) * scale / mpmath.npdf((t - loc) / scale)
            return t

        point = [mpmath.mpf(leaf.item()) for leaf in leaves]
        assert x.item() == pytest.approx(float(quantile(*point)), rel=2e-7)
        for k, grad in enumerate(grads):
            order = tuple(int(j == k) for j in range(4))
            assert grad.item() == pytest.approx(float(mpmath.diff(quantile, tuple(point), order)), rel=1e-6, abs=1e-11)


def test_infinite_bounds_are_the_normal() -> None:
    loc, scale = torch.tensor(1.5, requires_grad=True), torch.tensor(0.7, requires_grad=True)
    low, high = torch.tensor(-torch.inf, requires_grad=True), torch.tensor(torch.inf, requires_grad=True)
    d = TruncatedNormal(loc, scale, low, high)
    normal = torch.distributions.Normal(1.5, 0.7)
    x = torch.tensor([-1.0, 1.5, 2.0])
    torch.testing.assert_close(d.log_prob(x), normal.log_prob(x))
    torch.testing.assert_close(d.cdf(x), normal.cdf(x))
    torch.testing.assert_close(d.mean, torch.tensor(1.5))
    torch.testing.assert_close(d.variance, torch.tensor(0.49))
    u = torch.tensor(0.8)
    grads = torch.autograd.grad(rp.rsample(d, noise=u), (loc, scale, low, high))
    assert [g.item() for g in grads] == pytest.approx([1.0, torch.special.ndtri(u).item(), 0.0, 0.0], abs=1e-6)


def test_cdf_at_the_bounds() -> None:
    d = TruncatedNormal(torch.tensor(0.0), 1.0, 5.0, 6.0)
    assert d.cdf(torch.tensor([5.0, 6.0])).tolist() == [0, 1]
    assert d.icdf(torch.tensor([0.0, 1.0])).tolist() == [5, 6]


def test_moments_of_a_narrow_interval() -> None:
    d = TruncatedNormal(torch.tensor(0.0, dtype=torch.float64), 1.0, 2.0, 2.0 + 1e-7)
    width = (d.high - d.low).item()
    assert d.variance.item() == pytest.approx(width**2 / 12, rel=1e-7)


def test_bounds_out_of_order() -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)low must be below high.*received: .*instead: "):
        TruncatedNormal(0.0, 1.0, 2.0, 2.0)


def test_a_subclass_with_its_own_constructor_brings_its_own_expand() -> None:
    class Named(TruncatedNormal):
        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__(0.0, 1.0, -1.0, 1.0)

    class Plain(TruncatedNormal):
        pass

    with pytest.raises(NotImplementedError, match=r"must also define a custom \.expand"):
        Named("unit").expand((2,))
    assert Named("unit").log_prob(torch.tensor(0.0)) == TruncatedNormal(0.0, 1.0, -1.0, 1.0).log_prob(torch.tensor(0.0))
    assert type(Plain(0.0, 1.0, -1.0, 1.0).expand((2,))) is Plain
