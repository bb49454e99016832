"""The reference's tables: the formulas of the kernels in torch operations, where a value is all that is asked for."""

from __future__ import annotations

import json
import pathlib

import pytest
import torch
from torch import Tensor

from reparam.special import _beta_charts, _beta_tail, _gamma_charts, _gamma_core, _regions, beta, gamma

HERE = pathlib.Path(__file__).parent
F64 = torch.float64


def gamma_points(n: int) -> tuple[Tensor, Tensor]:
    """Concentrations over ten decades, and log(x/a) far into both tails."""
    a = 10 ** (10 * torch.rand(n, dtype=F64) - 4)
    log_x = torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a
    return a, log_x + torch.randn_like(a) * 6 * torch.rand_like(a).round() / a.sqrt().clamp(max=10) - a.log()


def beta_points(n: int) -> tuple[Tensor, Tensor, Tensor]:
    (a, mu), (b, nu) = gamma_points(n), gamma_points(n)
    return a, b, (mu + a.log()) - (nu + b.log())


@pytest.mark.parametrize(
    ("charts", "integral", "points", "tolerance"),
    [
        (_gamma_charts.dlogx_dconcentration, _gamma_core.dlogx_dconcentration, gamma_points, 2e-13),
        # The integral's own error, in a far tail. The next test holds the tables to 1e-13.
        (_beta_charts.dlogit_dconcentration1, _beta_tail.dlogit_dconcentration1, beta_points, 1e-11),
    ],
    ids=["gamma", "beta"],
)
def test_every_region_agrees_with_the_integral(charts, integral, points, tolerance):
    arguments = points(40_000)
    module = _gamma_charts if charts is _gamma_charts.dlogx_dconcentration else _beta_charts
    regions = module._region_of(*arguments)
    # The rarest region holds one point in a thousand or two, so none is empty; the integral is asked for some of each.
    some = torch.cat([(regions == k).nonzero().squeeze(-1)[:500] for k in range(len(module._FORMULAS))])
    assert set(regions[some].tolist()) == set(range(len(module._FORMULAS)))
    arguments = [argument[some] for argument in arguments]
    torch.testing.assert_close(charts(*arguments), integral(*arguments), rtol=tolerance, atol=1e-290)


def test_the_beta_is_right_to_thirty_digits():
    rows = json.loads((HERE / "beta_reference.json").read_text())
    a, b, u, _, _, h, *_ = torch.tensor(rows, dtype=F64).unbind(-1)
    torch.testing.assert_close(_beta_charts.dlogit_dconcentration1(a, b, u), h, rtol=1e-13, atol=0)


def test_without_kernels_a_value_is_the_tables_and_a_derivative_the_integral_s(monkeypatch: pytest.MonkeyPatch):
    for module in (gamma, beta):
        monkeypatch.setattr(module, "native_value", lambda *arguments: None)
    asked = []
    for module, name in ((_gamma_charts, "dlogx_dconcentration"), (_beta_charts, "dlogit_dconcentration1")):
        by_tables = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *inputs, f=by_tables: asked.append(len(inputs)) or f(*inputs))
    a, x = torch.tensor([[0.3], [40.0]]).repeat(_regions._LEAST // 4, 1), torch.tensor([0.2, 0.7, 0.9, 1.0])
    calls = (lambda a: gamma.gamma_dx_dconcentration(a, x), lambda a: beta.beta_dx_dconcentration1(a, 2.0, x))
    for function, inputs in zip(calls, (2, 3), strict=True):
        value = function(a)
        assert asked == [inputs]
        assert value.dtype == torch.float32
        torch.testing.assert_close(function(a[:2]), value[:2])
        leaf = a.clone().requires_grad_()
        by_integral = function(leaf)
        by_integral.sum().backward()
        torch.testing.assert_close(value, by_integral.detach())
        torch.testing.assert_close(torch.vmap(function)(a), value)
        assert asked == [inputs]
        assert torch.isfinite(leaf.grad).all()
        asked.clear()
