"""The conformance checks find what is wrong: a check that no rule can fail would prove nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam import testing

AT = {"loc": torch.tensor([0.5, -1.0], dtype=torch.float64), "scale": torch.tensor([2.0, 0.3], dtype=torch.float64)}
SQUARE = (torch.square, lambda loc, scale: loc**2 + scale**2)


class Faulty(td.Normal):
    """A Normal whose rule is replaced by each test."""


class _Bent(torch.autograd.Function):
    """The identity, but for a derivative of `slope`."""

    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.slope = inputs[1]

    @staticmethod
    def backward(ctx, *grads: Tensor):
        return grads[0] * ctx.slope, None


def with_rule(rule):
    rp.register(Faulty, reference="wrong on purpose")(rule)
    return Faulty


def bent(dist: td.Normal, noise) -> Tensor:
    return dist.loc + _Bent.apply(dist.scale, 1.00001) * noise.normal()


def bent_curve(dist: td.Normal, noise) -> Tensor:
    """Right in value and first derivative, wrong in the second."""
    scale = dist.scale + 0.1 * (dist.scale - dist.scale.detach()) ** 2
    return dist.loc + scale * noise.normal()


def twice(dist: td.Normal, noise) -> Tensor:
    return dist.loc + 1.1 * dist.scale * noise.normal()


def frozen(dist: td.Normal, noise) -> Tensor:
    return dist.loc + dist.scale.detach() * noise.normal()


def transposed(dist: td.Normal, noise) -> Tensor:
    return (dist.loc + dist.scale * noise.normal())[..., :1]


def repeated(dist: td.Normal, noise) -> Tensor:
    return dist.loc + dist.scale * torch.linspace(-1, 1, noise.shape[-1], dtype=dist.loc.dtype)


def in_memory_order(dist: td.Normal, noise) -> Tensor:
    steps = torch.tensor(dist.loc.stride(), dtype=dist.loc.dtype).sum()
    return dist.loc + dist.scale * (noise.normal() + steps)


def cdf(x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    return td.Normal(loc, scale).cdf(x)


@pytest.mark.parametrize(
    ("rule", "check", "message"),
    [
        (bent, testing.check_path, "derivative in scale is off"),
        (bent, lambda make, at: testing.check_implicit(make, at, cdf=cdf), "derivative 1 in scale"),
        (bent_curve, lambda make, at: testing.check_implicit(make, at), "derivative 2 in scale"),
        (frozen, testing.check_every_parameter, "no gradient reaches scale"),
        (frozen, lambda make, at: testing.check_moment(make, at, *SQUARE), "derivative 1 of the moment in scale"),
        (twice, lambda make, at: testing.check_moment(make, at, *SQUARE), "the moment itself"),
        (bent_curve, lambda make, at: testing.check_curvature(make, at, *SQUARE), "derivative 2 of the moment"),
        (transposed, testing.check_shapes, "shape"),
        (transposed, testing.check_empty, "an empty batch draws"),
        (in_memory_order, testing.check_layouts, "the layout of the parameters matters"),
        (repeated, testing.check_vmap, "repeats a sample"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_rule_fails(rule, check, message: str):
    with pytest.raises(AssertionError, match=message):
        check(with_rule(rule), AT)


def test_an_implicit_rule_passes_as_a_user_would_check_it():
    make = with_rule(lambda dist, noise: dist.loc + dist.scale * noise.normal())
    testing.check_rule(make, AT, moments={"square": SQUARE}, cdf=cdf)
