"""What users of today's libraries run into, where a continuous law is concerned: a named test for each.

These stand elsewhere, next to the family they are about:

* ContinuousBernoulli stands still near 1/2: `pathwise/test_removable.py`,
  `test_continuous_bernoulli_moves_where_torch_stands_still`; GeneralizedPareto at 0: there, `test_generalized_pareto`.
* Beta and Dirichlet of unequal shapes: `pathwise/test_implicit.py`, `test_beta_with_one_large_shape` (means) and
  `test_float32_beta_of_very_unequal_shapes_is_finite`; the sign: `special/test_beta.py`,
  `test_where_other_libraries_fail`.
* Beta(a, a) piles up at 1/2: `pathwise/test_implicit.py`, `test_beta_of_two_tiny_shapes_moves_at_its_true_rate`.
* Dirichlet of a thousand components at 1e-3 in float32: `pathwise/test_float_edges.py`,
  `test_dirichlet_of_a_thousand_tiny_concentrations`; there too the ends of the float32 range of Kumaraswamy, Pareto,
  RelaxedOneHotCategorical, InverseGamma and StudentT.
* Wishart cannot go backward: `pathwise/test_matrices.py`, `test_wishart_second_moments`.
* Mixtures in two dimensions: `pathwise/test_mixture.py`, `test_cross_moments_in_two_dimensions`.
* von Mises-Fisher without its correction, d = 5 and kappa = 2: `distributions/test_von_mises_fisher.py`,
  `test_expectations_of_the_polar_coordinate_move_exactly`; at the mean direction e1, there and in
  `distributions/test_power_spherical.py`, `test_is_safe_at_every_direction`.
* TruncatedNormal at 30 sigma in float32: `distributions/test_truncated_normal.py`, `test_float32_at_thirty_sigma`.
* Classes without a sample gradient (VonMises, MixtureSameFamily, LKJCholesky), second derivatives, and `vmap` in each
  randomness mode: every row of `cases`, by `pathwise/test_table.py`.
* `torch.compile(fullgraph=True)`, static and dynamic, which fails on torch's Gamma, Beta, Dirichlet, VonMises and
  Wishart: `test_matrix.py`.
* torch's process-wide validation switch: `pathwise/test_validation.py`, `test_our_check_stands_when_torch_s_is_off`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp

with warnings.catch_warnings():  # torch imports this at the first jvp, and it warns about torch.jit
    warnings.simplefilter("ignore")
    import torch._decomp.decompositions_for_jvp

F64 = torch.float64


def leaf(*values: float, dtype: torch.dtype = F64) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def test_a_normal_around_a_tensor_of_means_moves_with_it():
    """`torch.normal(mean, std)` of tensors has a `grad_fn`, and its gradient in the mean is 0; it is 1."""
    mean, std = leaf(0.5, -1.0), leaf(1.0, 2.0)
    x = rp.rsample(td.Normal(mean, std))
    to_mean, to_std = torch.autograd.grad(x.sum(), (mean, std))
    assert (to_mean == 1).all()
    torch.testing.assert_close(to_std, (x - mean).detach() / std.detach())


def gamma_slope(a: float, x: float) -> float:
    """Minus the slope of the distribution function in a over the density."""
    with mp.workdps(60):
        a, x = mp.mpf(a), mp.mpf(x)
        moved = mp.diff(lambda s: mp.gammainc(s, 0, x, regularized=True), a)
        return float(-moved / mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a)))


@pytest.mark.parametrize("u", [1e-4, 0.3, 0.9, 0.9999, 1 - 1e-9])
@pytest.mark.parametrize("a", [0.3, 2.0, 40.0])
def test_gamma_in_the_bulk_and_in_the_upper_tail(a: float, u: float):
    """torch's derivative, in float64 too, is a few digits of a series: off by 5e-4 in the bulk, 2e-2 in the tail."""
    concentration = leaf(a)
    x = rp.rsample(td.Gamma(concentration, torch.ones(1, dtype=F64)), noise=torch.tensor([u], dtype=F64))
    (slope,) = torch.autograd.grad(x, concentration)
    assert slope.item() == pytest.approx(gamma_slope(a, x.item()), rel=1e-10)


