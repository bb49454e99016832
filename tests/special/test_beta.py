"""The Beta functions against 30-digit arithmetic over the whole domain, and under every transform.

`beta_reference.json` was written by `tools/beta_reference.py`: a, b, u, F, 1 - F, h = du/da, dh/da, dh/db, dh/du.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from reparam.errors import InvalidArgument
from reparam.special._beta_pieces import digamma_difference, digamma_half_step_excess, log1p_excess, stirling_error
from reparam.special._beta_tail import nearer_tail
from reparam.special.beta import (
    beta_dlogit_dconcentration0,
    beta_dlogit_dconcentration1,
    beta_dx_dconcentration0,
    beta_dx_dconcentration1,
    betainc,
    betaincc,
)

# torch scripts its forward-mode decompositions at the first jvp, and deprecates scripting.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

INF, NAN = math.inf, math.nan
IN_X = [betainc, betaincc, beta_dx_dconcentration1, beta_dx_dconcentration0]
IN_LOGIT = [beta_dlogit_dconcentration1, beta_dlogit_dconcentration0]
ALL = [*IN_X, *IN_LOGIT]


def numbers(*values: float, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def arguments(f, *, grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Three points, on both sides of the centre, with a small, a middling and a large concentration."""
    x = numbers(0.1, 0.97, 0.45)
    a, b = numbers(0.3, 2.0, 50.0), numbers(1.5, 0.2, 70.0)
    last = torch.logit(x) if f in IN_LOGIT else x
    return a.requires_grad_(grad), b.requires_grad_(grad), last.requires_grad_(grad)


def relative(value: Tensor, reference: Tensor) -> Tensor:
    return ((value.detach() - reference) / reference).abs()


@pytest.fixture(scope="module")
def table() -> list[Tensor]:
    rows = json.loads((Path(__file__).parent / "beta_reference.json").read_text())
    return list(torch.tensor(rows, dtype=torch.float64).unbind(-1))


def test_logit_derivative_over_the_domain(table):
    a, b, u, _, _, h, *_ = table
    assert relative(beta_dlogit_dconcentration1(a, b, u), h).max() < 1e-12
    assert relative(beta_dlogit_dconcentration0(b, a, -u), -h).max() < 1e-12


def test_second_derivatives_over_the_domain(table):
    a, b, u, _, _, h, *expected = table
    leaves = [v.clone().requires_grad_() for v in (a, b, u)]
    slopes = torch.autograd.grad(beta_dlogit_dconcentration1(*leaves).sum(), leaves)
    # For b << a, h hardly depends on b, nor on u in an exponential tail: roundings of larger terms remain there.
    for slope, reference, floor in zip(slopes, expected, (0 * h, 1e-15 * h / b, 1e-14 * h), strict=True):
        assert ((slope - reference).abs() <= 1e-8 * reference.abs() + floor).all()


def test_slope_in_the_logit_is_the_implicit_identity():
    a, b, u = numbers(0.3, 2.0, 50.0), numbers(1.5, 0.2, 70.0), numbers(-3.0, 4.0, 0.1, grad=True)
    h = beta_dlogit_dconcentration1(a, b, u)
    (slope,) = torch.autograd.grad(h.sum(), u)
    x = torch.sigmoid(u)
    assert relative(slope, a.digamma() - (a + b).digamma() - x.log() - (a - (a + b) * x) * h.detach()).max() < 1e-10


def test_tails_over_the_domain(table):
    a, b, u, below, above, *_ = table
    tail, lower = nearer_tail(a, b, u)
    assert relative(tail, torch.where(lower, below, above)).max() < 1e-12


def test_functions_of_x_over_the_domain(table):
    a, b, u, below, above, h, *_ = table
    left = u < 0  # the mirror image elsewhere: x itself near 1 has too few digits for a comparison
    first, second = torch.where(left, a, b), torch.where(left, b, a)
    x = torch.sigmoid(-u.abs())
    keep = x > 1e-300
    first, second, x, h = first[keep], second[keep], x[keep], h[keep]
    near, far = torch.where(left, below, above)[keep], torch.where(left, above, below)[keep]
    assert relative(betainc(first, second, x), near).max() < 1e-12
    assert relative(betaincc(first, second, x), far).max() < 1e-12
    dx = torch.where(left[keep], beta_dx_dconcentration1(first, second, x), -beta_dx_dconcentration0(first, second, x))
    assert relative(dx, x * (1 - x) * h).max() < 1e-12


def test_first_derivatives_of_betainc(table):
    a, b, u, below, _, h, *_ = table
    keep = (u < 0) & (u > -600) & (below > 1e-100)
    a, b, u, h = a[keep], b[keep], u[keep], h[keep]
    leaves = [v.clone().requires_grad_() for v in (a, b, torch.sigmoid(u))]
    x = leaves[2].detach()
    for f, sign in ((betainc, 1), (betaincc, -1)):
        d_a, d_b, d_x = torch.autograd.grad(f(*leaves).sum(), leaves)
        log_density = (a - 1) * x.log() + (b - 1) * torch.log1p(-x) + (a + b).lgamma() - a.lgamma() - b.lgamma()
        # The textbook density itself is good to eps times its largest term only.
        assert torch.allclose(d_x, sign * log_density.exp(), rtol=1e-8)
        assert relative(d_a, -d_x * x * (1 - x) * h).max() < 1e-11
        assert relative(d_b, -d_x * beta_dx_dconcentration0(a, b, x)).max() < 1e-11


