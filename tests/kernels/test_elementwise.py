"""The doors to one kernel: eager mode, `torch.func`, forward mode, the compiler, fake tensors, dispatch modes."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import reparam as rp
from instruction_sets import needs_kernels
from reparam.kernels import memory
from reparam.kernels.elementwise import elementwise_op, evaluate, serves
from reparam.kernels.implicit import attach

pytestmark = needs_kernels
F64 = torch.float64


def _slopes(y, inputs, needed):
    return (1 / inputs[0],)


def LOG(x):
    assert serves("log", (x,))
    return attach(_slopes, evaluate("log", (x,)), x)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("n", [0, 1, 3, 7, 64, 2048, 5000])
def test_values_at_every_length(dtype, n):
    x = torch.rand(n, dtype=dtype) + 0.1
    torch.testing.assert_close(LOG(x), x.log())


def test_layouts_and_periods():
    x = torch.rand(6, 5, 4, dtype=F64) + 0.1
    for view in (
        x,
        x.transpose(0, 2),
        x[:, ::2],
        x[0, 0].expand(7, 3, 4),
        x[0, 0, 0].expand(5000),
        x[:, :1].expand(6, 5, 4),
    ):
        torch.testing.assert_close(LOG(view), view.log())
    assert memory.periodic(x[0].expand(9, 5, 4))[1] == 20
    assert memory.periodic(x[0, 0, 0].expand(9, 5))[1] == 1
    assert memory.periodic(x[:, :1].expand(6, 5, 4))[1] == 120


def test_a_result_does_not_depend_on_where_an_element_stands():
    x = torch.rand(5000, dtype=F64) + 0.1
    assert torch.equal(LOG(x)[1234:1239], LOG(x[1234:1239].clone()))


def test_what_no_kernel_serves():
    assert not serves("log", (torch.tensor(2.0, dtype=torch.bfloat16),))
    assert not serves("log", (torch.tensor(2.0, device="meta"),))
    assert not serves("no such function", (torch.tensor(2.0),))


def test_info_names_the_derivatives():
    assert {"gamma_dx_da", "beta_dx_db", "student_t_dt_dnu", "von_mises_dx_dkappa"} <= set(
        rp.info().functions.split(", ")
    )
    assert "expm1" not in rp.info().functions


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 3, 64, 5000])
def test_a_look_at_values(dtype, n):
    """The kernel's look and torch's, which serves the narrow dtype, see each end and every place."""
    x = torch.linspace(1, 2, n).to(dtype)
    for view in (x, x.repeat(2)[:n], torch.stack((x, x), -1)[:, 0], x.expand(3, n)):
        assert memory.within(view, 1, 2)
    assert not memory.within(x, 1.25, 2)
    assert not memory.within(x, 0, 0.75)
    for place in {0, n // 2, n - 1}:
        for outside in (0.5, 2.5, float("nan")):
            y = x.clone()
            y[place] = outside
            assert not memory.within(y, 1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("n", [0, 1, 5, 20000])
def test_shares_of_pairs(dtype, n):
    """The kernel's pass, and torch's operations where pairs are not contiguous, hold the share and let NaN through."""
    pairs = torch.rand(n, 2).to(dtype)
    if n > 1:
        pairs[0], pairs[1, 0], pairs[2:4] = torch.tensor([0.0, 1.0]), float("nan"), torch.tensor([1.0, 0.0])
    apart = torch.stack((pairs, pairs), -1)[..., 0]
    assert n < 2 or not apart.is_contiguous()
    wanted = (pairs[:, 0] / pairs.sum(-1)).clamp(0.125, 0.75)
    for given in (pairs, apart):
        torch.testing.assert_close(memory.shares(given, 0.125, 0.75), wanted, equal_nan=True)
    assert n < 2 or memory.shares(pairs, 0.125, 0.75)[[0, 2]].tolist() == [0.125, 0.75]


def test_nothing_is_seen_where_there_is_nothing_to_see():
    assert not memory.within(torch.ones(0), 0, 2)
    assert torch.vmap(lambda x: x * memory.within(x, 0, 2))(torch.ones(3)).sum() == 0


def test_derivatives_in_every_mode():
    x = (torch.rand(5, dtype=F64) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(LOG, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(LOG, (x,))
    x = x.detach()
    torch.testing.assert_close(torch.func.jacrev(LOG)(x), torch.diag(1 / x))
    torch.testing.assert_close(torch.func.jacfwd(LOG)(x), torch.diag(1 / x))
    torch.testing.assert_close(torch.func.hessian(lambda v: LOG(v).sum())(x), torch.diag(-1 / x**2))
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(LOG(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    torch.testing.assert_close(tangent, 1 / x)


def test_vmap_of_values_and_of_gradients():
    x = torch.rand(3, 4, 5, dtype=F64) + 0.5
    torch.testing.assert_close(torch.vmap(LOG, in_dims=1, out_dims=1)(x), x.log())
    torch.testing.assert_close(torch.vmap(torch.vmap(LOG))(x), x.log())
    torch.testing.assert_close(torch.vmap(torch.func.grad(lambda v: LOG(v).sum()))(x), 1 / x)


def test_compiled_in_one_graph():
    x = (torch.rand(5, dtype=F64) + 0.5).requires_grad_()
    for f in (lambda v: LOG(v * 2).sum(), lambda v: torch.func.grad(lambda u: LOG(u * 2).sum())(v).sum()):
        compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), f(x))
    (slope,) = torch.autograd.grad(torch.compile(lambda v: LOG(v).sum(), fullgraph=True, backend="aot_eager")(x), x)
    torch.testing.assert_close(slope, 1 / x)


def test_fake_tensors_and_dispatch_modes_see_an_operation():
    seen = []

    class Spy(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with FakeTensorMode():
        assert LOG(torch.ones(4, 3)).shape == (4, 3)
    with Spy():
        LOG(torch.ones(3))
    assert any("reparam.elementwise" in name for name in seen)


def test_the_operation_obeys_torchs_own_checks():
    torch.library.opcheck(elementwise_op, ("log", [torch.rand(4) + 0.1]))
    torch.library.opcheck(elementwise_op, ("log", [torch.rand(3, 5, dtype=F64).T]))


def test_the_bare_operation_asked_for_a_derivative_raises():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="autograd"):
        elementwise_op("log", [x]).sum().backward()
