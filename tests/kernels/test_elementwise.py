"""The doors to one kernel: eager mode, `torch.func`, forward mode, the compiler, fake tensors, dispatch modes."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from instruction_sets import needs_kernels
from reparam.kernels import Elementwise, memory
from reparam.kernels.elementwise import elementwise_op

pytestmark = needs_kernels
F64 = torch.float64


def _slopes(y, inputs, needed):
    return (1 / inputs[0],)


def _refuse(x):
    raise AssertionError("the reference was called where the kernel serves")


LOG = Elementwise("log", _refuse, _slopes)
LOG_ANYWHERE = Elementwise("log", torch.log, _slopes)


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


def test_other_dtypes_take_the_reference():
    assert LOG_ANYWHERE(torch.tensor(2.0, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert LOG_ANYWHERE(torch.tensor(2.0, device="meta")).device.type == "meta"


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