def test_where_other_libraries_fail():
    # Known to go wrong elsewhere: the sign at Beta(1, 3e4), infinity at Beta(2^16 + 500, 1.5) in float32.
    x = 1 - 0.05 ** (1 / 3e4)
    assert beta_dx_dconcentration1(numbers(1.0), 3e4, x).item() == pytest.approx(6.455e-5, rel=1e-3)
    single = beta_dx_dconcentration1(torch.tensor(2.0**16 + 500), 1.5, torch.tensor(0.99998))
    double = beta_dx_dconcentration1(numbers(2.0**16 + 500), 1.5, torch.tensor(0.99998).double())
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double.item(), rel=1e-6)


@pytest.mark.parametrize("a", [1e-3, 0.4, 1.0, 7.0, 3e3])
def test_closed_form_of_a_power(a):
    # Beta(a, 1) is U^(1/a): dx/da = -x log(x) / a.
    x = numbers(1e-200, 1e-9, 0.2, 0.9, 0.999)
    assert relative(beta_dx_dconcentration1(a, 1.0, x), -x * x.log() / a).max() < 1e-13
    visible = x**a > 1e-300
    assert relative(betainc(a, 1.0, x), x**a)[visible].max() < 1e-12


def test_tiny_concentrations_in_logit_space():
    a = numbers(1e-3)
    for u in (-5e3, -800.0, 800.0, 5e3):
        h = beta_dlogit_dconcentration1(a, a, u).item()
        with mp.workdps(40):
            c = mp.mpf(1e-3)
            # Beyond |u| = 100 the tail is a pure exponential.
            top = mp.digamma(1 + c) - mp.digamma(2 * c) - u if u < 0 else mp.digamma(2 * c) - mp.digamma(c)
            assert h == pytest.approx(float(top / c), rel=1e-13)


def test_ends_of_the_support():
    a, b = numbers(0.5, 1.0, 3.0), numbers(2.0, 3.0, 0.5)
    for x, value in ((0.0, 0.0), (1.0, 1.0)):
        end = torch.full_like(a, x).requires_grad_()
        assert betainc(a, b, end).tolist() == [value] * 3
        assert betaincc(a, b, end).tolist() == [1 - value] * 3
        assert beta_dx_dconcentration1(a, b, end).abs().tolist() == [0.0] * 3
        assert beta_dx_dconcentration0(a, b, end).abs().tolist() == [0.0] * 3
        (density,) = torch.autograd.grad(betainc(a, b, end).sum(), end)
        assert density.tolist() == ([INF, 3.0, 0.0] if x == 0 else [0.0, 0.0, INF])
    assert beta_dlogit_dconcentration1(a, b, -INF).tolist() == [INF] * 3
    assert beta_dlogit_dconcentration0(a, b, INF).tolist() == [-INF] * 3
    far = beta_dlogit_dconcentration1(a, b, INF)
    assert torch.allclose(far, beta_dlogit_dconcentration1(a, b, 300.0), rtol=1e-14)


@pytest.mark.parametrize("f", IN_X)
def test_gradients_stay_finite_beside_an_end(f):
    leaves = [v.requires_grad_() for v in (numbers(2.0, 2.0, 2.0), numbers(3.0, 3.0, 3.0), numbers(0.0, 0.4, 1.0))]
    gradients = torch.autograd.grad(f(*leaves).sum(), leaves)
    assert all(torch.isfinite(g[1]) for g in gradients)
    assert not any(torch.isnan(g).any() for g in gradients)


@pytest.mark.parametrize("f", ALL)
def test_outside_the_support_everything_is_nan(f):
    bad = [(0.0, 1.0, 0.5), (-1.0, 1.0, 0.5), (INF, 1.0, 0.5), (NAN, 1.0, 0.5), (1.0, 0.0, 0.5), (1.0, -2.0, 0.5)]
    bad += [(1.0, INF, 0.5), (1.0, NAN, 0.5), (1.0, 1.0, NAN)]
    if f in IN_X:
        bad += [(1.0, 1.0, -0.1), (1.0, 1.0, 1.1), (1.0, 1.0, INF), (1.0, 1.0, -INF)]
    leaves = [v.clone().requires_grad_() for v in numbers(*(v for row in bad for v in row)).view(-1, 3).unbind(-1)]
    value = f(*leaves)
    assert torch.isnan(value).all()
    for gradient in torch.autograd.grad(value.sum(), leaves):
        assert torch.isnan(gradient).all()


