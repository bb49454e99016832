"""Wishart and LKJ."""

from __future__ import annotations

import pytest
import torch
from moments import LIMIT, gradient_z
from torch import Tensor
from torch import distributions as td

import reparam as rp

F64 = torch.float64
COVARIANCE = torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=F64)
WISHART = {
    "covariance_matrix": COVARIANCE,
    "precision_matrix": torch.linalg.inv(COVARIANCE),
    "scale_tril": torch.linalg.cholesky(COVARIANCE),
}


@pytest.mark.parametrize("name", WISHART)
def test_wishart_second_moments(name: str):
    # E[X_ij X_kl] = n^2 S_ij S_kl + n (S_ik S_jl + S_il S_jk); backward through a batch raises in torch.
    df = torch.tensor(4.5, dtype=F64, requires_grad=True)
    parameter = WISHART[name].clone().requires_grad_()

    def make() -> td.Wishart:
        return td.Wishart(df, **{name: parameter})

    root = make().scale_tril
    s = root @ root.mT  # symmetric in the parameter, as the sample is
    exact = df**2 * s[0, 0] * s[0, 1] + 2 * df * s[0, 0] * s[0, 1] + (df * s).trace()
    slopes = torch.autograd.grad(exact, [df, parameter])
    cost = lambda x: x[:, 0, 0] * x[:, 0, 1] + x.diagonal(dim1=-2, dim2=-1).sum(-1)  # noqa: E731
    z = gradient_z(lambda: rp.rsample(make(), (100,)), cost, [df, parameter], slopes)
    assert z.abs().max() < LIMIT


@pytest.mark.parametrize("dim", [2, 4])
def test_lkj_correlations(dim: int):
    # Every correlation is 2 Beta(h, h) - 1 with h = eta - 1 + dim / 2: E[rho^2] = 1 / (2 eta + dim - 1).
    eta = torch.tensor(1.3, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(1 / (2 * eta + dim - 1), eta)
    for i in {1, dim - 1}:

        def cost(factor: Tensor, i: int = i) -> Tensor:
            return (factor @ factor.mT)[:, i, i - 1] ** 2

        z = gradient_z(lambda: rp.rsample(td.LKJCholesky(dim, eta), (50,)), cost, [eta], [slope])
        assert z.abs().max() < LIMIT


def test_lkj_samples_are_in_the_support():
    for dtype in (torch.float32, F64):
        for eta in (0.01, 1.0, 1e4):
            dist = td.LKJCholesky(5, torch.tensor(eta, dtype=dtype))
            assert td.constraints.corr_cholesky.check(rp.rsample(dist, (2000,))).all()
