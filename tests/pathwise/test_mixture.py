"""Mixtures: the weights and the components, means and cross moments."""

from __future__ import annotations

import pytest
import torch
from moments import LIMIT, gradient_z
from torch import Tensor
from torch import distributions as td

import reparam as rp

F64 = torch.float64


def t(values) -> Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=True)


LOGITS, LOC, SCALE = t([0.3, -0.2]), t([[0.0, 0.0], [1.0, 1.5]]), t([[1.0, 0.5], [0.7, 1.2]])
TRIL, DF = t([[[1.0, 0.0], [0.5, 0.7]], [[0.6, 0.0], [-0.4, 1.1]]]), t([9.0, 12.0])


def product() -> td.Distribution:
    return td.Independent(td.Normal(LOC, SCALE), 1)


def correlated() -> td.Distribution:
    return td.MultivariateNormal(LOC, scale_tril=TRIL.tril())


def heavy_tailed() -> td.Distribution:
    return rp.distributions.MultivariateStudentT(DF, LOC, TRIL.tril())


def mixture(components: td.Distribution) -> td.MixtureSameFamily:
    return td.MixtureSameFamily(td.Categorical(logits=LOGITS), components)


@pytest.mark.parametrize(("make", "scale"), [(product, SCALE), (correlated, TRIL)])
def test_cross_moments_in_two_dimensions(make, scale: Tensor):
    # Moving each coordinate by its own marginal gets the means right and d E[x0 x1] nine times too small.
    covariance = torch.diag_embed(SCALE**2) if make is product else TRIL.tril() @ TRIL.tril().mT
    exact = (LOGITS.softmax(-1) * (covariance[:, 0, 1] + LOC.prod(-1))).sum()
    parameters = [LOGITS, LOC, scale]
    slopes = torch.autograd.grad(exact, parameters, materialize_grads=True)
    z = gradient_z(lambda: rp.rsample(mixture(make()), (200,)), lambda x: x.prod(-1), parameters, slopes)
    assert z.abs().max() < LIMIT


def test_cross_moments_of_heavy_tails_in_two_dimensions():
    covariance = (DF / (DF - 2))[:, None, None] * TRIL.tril() @ TRIL.tril().mT
    exact = (LOGITS.softmax(-1) * (covariance[:, 0, 1] + LOC.prod(-1))).sum()
    parameters = [LOGITS, LOC, TRIL, DF]
    slopes = torch.autograd.grad(exact, parameters)
    z = gradient_z(lambda: rp.rsample(mixture(heavy_tailed()), (200,)), lambda x: x.prod(-1), parameters, slopes)
    assert z.abs().max() < LIMIT


UNIVARIATE = {
    "Normal": lambda a, b: td.Normal(a, b),
    "Gamma": td.Gamma,
    "Beta": td.Beta,
    "StudentT": lambda a, b: td.StudentT(a + 3, a, b),
    "LogNormal": td.LogNormal,
    "Weibull": lambda a, b: td.Weibull(a, b + 1),
    "InverseGamma": lambda a, b: td.InverseGamma(a + 3, b),
    "Gumbel": td.Gumbel,
    "Laplace": td.Laplace,
    "Exponential": lambda a, b: td.Exponential(a * b),
    "Uniform": lambda a, b: td.Uniform(-a, b),
    "Cauchy": td.Cauchy,
    "Chi2": lambda a, b: td.Chi2(a * b),
    "VonMises": td.VonMises,
    "HalfNormal": lambda a, b: td.HalfNormal(a * b),
    "HalfCauchy": lambda a, b: td.HalfCauchy(a * b),
    "Kumaraswamy": td.Kumaraswamy,
    "FisherSnedecor": lambda a, b: td.FisherSnedecor(a + 3, b + 4),
    "ContinuousBernoulli": lambda a, b: td.ContinuousBernoulli(logits=torch.log(a * b)),
    "Pareto": lambda a, b: td.Pareto(a, b + 2),
    "HalfStudentT": lambda a, b: rp.distributions.HalfStudentT(a + 3, b),
    "InverseGaussian": rp.distributions.InverseGaussian,
    "GeneralizedNormal": lambda a, b: rp.distributions.GeneralizedNormal(a, b, a + b),
    "JohnsonSU": rp.distributions.JohnsonSU,
    "SinhArcsinh": lambda a, b: rp.distributions.SinhArcsinh(a, b, a / 3, b),
    "ExpGamma": rp.distributions.ExpGamma,
    "LogitBeta": rp.distributions.LogitBeta,
    "TruncatedNormal": lambda a, b: rp.distributions.TruncatedNormal(a, b, -a, a + b),
    "Triangular": lambda a, b: rp.distributions.Triangular(-a, a + b, b),
    "TanhNormal": lambda a, b: rp.distributions.TanhNormal(a, b, -a, a + b),
}


@pytest.mark.parametrize("name", UNIVARIATE)
def test_first_and_second_derivatives_hold_the_distribution_function(name: str):
    # F(x(theta); theta) is a constant: its first and second derivative along the path must vanish.
    a, b = t([0.7, 2.0]), t([1.1, 0.8])
    dist = mixture(UNIVARIATE[name](a, b))
    x = rp.rsample(dist)
    path = [LOGITS, a, b]
    first = torch.autograd.grad(x, path, create_graph=True, materialize_grads=True)
    assert all((g != 0).any() for g in first)
    direction = [torch.randn_like(p) for p in path]
    velocity = torch.stack([(g * v).sum() for g, v in zip(first, direction, strict=True)]).sum()
    acceleration = sum(
        (g * v).sum()
        for g, v in zip(torch.autograd.grad(velocity, path, materialize_grads=True), direction, strict=True)
    )

    def probability(h: float) -> Tensor:
        from reparam.pathwise._tails import rebuilt, tails

        logits, a1, b1 = (p.detach() + h * v for p, v in zip(path, direction, strict=True))
        at = x.detach() + h * velocity.detach() + h * h / 2 * acceleration
        law = tails(rebuilt(UNIVARIATE[name](a1, b1), lambda p: p), at)
        return (logits.softmax(-1) * law.lower).sum()

    h = 1e-3
    ends, middle = [probability(s) for s in (h, -h)], probability(0.0)
    assert abs((ends[0] - ends[1]) / (2 * h)) < 1e-4
    assert abs((ends[0] + ends[1] - 2 * middle) / h**2) < 1e-4


