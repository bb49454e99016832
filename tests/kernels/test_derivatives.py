"""The kernels of the pathwise derivatives against the reference, over their regions and at the ends of the floats."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Gamma

import reparam as rp
from reparam.kernels import native
from reparam.special import (
    beta_dlogit_dconcentration0,
    beta_dlogit_dconcentration1,
    beta_dx_dconcentration0,
    beta_dx_dconcentration1,
    gamma_dlogx_dconcentration,
    gamma_dx_dconcentration,
    student_t_dx_ddf,
    von_mises_dx_dconcentration,
)

pytestmark = pytest.mark.skipif(native is None, reason="this installation has no native kernels")
F64 = torch.float64
INF, NAN = float("inf"), float("nan")


def reference(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """What answers where the result may be differentiated."""
    return function(*(t.clone().requires_grad_() for t in arguments)).detach()


def shapes(n: int, low: float = -3, high: float = 6) -> Tensor:
    return 10 ** (low + (high - low) * torch.rand(n, dtype=F64))


def log_gammas(a: Tensor) -> Tensor:
    """Variates, and as many further out than the reach of the kernels' tables."""
    log_x = torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a
    return log_x + torch.randn_like(a) * 6 * torch.rand_like(a).round() / a.sqrt().clamp(max=10)


def gamma_case(n: int) -> tuple[Tensor, Tensor]:
    a = shapes(n, -4)
    return a, log_gammas(a)


def gamma_plain_case(n: int) -> tuple[Tensor, Tensor]:
    a, log_x = gamma_case(n)
    return a, log_x.clamp(-690, 690).exp()


def beta_case(n: int) -> tuple[Tensor, Tensor, Tensor]:
    a, b = shapes(n), shapes(n)
    small = torch.rand(n) < 0.5
    a, b = torch.where(small, a**0.3, a), torch.where(small, b**0.3, b)
    return a, b, log_gammas(a) - log_gammas(b)


def beta_plain_case(n: int) -> tuple[Tensor, Tensor, Tensor]:
    a, b, logit = beta_case(n)
    return a, b, torch.sigmoid(logit)


def student_t_case(n: int) -> tuple[Tensor, Tensor]:
    nu = shapes(n, -0.3)
    return nu, torch.randn(n, dtype=F64) * (nu / (2 * torch._standard_gamma(nu / 2 + 0.5))).sqrt()


def von_mises_case(n: int) -> tuple[Tensor, Tensor]:
    kappa = shapes(n, -3, 5)
    x = torch.randn(n, dtype=F64) * torch.where(torch.rand(n) < 0.7, 1.5, 8.0) / kappa.sqrt().clamp(min=1)
    return kappa, x.clamp(-3.14, 3.14)


CASES = {
    gamma_dx_dconcentration: (gamma_plain_case, 2e-13),
    gamma_dlogx_dconcentration: (gamma_case, 2e-13),
    beta_dlogit_dconcentration1: (beta_case, 3e-12),
    beta_dlogit_dconcentration0: (beta_case, 3e-12),
    beta_dx_dconcentration1: (beta_plain_case, 3e-12),
    beta_dx_dconcentration0: (beta_plain_case, 3e-12),
    student_t_dx_ddf: (student_t_case, 1e-11),
    von_mises_dx_dconcentration: (von_mises_case, 1e-11),
}
FUNCTIONS = pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)


@FUNCTIONS
def test_agrees_with_the_reference_over_all_regions(function):
    make, tolerance = CASES[function]
    arguments = make(3000)
    torch.testing.assert_close(function(*arguments), reference(function, *arguments), rtol=tolerance, atol=1e-290)


@FUNCTIONS
def test_float32_is_right_to_its_precision(function):
    arguments = [t.float() for t in CASES[function][0](2000)]
    wanted = function(*(t.double() for t in arguments))
    torch.testing.assert_close(function(*arguments).double(), wanted, rtol=2e-6, atol=1e-37)


@FUNCTIONS
def test_a_result_does_not_depend_on_what_stands_beside_it(function):
    arguments = CASES[function][0](4500)
    whole = function(*arguments)
    for part in (slice(0, 1), slice(1234, 1241), slice(4096, 4500), slice(None, None, 3)):
        assert torch.equal(function(*(t[part] for t in arguments)), whole[part])


