from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from torch.distributions import (
    Beta,
    Cauchy,
    ContinuousBernoulli,
    Distribution,
    Exponential,
    Independent,
    Laplace,
    Normal,
    Poisson,
    Weibull,
)

import reparam as rp
from reparam.distributions import JohnsonSU, Truncated, TruncatedNormal
from reparam.errors import InvalidArgument, UnsupportedTransform

from . import conformance
from .conformance import UNIVARIATE_CHECKS, Case, pairs, seeded

# The base is torch's, and so are the errors about its parameters; half precision raises, which is tested below.
NOT_ITS_OWN = (
    conformance.raises_in_three_parts,
    conformance.validates_though_torch_does_not,
    conformance.holds_in_half_precision,
)
ITS_OWN = [check for check in UNIVARIATE_CHECKS if check not in NOT_ITS_OWN]


def weibull(x, scale, concentration):
    return 1 - mpmath.exp(-((x / scale) ** concentration))


def laplace(x, loc, scale):
    z = (x - loc) / scale
    return mpmath.exp(z) / 2 if z < 0 else 1 - mpmath.exp(-z) / 2


def cauchy(x, loc, scale):
    return mpmath.mpf(1) / 2 + mpmath.atan((x - loc) / scale) / mpmath.pi


def row(base, reference: Callable, low: float, high: float, **parameters: float) -> Case:
    def build(low, high, **of_base):
        return Truncated(base(**of_base), low, high)

    def cdf(x, low, high, **of_base):
        below, above = reference(low, **of_base), reference(high, **of_base)
        return (reference(x, **of_base) - below) / (above - below)

    return Case(Truncated, parameters | {"low": low, "high": high}, cdf, build=build)


CASES = [
    row(Weibull, weibull, 0.5, 2.0, scale=1.2, concentration=1.7),
    row(Laplace, laplace, 3.0, 9.0, loc=0.4, scale=0.5),
    row(Cauchy, cauchy, -2.0, 40.0, loc=0.4, scale=0.5),
]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, ITS_OWN))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


def test_agrees_with_the_truncated_normal() -> None:
    loc, scale = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 1.2))
    u = torch.tensor([1e-3, 0.4, 0.9], dtype=torch.float64)
    for low, high in ((-1.0, 2.0), (8.0, 9.0), (-30.0, -25.0), (5.0, torch.inf)):
        one, two = Truncated(Normal(loc, scale), low, high), TruncatedNormal(loc, scale, low, high)
        x, y = rp.rsample(one, (3,), noise=u), rp.rsample(two, (3,), noise=u)
        torch.testing.assert_close(x, y, rtol=1e-9, atol=0)
        torch.testing.assert_close(one.log_prob(y.detach()), two.log_prob(y.detach()), rtol=1e-9, atol=0)
        slopes = (torch.autograd.grad(sample.sum(), (loc, scale)) for sample in (x, y))
        torch.testing.assert_close(*slopes, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("base", [Normal, Laplace, Cauchy])
def test_float32_upper_tail_is_the_lower_one_reflected(base) -> None:
    u = torch.tensor([0.1, 0.5, 0.9])
    centre, unit = torch.tensor(0.0), torch.tensor(1.0)
    upper = rp.rsample(Truncated(base(centre, unit), 9.0, 10.0), (3,), noise=u)
    lower = rp.rsample(Truncated(base(centre, unit), -10.0, -9.0), (3,), noise=1 - u)
    torch.testing.assert_close(upper, -lower)
    assert ((upper > 9) & (upper < 10)).all()
    assert upper.unique().numel() == 3


def test_one_sided_by_default() -> None:
    base = Exponential(torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert torch.equal(Truncated(base).log_prob(torch.ones(2)), base.log_prob(torch.ones(2)))
    x = rp.rsample(Truncated(base, low=3.0), (20_000,), noise=seeded())
    # Without memory: the excess over 3 is the exponential again, whose mean has standard error 1 / (rate sqrt n).
    assert ((x - 3).mean(0) - 1 / base.rate).abs().mul(base.rate).max() < 5.5 / 20_000**0.5


def test_of_one_of_ours() -> None:
    d = Truncated(JohnsonSU(torch.tensor(0.3), 1.5), -1.0, 2.0)
    assert repr(d).startswith("Truncated(JohnsonSU(skewness: 0.3")
    assert d.support.check(d.rsample((100,))).all()


@pytest.mark.parametrize(
    ("base", "what"),
    [
        (Beta(2.0, 3.0), "Beta has no cdf and no icdf"),
        (Poisson(3.0), "Poisson has no cdf and no icdf"),
        (Independent(Normal(torch.zeros(2), 1.0), 1), "univariate"),
    ],
)
def test_bases_that_cannot_be_truncated(base, what: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"(?s){what}.*received: .*instead: "):
        Truncated(base, 0.0, 1.0)


def test_half_precision_is_refused() -> None:
    with pytest.raises(UnsupportedTransform, match=r"(?s)half precision.*received: .*bfloat16.*instead: "):
        Truncated(Normal(torch.zeros((), dtype=torch.bfloat16), 1.0), 0.0, 1.0)


def test_an_interval_without_mass() -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)no mass.*received: .*TruncatedNormal"):
        Truncated(Normal(torch.tensor(0.0), 1.0), 40.0, 41.0)
    with pytest.raises(InvalidArgument, match=r"(?s)low must be below high.*received: .*instead: "):
        Truncated(Normal(torch.tensor(0.0), 1.0), 1.0, -1.0)


def bernoulli(x, logits):
    return x if logits == 0 else mpmath.expm1(logits * x) / mpmath.expm1(logits)


def pareto(x, concentration):
    return -mpmath.expm1(-x if concentration == 0 else -mpmath.log1p(concentration * x) / concentration)


def generalized_pareto(concentration: torch.Tensor) -> Distribution:
    zero, one = torch.zeros_like(concentration), torch.ones_like(concentration)
    return torch.distributions.GeneralizedPareto(zero, one, concentration)


SINGULAR: list[tuple[Callable, Callable]] = [(lambda logits: ContinuousBernoulli(logits=logits), bernoulli)]
if hasattr(torch.distributions, "GeneralizedPareto"):  # torch 2.10 or later
    SINGULAR.append((generalized_pareto, pareto))


@pytest.mark.parametrize("at", [0.0, 1e-4, -0.4, 2.0])
@pytest.mark.parametrize(("base", "cdf"), SINGULAR)
def test_bases_with_a_removable_singularity_move_there_too(base, cdf: Callable, at: float) -> None:
    """torch's own functions answer with those of the singular point all around it, whose gradient is 0."""
    leaf = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    d, u = Truncated(base(leaf), 0.1, 0.9), torch.tensor([0.2, 0.7], dtype=torch.float64)
    x = rp.rsample(d, (2,), noise=u)
    torch.testing.assert_close(d.cdf(x), u)

    def truncated(x, theta):
        return (cdf(x, theta) - cdf(0.1, theta)) / (cdf(0.9, theta) - cdf(0.1, theta))

    slopes = torch.stack([torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in x])
    with mpmath.workdps(40):
        for one, slope in zip(x.tolist(), slopes.tolist(), strict=True):
            moved, density = (mpmath.diff(truncated, (mpmath.mpf(one), mpmath.mpf(at)), n) for n in ((0, 1), (1, 0)))
            assert slope == pytest.approx(float(-moved / density), rel=1e-9)
