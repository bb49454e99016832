"""The fused backward passes against the products of slopes that they stand for, and what is beyond them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, Dirichlet, Distribution, Gamma

import reparam as rp
from instruction_sets import needs_kernels
from reparam.kernels import flows
from reparam.noise import Philox

F64 = torch.float64


def positive(*shape: int, dtype: torch.dtype = F64) -> Tensor:
    return (0.6 + 4 * torch.rand(shape, dtype=F64)).to(dtype).requires_grad_()


def gamma(*shape: int, dtype: torch.dtype = F64) -> tuple[Distribution, list[Tensor]]:
    leaves = [positive(*shape, dtype=dtype), positive(*shape, dtype=dtype)]
    return Gamma(*leaves), leaves


def beta(*shape: int, dtype: torch.dtype = F64) -> tuple[Distribution, list[Tensor]]:
    leaves = [positive(*shape, dtype=dtype), positive(*shape, dtype=dtype)]
    return Beta(*leaves, validate_args=False), leaves


def dirichlet(*shape: int, dtype: torch.dtype = F64) -> tuple[Distribution, list[Tensor]]:
    leaves = [positive(*shape, 3, dtype=dtype)]
    return Dirichlet(leaves[0], validate_args=False), leaves


LAWS = {"gamma": gamma, "beta": beta, "dirichlet": dirichlet}


def first_derivatives(dist: Distribution, leaves: list[Tensor], shape: tuple[int, ...]) -> tuple[list, list]:
    """By the fused pass, and, differentiable themselves, by the slopes."""
    x = rp.rsample(dist, shape, noise=Philox(3))
    flow = torch.randn_like(x)
    fused = torch.autograd.grad(x, leaves, flow, retain_graph=True)
    return list(fused), list(torch.autograd.grad(x, leaves, flow, create_graph=True))


@needs_kernels
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(), (64,), (3, 1000), (0,)])
def test_the_fused_pass_is_the_product_of_slopes(law, dtype, shape, monkeypatch):
    called = []
    extension = flows.native
    name = f"{law}_flows"
    monkeypatch.setattr(flows, "native", _Spy(extension, name, called))
    fused, by_slopes = first_derivatives(*LAWS[law](*shape, dtype=dtype), shape=())
    assert len(called) == (0 not in shape)
    for one, other in zip(fused, by_slopes, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other.detach(), rtol=2e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)


class _Spy:
    def __init__(self, extension: object, name: str, called: list) -> None:
        self.extension, self.name, self.called = extension, name, called

    def __getattr__(self, name: str) -> object:
        if name == self.name:
            self.called.append(name)
        return getattr(self.extension, name)


@pytest.mark.parametrize("law", LAWS)
def test_samples_of_a_batch_and_gradients_of_every_layout(law):
    dist, leaves = LAWS[law](4)
    by_fused, by_slopes = first_derivatives(dist, leaves, (5,))
    torch.testing.assert_close(by_fused, [t.detach() for t in by_slopes])
    x = rp.rsample(dist, noise=Philox(3))
    flow = torch.randn(x.shape[::-1], dtype=F64).mT if x.ndim > 1 else torch.randn(8, dtype=F64)[::2]
    for given in (flow, torch.ones((), dtype=F64).expand(x.shape)):
        one = torch.autograd.grad(x, leaves, given, retain_graph=True)
        torch.testing.assert_close(one, torch.autograd.grad(x, leaves, given.contiguous(), retain_graph=True))
    batch = torch.randn(3, *x.shape, dtype=F64)
    rows = [torch.autograd.grad(x, leaves, row, retain_graph=True) for row in batch]
    together = torch.autograd.grad(x, leaves, batch, retain_graph=True, is_grads_batched=True)
    for k, whole in enumerate(together):
        torch.testing.assert_close(whole, torch.stack([row[k] for row in rows]))


@pytest.mark.parametrize("law", LAWS)
def test_second_derivatives_are_those_of_the_transforms(law):
    dist, leaves = LAWS[law](2)
    make = type(dist)

    def cost(*parameters: Tensor) -> Tensor:
        return (rp.rsample(make(*parameters, validate_args=False), noise=Philox(3)) ** 3).sum()

    by_graph = torch.autograd.functional.hessian(cost, tuple(leaves))
    by_func = torch.func.hessian(cost, argnums=tuple(range(len(leaves))))(*(t.detach() for t in leaves))
    torch.testing.assert_close(by_graph, by_func, rtol=1e-9, atol=1e-9)


def test_a_dirichlet_wider_than_a_block():
    a = positive(2, 3000)
    by_fused, by_slopes = first_derivatives(Dirichlet(a), [a], ())
    torch.testing.assert_close(by_fused, [t.detach() for t in by_slopes])


@needs_kernels
def test_what_is_left_to_torch():
    a, y = positive(2).detach(), torch.rand(2, dtype=F64)
    assert flows.gamma_flows(y, y, (a, a), (True, True)) is not None
    assert flows.gamma_flows(y, y, (a, a), (False, True)) is None
    assert flows.gamma_flows(y, y, (a[0], a), (True, True)) is None
    assert flows.gamma_flows(y.half(), y.half(), (a.half(), a.half()), (True, True)) is None
    assert flows.beta_flows(y, y, a.expand(3, 2)) is None
    assert flows.dirichlet_flows(y.to("meta"), y.to("meta"), y[:1].to("meta"), a.to("meta")) is None