def test_expanded_batches():
    dist = mixture(td.Normal(t([0.0, 1.0]), t([1.0, 2.0]))).expand((5, 3))
    x = rp.rsample(dist, (2,))
    assert x.shape == (2, 5, 3)
    assert torch.autograd.grad(x.sum(), LOGITS)[0].abs().sum() > 0


def test_weights_of_other_multivariate_components_raise():
    dist = mixture(td.Dirichlet(t([[1.0, 2.0], [3.0, 1.0]])))
    with pytest.raises(rp.NoPathwiseGradient, match="expect"):
        rp.rsample(dist)


def test_other_multivariate_components_move_where_the_weights_are_constants():
    concentration = t([[1.0, 2.0], [3.0, 1.0]])
    dist = td.MixtureSameFamily(td.Categorical(logits=LOGITS.detach()), td.Dirichlet(concentration))
    (slope,) = torch.autograd.grad(rp.rsample(dist, (100,))[:, 0].sum(), concentration)
    assert (slope != 0).all()


JUMPS = {
    "one coordinate, with a gap": lambda low: td.Uniform(low, low + 1),
    "two coordinates": lambda low: td.Independent(td.Uniform(torch.stack([low, low], -1), low[:, None] + 5), 1),
    "two Paretos": lambda low: td.Independent(td.Pareto(torch.stack([low, low], -1), 3.0 + 0 * low[:, None]), 1),
}


@pytest.mark.parametrize("name", JUMPS)
def test_a_quantile_that_jumps_gives_the_weights_no_gradient(name: str):
    """Half of the gradient in the weights, or less, is what moving along the distribution function would give."""
    low = t([1.0, 3.0])
    with pytest.raises(rp.NoPathwiseGradient, match=r"(?s)its quantile jumps.*rp.expect"):
        rp.rsample(mixture(JUMPS[name](low)))
    dist = td.MixtureSameFamily(td.Categorical(logits=LOGITS.detach()), JUMPS[name](low))
    (slope,) = torch.autograd.grad(rp.rsample(dist, (100,)).sum(), low)
    assert (slope > 0).all()


def test_uniforms_that_cannot_be_seen_to_overlap_give_the_weights_no_gradient():
    def cost(logits: Tensor) -> Tensor:
        ends = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])
        weights = td.Categorical(logits=logits, validate_args=False)
        return rp.rsample(td.MixtureSameFamily(weights, td.Uniform(*ends, validate_args=False)))

    assert torch.func.grad(cost)(torch.zeros(2)).abs().sum() > 0
    with pytest.raises(rp.NoPathwiseGradient, match="its quantile jumps"):
        torch.vmap(torch.func.grad(cost), randomness="different")(torch.zeros(3, 2))


def test_mixtures_of_overlapping_uniforms_in_bfloat16():
    # A sample rounds to the end of its support, where torch's density is 0.
    low = torch.tensor([0.0, 0.5], dtype=torch.bfloat16, requires_grad=True)
    dist = td.MixtureSameFamily(td.Categorical(logits=LOGITS.bfloat16()), td.Uniform(low, low + 1))
    x = rp.rsample(dist, (2000,))
    assert bool((x == 1.5).any())
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(x.sum(), (low, LOGITS)))


HEAVY = {
    "StudentT": lambda p: td.StudentT(p),
    "InverseGamma": lambda p: td.InverseGamma(p, torch.ones_like(p)),
    "Pareto": lambda p: td.Pareto(torch.ones_like(p), p),
    "FisherSnedecor": lambda p: td.FisherSnedecor(torch.ones_like(p), p),
    "Weibull": lambda p: td.Weibull(torch.ones_like(p), p / 5),
    "Independent": lambda p: td.Independent(td.InverseGamma(p[:, None].expand(2, 2), torch.ones_like(p)), 1),
    "MultivariateStudentT": lambda p: rp.distributions.MultivariateStudentT(
        p, torch.zeros(2, 2, dtype=p.dtype), torch.eye(2, dtype=p.dtype)
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_beyond_the_floats_are_finite_and_move(name: str, dtype: torch.dtype):
    """In float32 a density of 1e-45 is 0, which made one sample in fifteen NaN, and every gradient."""
    df = torch.tensor([0.05, 0.075], dtype=dtype) / (1 if dtype == torch.float32 else 10)
    df, logits = df.requires_grad_(), LOGITS.detach().to(dtype).requires_grad_()
    x = rp.rsample(td.MixtureSameFamily(td.Categorical(logits=logits), HEAVY[name](df)), (700,))
    assert bool(torch.isfinite(x).all())
    assert bool((x.abs() > torch.finfo(dtype).max / 10).any())
    for cost in (x.abs().clamp(max=1e20).log().mean(), x.abs().sum() / x.numel()):
        for slope in torch.autograd.grad(cost, (logits, df), retain_graph=True):
            assert bool(torch.isfinite(slope).all())
            assert bool((slope != 0).all())
