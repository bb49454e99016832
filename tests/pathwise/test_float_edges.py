"""Laws wider than the floats, in float32: inside the support, finite, and moved."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp

N = 20_000


def shape(value: float) -> torch.Tensor:
    return torch.tensor(value, requires_grad=True)


EDGES = {
    "Kumaraswamy(.05, .05)": lambda a: td.Kumaraswamy(a, a),
    "Kumaraswamy(.001, .001)": lambda a: td.Kumaraswamy(a / 50, a / 50),
    "Pareto(1, .05)": lambda a: td.Pareto(torch.ones_like(a), a),
    "Weibull(1, .05)": lambda a: td.Weibull(torch.ones_like(a), a),
    "Gamma(.05)": lambda a: td.Gamma(a, torch.ones_like(a)),
    "Gamma(.001)": lambda a: td.Gamma(a / 50, torch.ones_like(a)),
    "Beta(.05, .05)": lambda a: td.Beta(a, a),
    "Beta(.001, .001)": lambda a: td.Beta(a / 50, a / 50),
    "RelaxedBernoulli(.05)": lambda a: td.RelaxedBernoulli(a, logits=torch.tensor(0.3)),
    "HalfCauchy": td.HalfCauchy,
}


@pytest.mark.parametrize("name", EDGES)
def test_inside_the_support_with_a_finite_gradient(name: str):
    parameter = shape(0.05)
    dist = EDGES[name](parameter)
    assert dist.support is not None
    x = rp.rsample(dist, (N,))
    assert torch.isfinite(x).all()
    assert dist.support.check(x).all()
    (slope,) = torch.autograd.grad(x.clamp(max=1e3).mean(), parameter)
    assert torch.isfinite(slope)
    assert slope != 0


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_a_pareto_beyond_the_floats_saturates_and_its_gradient_is_held(alpha: float):
    parameter = shape(alpha)
    e = torch.tensor(88.8 * alpha)
    x = rp.rsample(td.Pareto(torch.tensor(1.0), parameter), noise=e)
    assert x.item() == pytest.approx(torch.finfo(torch.float32).max, rel=1e-4)
    assert -torch.finfo(torch.float32).max / 1e3 < torch.autograd.grad(x, parameter)[0] < 0


def test_kumaraswamy_is_never_one():
    x = rp.rsample(td.Kumaraswamy(torch.tensor(0.05), torch.tensor(0.05)), (N,))
    assert (x < 1).all()


def test_relaxed_one_hot_passes_torchs_own_check_at_a_low_temperature():
    dist = td.RelaxedOneHotCategorical(torch.tensor(0.1), logits=torch.randn(10))
    assert td.constraints.simplex.check(rp.rsample(dist, (N,))).all()


def test_dirichlet_of_a_thousand_tiny_concentrations():
    # torch puts 92% of the components at the smallest float; here they are ordered, and move.
    concentration = torch.full((1000,), 1e-3, requires_grad=True)
    dist = td.Dirichlet(concentration)
    x = rp.rsample(dist, (50,))
    assert td.constraints.simplex.check(x).all()
    largest = x.max(-1)
    (slope,) = torch.autograd.grad(largest.values.log().sum(), concentration)
    assert torch.isfinite(slope).all()
    # E[max] is that of Poisson and Dirichlet's law with parameter 1, Golomb and Dickman's constant.
    assert largest.values.mean().item() == pytest.approx(0.6243, abs=6 * 0.19 / 50**0.5)


@pytest.mark.parametrize("df", [0.01, 0.05])
def test_heavy_tails_keep_the_gradient_of_their_logarithm(df: float):
    parameter = shape(df)
    t = rp.rsample(td.StudentT(parameter), (N,))
    g = rp.rsample(td.InverseGamma(parameter, torch.ones_like(parameter)), (N,))
    assert torch.isfinite(t).all()
    assert torch.isfinite(g).all()
    for x in (t.abs(), g):
        (slope,) = torch.autograd.grad(x.log().mean(), parameter)
        assert torch.isfinite(slope)
        assert slope < 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_float32_rounded_once(dtype: torch.dtype):
    scale, alpha, e = (torch.tensor(v, dtype=dtype) for v in (1.5, 2.5, 0.7))
    wide = rp.rsample(td.Pareto(scale.float(), alpha.float()), noise=e.float())
    assert rp.rsample(td.Pareto(scale, alpha), noise=e) == wide.to(dtype)


@pytest.mark.parametrize("temperature", [1e-3, 1e-19, 1e-30, 1e-38, 1e-42])
@pytest.mark.parametrize("cls", [td.RelaxedBernoulli, td.RelaxedOneHotCategorical])
def test_a_temperature_near_zero_is_finite_in_value_and_gradient(cls: type, temperature: float):
    t = torch.tensor(temperature, requires_grad=True)
    logits = torch.linspace(-3, 3, 8).requires_grad_()
    x = rp.rsample(cls(t, logits=logits), (500,))
    assert bool(torch.isfinite(x).all())
    for gradient in torch.autograd.grad(x.square().sum(), [t, logits]):
        assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: td.StudentT(p),
        lambda p: td.InverseGamma(p, torch.ones_like(p)),
        lambda p: td.Pareto(torch.ones_like(p), p),
        lambda p: td.Weibull(torch.ones_like(p), p),
    ],
    ids=["StudentT", "InverseGamma", "Pareto", "Weibull"],
)
def test_tails_beyond_the_floats_have_finite_gradients_of_the_right_sign(make, dtype: torch.dtype):
    """At 0.01 half the samples are at or beyond the largest float; their summed gradient was NaN or infinite."""
    shape = torch.full((2000,), 0.01, dtype=dtype, requires_grad=True)
    x = rp.rsample(make(shape))
    (gradient,) = torch.autograd.grad(x.sum(), shape)
    assert bool(torch.isfinite(x).all())
    assert bool(torch.isfinite(gradient.sum()))
    far = x.abs() > 10
    # A heavier tail is further out: raising the shape pulls every far sample inwards.
    assert bool((gradient[far] * x[far].sign() < 0).all())


class Centred:
    """Noise whose normals are all 0, as one float32 normal in twenty million is."""

    def normal(self, shape, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.zeros(tuple(shape), dtype=dtype, device=device)

    def uniform(self, shape, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.full(tuple(shape), 0.3, dtype=dtype, device=device)

    exponential = uniform


HALF, AXIS = torch.tensor(0.5), torch.tensor([1.0, 0.0])
AT_A_CENTRE = {
    "StudentT": lambda: td.StudentT(HALF),
    "HalfStudentT": lambda: rp.distributions.HalfStudentT(HALF),
    "MultivariateStudentT": lambda: rp.distributions.MultivariateStudentT(HALF, torch.zeros(2), torch.eye(2)),
    "VonMisesFisher": lambda: rp.distributions.VonMisesFisher(AXIS, HALF),
    "PowerSpherical": lambda: rp.distributions.PowerSpherical(AXIS, HALF),
    "HypersphericalUniform": lambda: rp.distributions.HypersphericalUniform(2),
    "LKJCholesky": lambda: td.LKJCholesky(2, HALF),
}


@pytest.mark.parametrize("name", AT_A_CENTRE)
def test_a_normal_that_is_exactly_zero_makes_no_nan(name: str):
    dist = AT_A_CENTRE[name]()
    x = rp.rsample(dist, noise=Centred())
    assert torch.isfinite(x).all()
    assert dist.support is not None
    assert dist.support.check(x).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("concentration", [1e-10, 1e-12, 1e-20, 1e-30])
def test_a_gamma_of_almost_no_concentration_is_almost_zero(concentration: float, dtype: torch.dtype):
    """Its logarithm is near -1e10, where adding and taking away as much leaves any small number: the sample was 1."""
    a = torch.full((3,), concentration, dtype=dtype)
    x = rp.rsample(td.Gamma(a, torch.ones_like(a)), (500,))
    assert (x > 0).all()
    assert (x < 1.01 * torch.finfo(dtype).tiny).all()
    assert td.constraints.simplex.check(rp.rsample(td.Dirichlet(a), (500,))).all()


def test_the_logarithm_of_a_gamma_moves_where_the_gamma_is_the_smallest_float():
    a = torch.full((2000,), 1e-10, requires_grad=True)
    x = rp.rsample(td.Gamma(a, torch.ones_like(a)))
    # log x is minus an exponential over a, so its derivative, times the square of a, is an exponential.
    moved = torch.autograd.grad(x.log().sum(), a)[0] * 1e-20
    assert abs(moved.mean().item() - 1) < 6 / 2000**0.5
