from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from scipy import stats
from torch.distributions import kl_divergence

import reparam as rp
from reparam.distributions import InverseGaussian
from reparam.distributions._normal import mills_gap
from reparam.errors import InvalidArgument

from .conformance import UNIVARIATE_CHECKS, Case, pairs, seeded


def cdf(x, loc, concentration):
    root = mpmath.sqrt(concentration / x)
    first = mpmath.ncdf(root * (x / loc - 1))
    return first + mpmath.exp(2 * concentration / loc) * mpmath.ncdf(-root * (x / loc + 1))


def row(loc: float, concentration: float, **more) -> Case:
    law = stats.invgauss(loc / concentration, scale=concentration)
    moments = {"mean": float(law.mean()), "variance": float(law.var())}
    return Case(InverseGaussian, {"loc": loc, "concentration": concentration}, cdf, moments=moments, **more)


EXTREMES = (
    {"concentration": 1e-4},
    {"concentration": 1e8},
    {"loc": 1e6, "concentration": 1e-3},
    {"loc": 1e-6},
)
CASES = [row(1.3, 0.7, extremes=EXTREMES), row(0.2, 40.0), row(5.0, 1e5)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_mills_gap_where_it_would_cancel() -> None:
    z = torch.tensor([0.0, 0.5, 2.9, 3.1, 30.0, 1e4], dtype=torch.float64)
    with mpmath.workdps(60):
        exact = [float(1 - t * mpmath.ncdf(-t) / mpmath.npdf(t)) for t in map(mpmath.mpf, z[:-1].tolist())]
    assert mills_gap(z).tolist() == pytest.approx([*exact, 1e-8 - 3e-16], rel=1e-12, abs=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cdf_does_not_overflow_at_large_concentration(dtype: torch.dtype) -> None:
    d = InverseGaussian(torch.tensor(1.0, dtype=dtype), 1e6)
    x = torch.tensor([0.99, 1.0, 1.003], dtype=dtype)
    exact = [float(cdf(mpmath.mpf(v), 1, 10**6)) for v in x.tolist()]
    assert d.cdf(x).tolist() == pytest.approx(exact, rel=2e-4 if dtype == torch.float32 else 1e-10)


def test_gradient_of_the_slopes_follows_the_implicit_curve() -> None:
    """d2x/dloc2 against a step along the curve of constant probability, by mpmath's root."""
    loc = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    x = rp.rsample(InverseGaussian(loc, 0.7), noise=seeded(3))
    (first,) = torch.autograd.grad(x, loc, create_graph=True)
    (second,) = torch.autograd.grad(first, loc)
    with mpmath.workdps(30):
        level = cdf(mpmath.mpf(x.item()), mpmath.mpf(loc.item()), mpmath.mpf(0.7))

        def quantile(mu):
            return mpmath.findroot(lambda t: cdf(t, mu, mpmath.mpf(0.7)) - level, x.item())

        exact = mpmath.diff(quantile, mpmath.mpf(loc.item()), 2)
    assert second.item() == pytest.approx(float(exact), rel=1e-7)


def test_kl_against_quadrature() -> None:
    p, q = (InverseGaussian(torch.tensor(m).double(), k) for m, k in ((1.5, 2.0), (0.75, 3.0)))
    t = torch.linspace(-12, 8, 20_001, dtype=torch.float64)
    x = t.exp()
    integrand = p.log_prob(x).exp() * (p.log_prob(x) - q.log_prob(x)) * x
    assert kl_divergence(p, q).item() == pytest.approx(torch.trapezoid(integrand, t).item(), rel=1e-9)


def test_base_noise_as_a_tensor_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="more than one piece of base noise"):
        rp.rsample(InverseGaussian(1.0, 1.0), noise=torch.tensor(0.5))