@pytest.mark.parametrize("f", ALL)
def test_shapes_and_dtypes(f):
    a, b, x = arguments(f)
    full = f(a, b, x)
    assert f(a[:, None], b, x[0]).shape == (3, 3)
    assert f(a[:0], b[:0], x[:0]).shape == (0,)
    assert torch.equal(f(a.repeat_interleave(2)[::2], b, x), full)
    assert f(2.0, 3.0, 0.5).dtype == torch.get_default_dtype()
    assert f(a.float(), 3.0, 0.5).dtype == torch.float32
    assert f(a.float(), b[0], x[0]).dtype == torch.float32
    for dtype, eps in ((torch.float32, 6e-8), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)):
        narrow = [v.to(dtype) for v in (a, b, x)]
        value = f(*narrow)
        assert value.dtype == dtype
        assert relative(value.double(), f(*(v.double() for v in narrow))).max() <= eps


def test_complex_and_mismatched_arguments_are_refused():
    with pytest.raises(InvalidArgument, match="a must be real") as caught:
        betainc(torch.tensor(1j), 1.0, 0.5)
    assert "complex64" in caught.value.received
    with pytest.raises(InvalidArgument, match="a, b, x must broadcast") as caught:
        betainc(torch.ones(2), torch.ones(3), 0.5)
    assert "a of shape (2,)" in caught.value.received


@pytest.mark.parametrize("f", ALL)
def test_derivatives_numerically(f):
    assert gradcheck(f, arguments(f, grad=True), check_forward_ad=True, fast_mode=True)


@pytest.mark.parametrize("f", [betainc, beta_dx_dconcentration0])
def test_second_derivatives_numerically(f):
    assert gradgradcheck(f, arguments(f, grad=True), check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("f", ALL)
def test_functional_transforms_agree(f):
    args = arguments(f)
    gradients = torch.func.grad(lambda *z: f(*z).sum(), argnums=(0, 1, 2))(*args)
    _, tangent = torch.func.jvp(f, args, tuple(torch.ones_like(v) for v in args))
    assert torch.allclose(tangent, gradients[0] + gradients[1] + gradients[2], rtol=1e-10)
    assert (tangent != 0).all()
    assert torch.allclose(torch.func.vmap(torch.func.grad(f))(*args), gradients[0], rtol=1e-12)
    forward = torch.func.vmap(torch.func.jacfwd(torch.func.grad(f), argnums=1))(*args)
    backward = torch.func.vmap(torch.func.jacrev(torch.func.grad(f, argnums=1)))(*args)
    assert torch.allclose(forward, backward, rtol=1e-8)


@pytest.mark.long
def test_compiled():
    leaves = arguments(betainc, grad=True)
    compiled = torch.compile(beta_dx_dconcentration0, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(beta_dx_dconcentration0(*leaves).sum(), leaves)
    for gradient, reference in zip(torch.autograd.grad(compiled(*leaves).sum(), leaves), expected, strict=True):
        assert torch.allclose(gradient, reference, rtol=1e-12)

    @torch.compile(backend="eager", fullgraph=True)
    def tangent(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return torch.func.jvp(betainc, (a, b, x), (torch.ones_like(a), torch.zeros_like(b), torch.zeros_like(x)))[1]

    expected = torch.autograd.grad(betainc(*leaves).sum(), leaves[0])[0]
    assert torch.allclose(tangent(*(v.detach() for v in leaves)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("a", "b"), [(1e-3, 1e-3), (1e-3, 1e6), (1e6, 1e-3), (0.7, 12.0), (23.9, 1e-8), (500.0, 500.0)]
)
def test_digamma_difference(a, b):
    with mp.workdps(40):
        expected = float(mp.digamma(mp.mpf(a) + mp.mpf(b)) - mp.digamma(mp.mpf(a)))
        half = float(mp.digamma(mp.mpf(a) + 0.5) - mp.digamma(mp.mpf(a)) - 1 / (2 * mp.mpf(a)))
        stirling = float(
            mp.loggamma(mp.mpf(a)) - (mp.mpf(a) - 0.5) * mp.log(mp.mpf(a)) + mp.mpf(a) - mp.log(2 * mp.pi) / 2
        )
    assert digamma_difference(numbers(a), numbers(b)).item() == pytest.approx(expected, rel=2e-15)
    assert digamma_half_step_excess(numbers(a)).item() == pytest.approx(half, rel=1e-14)
    assert stirling_error(numbers(a)).item() == pytest.approx(stirling, rel=1e-14, abs=1e-14)


def test_log1p_excess():
    r = [-0.999, -0.30001, -0.2999, -1e-3, -1e-9, 1e-150, 1e-9, 1e-3, 0.2999, 0.30001, 4.0, 1e9]
    with mp.workdps(40):
        expected = [float(mp.mpf(v) - mp.log1p(mp.mpf(v))) for v in r]
    value = log1p_excess(numbers(*r), torch.log1p(numbers(*r)))
    assert value.tolist() == pytest.approx(expected, rel=2e-15)
