"""The Student-t functions against 30-digit arithmetic over the whole domain, and under every transform.

`student_t_reference.json` was written by `tools/beta_reference.py`: ν, t, 1 - F, g = dt/dν, dg/dν, dg/dt.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from reparam.errors import InvalidArgument
from reparam.special.student_t import stdtr, student_t_dx_ddf

# torch scripts its forward-mode decompositions at the first jvp, and deprecates scripting.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

INF, NAN = math.inf, math.nan
BOTH = [stdtr, student_t_dx_ddf]


def numbers(*values: float, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def arguments(*, grad: bool = False) -> tuple[Tensor, Tensor]:
    return numbers(0.5, 3.0, 40.0, 2.0, grad=grad), numbers(-0.3, 0.0, 4.0, -9.0, grad=grad)


def relative(value: Tensor, reference: Tensor) -> Tensor:
    return ((value.detach() - reference) / reference).abs()


@pytest.fixture(scope="module")
def table() -> list[Tensor]:
    rows = json.loads((Path(__file__).parent / "student_t_reference.json").read_text())
    return list(torch.tensor(rows, dtype=torch.float64).unbind(-1))


@pytest.mark.parametrize("side", [-1, 1])
def test_pathwise_derivative_over_the_domain(table, side):
    nu, t, _, slope, slope_nu, slope_t = table
    leaves = nu.clone().requires_grad_(), (side * t).requires_grad_()
    value = student_t_dx_ddf(*leaves)
    d_nu, d_t = torch.autograd.grad(value.sum(), leaves)
    assert relative(value, side * slope).max() < 1e-12
    assert relative(d_nu, side * slope_nu).max() < 1e-12
    assert relative(d_t, slope_t).max() < 1e-12


def test_distribution_function_over_the_domain(table):
    nu, t, upper, slope, *_ = table
    leaves = nu.clone().requires_grad_(), (-t).requires_grad_()
    value = stdtr(*leaves)
    d_nu, density = torch.autograd.grad(value.sum(), leaves)
    assert relative(value, upper).max() < 1e-12
    assert relative(stdtr(nu, t), 1 - upper).max() < 1e-15
    assert relative(d_nu, density * slope).max() < 1e-12
    expected = torch.distributions.StudentT(nu).log_prob(t).exp()
    normal = (expected > 0) & (t < 1e150)  # torch squares t
    assert torch.allclose(density[normal], expected[normal], rtol=1e-8)


def test_closed_forms():
    t = numbers(-1e12, -30.0, -0.2, 0.0, 1e-9, 0.7, 5.0)
    assert torch.allclose(stdtr(1.0, t)[1:], (0.5 + torch.arctan(t) / torch.pi)[1:], rtol=1e-14)
    assert stdtr(1.0, t)[0].item() == pytest.approx(1e-12 / math.pi, rel=1e-13)
    root = torch.sqrt(2 + t[1:] ** 2)
    assert torch.allclose(stdtr(2.0, t[1:]), (1 + t[1:] / root) / 2, rtol=1e-12)
    # The limit of many degrees of freedom, to the next order: Cornish and Fisher's expansion.
    t, nu = numbers(-3.0, 0.4, 2.0), 1e6
    series = -(t**3 + t) / (4 * nu**2) * (1 + 1 / nu) - (5 * t**5 + 16 * t**3 + 3 * t) / (48 * nu**3)
    assert relative(student_t_dx_ddf(numbers(nu), t), series).max() < 1e-4
    assert relative(student_t_dx_ddf(numbers(nu), t), -(t**3 + t) / (4 * nu**2)).max() < 1e-5


def test_centre():
    nu = numbers(0.05, 1.0, 7.0, 1e6)
    t = torch.zeros_like(nu).requires_grad_()
    assert torch.allclose(stdtr(nu, t), torch.full_like(nu, 0.5), rtol=1e-16, atol=0)
    value = student_t_dx_ddf(nu, t)
    assert value.abs().tolist() == [0.0] * 4
    (slope,) = torch.autograd.grad(value.sum(), t, create_graph=True)
    assert relative(slope, student_t_dx_ddf(nu, 1e-9) / 1e-9).max() < 1e-12
    (curvature,) = torch.autograd.grad(slope.sum(), t)
    assert curvature.abs().max() == 0


def test_infinite_variates():
    nu = numbers(0.5, 30.0).requires_grad_()
    for end, value in ((-INF, 0.0), (INF, 1.0)):
        assert stdtr(nu, end).tolist() == [value] * 2
        assert student_t_dx_ddf(nu, end).tolist() == [-end] * 2
        assert torch.autograd.grad(stdtr(nu, end).sum(), nu)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("f", BOTH)
def test_outside_the_support_everything_is_nan(f):
    bad = numbers(0.0, 1.0, -1.0, 1.0, INF, 1.0, NAN, 1.0, 1.0, NAN).view(-1, 2)
    leaves = [v.clone().requires_grad_() for v in bad.unbind(-1)]
    value = f(*leaves)
    assert torch.isnan(value).all()
    for gradient in torch.autograd.grad(value.sum(), leaves):
        assert torch.isnan(gradient).all()


@pytest.mark.parametrize("f", BOTH)
def test_shapes_and_dtypes(f):
    nu, t = arguments()
    full = f(nu, t)
    assert f(nu[:, None], t).shape == (4, 4)
    assert f(nu[:0], t[:0]).shape == (0,)
    assert torch.equal(f(nu.repeat_interleave(2)[::2], t), full)
    assert f(2, 3).dtype == torch.get_default_dtype()
    for dtype, eps in ((torch.float32, 6e-8), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)):
        narrow = nu.to(dtype), t.to(dtype)
        value, exact = f(*narrow), f(*(v.double() for v in narrow))
        assert value.dtype == dtype
        assert ((value - exact).abs() <= eps * exact.abs() + 4e-8).all()


def test_complex_arguments_are_refused():
    with pytest.raises(InvalidArgument, match="t must be real"):
        stdtr(1.0, torch.tensor(1j))


@pytest.mark.parametrize("f", BOTH)
def test_first_and_second_derivatives_numerically(f):
    leaves = arguments(grad=True)
    assert gradcheck(f, leaves, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(f, leaves, check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("f", BOTH)
def test_functional_transforms_agree(f):
    args = arguments()
    gradients = torch.func.grad(lambda *z: f(*z).sum(), argnums=(0, 1))(*args)
    _, tangent = torch.func.jvp(f, args, tuple(torch.ones_like(v) for v in args))
    assert torch.allclose(tangent, gradients[0] + gradients[1], rtol=1e-10)
    assert (tangent != 0).all()
    assert torch.allclose(torch.func.vmap(torch.func.grad(f))(*args), gradients[0], rtol=1e-12)


@pytest.mark.long
def test_compiled():
    leaves = arguments(grad=True)
    compiled = torch.compile(student_t_dx_ddf, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(student_t_dx_ddf(*leaves).sum(), leaves)
    for gradient, reference in zip(torch.autograd.grad(compiled(*leaves).sum(), leaves), expected, strict=True):
        assert torch.allclose(gradient, reference, rtol=1e-12)

    @torch.compile(backend="eager", fullgraph=True)
    def tangent(nu: Tensor, t: Tensor) -> Tensor:
        return torch.func.jvp(stdtr, (nu, t), (torch.ones_like(nu), torch.zeros_like(t)))[1]

    expected = torch.autograd.grad(stdtr(*leaves).sum(), leaves[0])[0]
    assert torch.allclose(tangent(*(v.detach() for v in leaves)), expected, rtol=1e-12)