@pytest.mark.parametrize("function", [gamma_dx_dconcentration, gamma_dlogx_dconcentration], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_gamma_at_the_ends_of_the_floats(function, dtype):
    limits = torch.finfo(dtype)
    shape = torch.tensor([1e-30, 0.3, 7.0, 1e5, limits.max / 4, 0.0, -1.0, INF, NAN], dtype=dtype)
    x = [0.0, limits.smallest_normal / 8, 1.0, limits.max, INF, NAN, -1.0]
    if function is gamma_dlogx_dconcentration:
        x = [-INF, -1e5, 0.0, 1e4, INF, NAN]
    a, u = torch.cartesian_prod(shape, torch.tensor(x, dtype=dtype)).unbind(-1)
    rtol = 3e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(function(a, u), reference(function, a, u), rtol=rtol, atol=0, equal_nan=True)


def edges_of_the_beta_charts() -> tuple[Tensor, Tensor, Tensor]:
    """Both sides of every boundary in the first concentration, and of the ends in log(x / mean)."""
    firsts = torch.tensor([20.0, 48.0, 200.0], dtype=F64)
    firsts = torch.cat([firsts.nextafter(torch.zeros(3, dtype=F64)), firsts])
    ends = torch.tensor([0.11221, 3.6011, 0.28651, 2.3988, 0.56979, 1.5979], dtype=F64)
    ratios = torch.cat([ends * (1 - 1e-12), ends, ends * (1 + 1e-12)])
    a, b, ratio = torch.cartesian_prod(firsts, torch.tensor([1e-3, 2.0, 50.0, 1e6], dtype=F64), ratios).unbind(-1)
    x = ratio * a / (a + b)
    return a[x < 1], b[x < 1], x[x < 1]


def test_beta_at_the_edges_of_its_charts():
    a, b, x = edges_of_the_beta_charts()
    assert a.numel() > 250
    for function in (beta_dx_dconcentration1, beta_dlogit_dconcentration1):
        at = x if function is beta_dx_dconcentration1 else torch.logit(x)
        torch.testing.assert_close(function(a, b, at), reference(function, a, b, at), rtol=1e-12, atol=0)


def test_beta_where_its_logit_leaves_the_floats():
    # At tiny concentrations most of the mass is where x or 1 - x underflows.
    a, b, u = (
        torch.tensor(v, dtype=F64) for v in ([1e-3, 1e-3, 0.02, 30.0, 1e3], [1e-3, 2.0, 1e-3, 1e-3, 1e-2], 800.0)
    )
    for logit in (u, -u, 5 * u, -5 * u):
        wanted = reference(beta_dlogit_dconcentration1, a, b, logit)
        torch.testing.assert_close(beta_dlogit_dconcentration1(a, b, logit), wanted, rtol=1e-12, atol=0)


def test_beta_at_its_ends():
    a, b, u = torch.cartesian_prod(
        *(
            torch.tensor(v, dtype=F64)
            for v in ([1e-3, 2.0, 1e5, 0.0, INF, NAN], [0.4, 30.0, -1.0], [-INF, 0.0, INF, NAN])
        )
    ).unbind(-1)
    for function in (beta_dlogit_dconcentration1, beta_dlogit_dconcentration0):
        torch.testing.assert_close(function(a, b, u), reference(function, a, b, u), rtol=1e-12, atol=0, equal_nan=True)
    x = torch.tensor([0.0, 1.0, -0.1, 1.1, NAN], dtype=F64)
    for function in (beta_dx_dconcentration1, beta_dx_dconcentration0):
        value = function(torch.tensor(2.0, dtype=F64), torch.tensor(0.5, dtype=F64), x)
        torch.testing.assert_close(value, torch.tensor([0.0, 0.0, NAN, NAN, NAN], dtype=F64), equal_nan=True)


def test_student_t_and_von_mises_at_their_ends():
    nu, t = torch.cartesian_prod(
        torch.tensor([0.5, 1e6, 0.0, INF, NAN], dtype=F64), torch.tensor([0.0, -INF, 1e12, NAN], dtype=F64)
    ).unbind(-1)
    torch.testing.assert_close(
        student_t_dx_ddf(nu, t), reference(student_t_dx_ddf, nu, t), rtol=1e-11, atol=0, equal_nan=True
    )
    kappa = torch.tensor([0.0, 5.0, -1.0, INF, 5.0, 5.0], dtype=F64)
    x = torch.tensor([1.0, torch.pi, 1.0, 1.0, 3.2, NAN], dtype=F64)
    value = von_mises_dx_dconcentration(kappa, x)
    torch.testing.assert_close(value[:2], reference(von_mises_dx_dconcentration, kappa[:2], x[:2]))
    assert value[2:].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("build", ["both", "a rate that repeats", "a rate without a gradient", "many samples"])
def test_the_short_way_back_through_a_gamma_is_the_long_one(build, dtype):
    """A backward pass in one kernel, against one that can itself be differentiated, and so asks torch for each step."""
    a = (0.5 + 3 * torch.rand(3000, dtype=dtype)).requires_grad_()
    b = torch.tensor(1.7, dtype=dtype) if build != "both" else 0.5 + torch.rand(3000, dtype=dtype)
    if build != "a rate without a gradient":
        b.requires_grad_()
    x = rp.rsample(Gamma(a, b), (2,) if build == "many samples" else ())
    wanted = [t for t in (a, b) if t.requires_grad]
    for flow in (torch.rand_like(x), torch.ones_like(x[..., :1]).expand_as(x)):
        short = torch.autograd.grad(x, wanted, flow, retain_graph=True)
        torch.testing.assert_close(short, torch.autograd.grad(x, wanted, flow, create_graph=True))


@pytest.mark.parametrize(
    "function",
    [
        gamma_dx_dconcentration,
        gamma_dlogx_dconcentration,
        student_t_dx_ddf,
        beta_dx_dconcentration1,
        beta_dlogit_dconcentration0,
    ],
)
def test_the_least_shape_is_the_references(function):
    """Below 1e-300 a shape is out of range on every path."""
    shapes = torch.tensor([1e-308, 9e-301, 1e-300, 1e-299], dtype=F64)
    half = torch.full_like(shapes, 0.5)
    inputs = (shapes, shapes, half) if function.__name__.startswith("beta") else (shapes, half)
    for value in (function(*inputs), reference(function, *inputs)):
        assert torch.isnan(value[:2]).all()
        assert not torch.isnan(value[2:]).any()