def test_gamma_of_a_million_in_float32():
    """JAX's derivative is off by 7e-2 here. Wilson and Hilferty's cube is x = a (1 - 1/(9a) + z/(3 sqrt a))^3."""
    a = leaf(1e6, dtype=torch.float32)
    x = rp.rsample(td.Gamma(a.expand(1000), torch.ones(1000)))
    slopes = torch.stack([torch.autograd.grad(entry, a, retain_graph=True)[0] for entry in x[:20]])
    z = 3e3 * ((x[:20].detach().double() / 1e6) ** (1 / 3) - 1 + 1 / 9e6)
    root = 1 - 1 / 9e6 + z / 3e3
    exact = root**3 + 3 * root**2 * (1 / 9e6 - z / 6e3)
    torch.testing.assert_close(slopes[:, 0].double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("sigmas", [5.0, 8.0, 30.0])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_normal_truncated_to_its_tail(dtype: torch.dtype, sigmas: float, side: float):
    """TFP puts samples at the far bound, and NaN beyond 5 sigma in float32 and 8 in float64."""
    loc, scale = leaf(0.0, dtype=dtype), leaf(1.0, dtype=dtype)
    bounds = sorted((side * sigmas, side * (sigmas + 1)))
    low, high = (torch.tensor([b], dtype=dtype) for b in bounds)
    dist = rp.distributions.TruncatedNormal(loc, scale, low, high)
    x = rp.rsample(dist, (4000,))
    # At 30 sigma one draw in 30,000 is nearer to the near bound than half a float32 spacing, and rounds to it.
    assert dist.support.check(x).all()
    assert (x != side * (sigmas + 1)).all()
    slopes = torch.autograd.grad(x.mean(), (loc, scale))
    assert all(torch.isfinite(slope).all() for slope in slopes)
    # Beyond t sigmas the law is that of an Exponential(t), whose own truncation at t + 1 is negligible.
    beyond = (x * side - sigmas).double()
    with mp.workdps(60):
        mass = mp.ncdf(-sigmas) - mp.ncdf(-sigmas - 1)
        exact = float((mp.npdf(sigmas) - mp.npdf(sigmas + 1)) / mass - sigmas)
    assert abs(beyond.mean().item() - exact) < 5.5 * beyond.std().item() / math.sqrt(4000)


def weight_gradients(m: float, n: int) -> Tensor:
    """Of E[x] in the second logit of half N(-m, 1) + half N(m, 1), a draw at a time; exactly m / 2."""
    logits = torch.zeros(n, 2, dtype=F64, requires_grad=True)
    loc, scale = torch.tensor([-m, m], dtype=F64).expand(n, 2), torch.ones(n, 2, dtype=F64)
    x = rp.rsample(td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(loc, scale)))
    return torch.autograd.grad(x.sum(), logits)[0][:, 1]


@pytest.mark.parametrize("m", [1.0, 2.0, 2.5])
def test_weights_of_a_mixture_are_right_on_average(m: float):
    """An implicit gradient carries a sample across the gap: right on average, of a variance without bound in m."""
    assert rp.testing.z_test(weight_gradients(m, 20_000), m / 2).passed


@pytest.mark.parametrize("m", [6.0, 10.0, 30.0])
def test_weights_of_a_mixture_whose_modes_are_far_apart(m: float):
    """At 10 sigma TFP and Pyro print wrong numbers that look converged. Here the gradient is finite and of one sign.

    The samples that carry it lie in the gap, where none is ever drawn; a sum over the components, which `expect`
    does, is the remedy.
    """
    gradients = weight_gradients(m, 2000)
    assert torch.isfinite(gradients).all()
    assert (gradients >= 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda t: td.RelaxedOneHotCategorical(t, logits=torch.tensor([0.3, -1.0, 0.0])),
        lambda t: td.RelaxedBernoulli(t, logits=torch.tensor([0.3, -1.0])),
    ],
    ids=["categorical", "bernoulli"],
)
def test_temperature_zero(make: Callable[[Tensor], td.Distribution]):
    """`gumbel_softmax(tau=0)` is NaN. Zero is refused, and tiny temperatures are finite with their gradient."""
    with pytest.raises(rp.InvalidArgument, match=r"(?s)temperature must be positive.*received: .*instead: "):
        rp.rsample(make(torch.tensor(0.0)))
    temperature = torch.tensor(1e-15, requires_grad=True)
    x = rp.rsample(make(temperature), (100,))
    assert torch.isfinite(x).all()
    assert torch.isfinite(torch.autograd.grad(x[..., 0].sum(), temperature)[0])


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=F64)


