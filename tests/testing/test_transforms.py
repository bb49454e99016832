"""Each check of a transform fails on a rule that is wrong in its way."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from reparam.noise import BoundNoise
from reparam.testing import TRANSFORMS

AT = {"loc": torch.tensor([0.5], dtype=torch.float64), "scale": torch.tensor([1.3], dtype=torch.float64)}


def wrong(rule: Callable[[Normal, BoundNoise], Tensor]) -> type[Normal]:
    """A class of its own for the rule, since a rule serves exactly one."""

    class Wrong(Normal):
        pass

    rp.register(Wrong)(rule)
    return Wrong


def cut(dist: Normal, noise: BoundNoise) -> Tensor:
    return dist.loc + dist.scale.detach() * noise.normal()


def repeated(dist: Normal, noise: BoundNoise) -> Tensor:
    return (dist.loc + dist.scale).expand(noise.shape)


def deaf(dist: Normal, noise: BoundNoise) -> Tensor:
    return dist.loc + dist.scale * torch.randn(noise.shape, dtype=dist.loc.dtype)


def narrow(dist: Normal, noise: BoundNoise) -> Tensor:
    return dist.loc + dist.scale * noise.normal()


def insistent(dist: Normal, noise: BoundNoise) -> Tensor:
    with torch.enable_grad():
        return dist.loc + dist.scale * noise.normal()


def distracted(dist: Normal, noise: BoundNoise) -> Tensor:
    eps = noise.normal()
    return dist.loc + dist.scale * (2 * eps if torch.compiler.is_compiling() else eps)


def unfinished(dist: Normal, noise: BoundNoise) -> Tensor:
    x = dist.loc + dist.scale * noise.normal()
    return x * float("inf") if torch._C._are_functorch_transforms_active() else x


WRONG = [
    *((cut, name) for name in ("grad", "jvp", "jacrev", "vmap(grad)", "grad(grad)", "Generator", "Philox", "compile")),
    *((repeated, name) for name in ("vmap different", "vmap error", "Generator", "Philox")),
    *((deaf, name) for name in ("Generator", "Philox")),
    *((narrow, name) for name in ("bfloat16", "float16")),
    *((unfinished, name) for name in ("vmap same", "vmap different", "grad", "jvp", "jacrev")),
    (insistent, "no_grad"),
    (distracted, "compile"),
]


@pytest.mark.parametrize(("rule", "name"), WRONG, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_a_wrong_rule_is_found(rule: Callable, name: str):
    with pytest.raises(AssertionError, match=r"\w"):
        TRANSFORMS[name](wrong(rule), AT)


def test_missing_validation_is_found():
    with pytest.raises(AssertionError, match="a NaN loc gave"):
        TRANSFORMS["validation"](functools.partial(Normal, validate_args=False), AT)


def test_a_copy_that_differs_is_found():
    class Forgetful(Normal):
        def __reduce__(self):
            return Normal, (0.0, 1.0)

    rp.register(Forgetful)(narrow)
    with pytest.raises(AssertionError, match="a copy of Forgetful is a Normal"):
        TRANSFORMS["pickle"](Forgetful, AT)