IMPLICIT: dict[str, tuple[Callable[..., td.Distribution], tuple[Tensor, ...]]] = {
    "Gamma": (td.Gamma, (leaf(0.3, 5.0), leaf(2.0, 0.7))),
    "Chi2": (td.Chi2, (leaf(0.6, 7.0),)),
    "InverseGamma": (td.InverseGamma, (leaf(0.4, 9.0), leaf(2.0, 5.0))),
    "FisherSnedecor": (td.FisherSnedecor, (leaf(1.5, 8.0), leaf(3.0, 20.0))),
    "StudentT": (td.StudentT, (leaf(3.0, 9.0), leaf(0.5, -2.0), leaf(1.5, 0.3))),
    "Beta": (td.Beta, (leaf(0.3, 5.0), leaf(0.4, 0.7))),
    "Dirichlet": (td.Dirichlet, (leaf(0.3, 1.2, 2.0),)),
    "Wishart": (
        lambda df, root: td.Wishart(df, scale_tril=root, validate_args=False),
        (torch.tensor(4.5, dtype=F64), matrix((1.2, 0.0), (-0.5, 0.6))),
    ),
}


def sampled(name: str) -> Callable[..., Tensor]:
    make = IMPLICIT[name][0]
    return lambda *p: rp.rsample(make(*p), (3,), noise=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", IMPLICIT)
def test_forward_mode_agrees_with_backward(name: str):
    """torch's samplers raise in forward mode and at a second backward, and drop Beta's and Dirichlet's second term."""
    values = tuple(value.detach() for value in IMPLICIT[name][1])
    tangents = tuple(0.1 * torch.randn_like(value) for value in values)
    x, forward = torch.func.jvp(sampled(name), values, tangents)
    _, pull = torch.func.vjp(sampled(name), *values)
    weight = torch.randn_like(x)
    backward = sum((slope * tangent).sum() for slope, tangent in zip(pull(weight), tangents, strict=True))
    torch.testing.assert_close((forward * weight).sum(), backward)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["Gamma", "Beta", "Dirichlet", "StudentT"])
def test_half_precision_on_the_cpu(name: str, dtype: torch.dtype):
    """torch has no kernel for these; here the sample is the float32 one, rounded once."""
    make, values = IMPLICIT[name]
    halves = [value.detach().to(dtype).requires_grad_() for value in values]
    x = rp.rsample(make(*halves), (100,), noise=torch.Generator().manual_seed(5))
    wide = rp.rsample(make(*(h.detach().float() for h in halves)), (100,), noise=torch.Generator().manual_seed(5))
    assert x.dtype == dtype
    torch.testing.assert_close(x, wide.to(dtype))
    assert all(torch.isfinite(slope).all() for slope in torch.autograd.grad(x.sum(), halves))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_multivariate_normal_in_half_precision(dtype: torch.dtype):
    """torch cannot solve or factorise in half precision on the CPU; a Cholesky factor needs neither to be sampled."""
    loc, root = torch.zeros(2, dtype=dtype, requires_grad=True), torch.eye(2, dtype=dtype, requires_grad=True)
    x = rp.rsample(td.MultivariateNormal(loc, scale_tril=root), (3,))
    assert x.dtype == dtype
    assert all(torch.isfinite(slope).all() for slope in torch.autograd.grad(x.sum(), (loc, root)))


@pytest.mark.parametrize("mode", ["different", "same"])
def test_vmap_with_a_generator(mode: str):
    """None of torch's samplers takes a generator at all, under `vmap` or without."""
    generator = torch.Generator().manual_seed(0)

    def one(loc: Tensor) -> Tensor:
        return rp.rsample(td.Normal(loc, 1.0, validate_args=False), noise=generator)

    x = torch.vmap(one, randomness=mode)(torch.zeros(3))
    assert (x[0] == x[1]).item() == (mode == "same")


def test_a_compiled_wrapper_does_not_turn_our_checks_off():
    """Making any compiled function turns torch's validation off for the whole process: `Normal(0, -1)` then passes.

    A torch that has mended this raises its own error, at the constructor.
    """
    torch.compile(torch.sin, backend="eager")(torch.zeros(1))
    with pytest.raises((rp.InvalidArgument, ValueError), match="scale"):
        rp.rsample(td.Normal(0.0, -1.0))
