"""Surrogates: samples of discrete laws with a gradient that is declared not to be theirs.

A surrogate is an estimator of one evaluation a draw whose points carry the gradient, and it is what `rsample` takes as
`via=`. It is biased, and so only ever used by name.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.errors import InvalidArgument, UnsupportedTransform
from reparam.estimators.base import Cost, Draw, ParticleEstimator, Proposal
from reparam.kernels.implicit import attach
from reparam.noise import NoiseSource


@dataclasses.dataclass(frozen=True)
class SurrogateEstimator(ParticleEstimator):
    """A surrogate; in `expect` and in programs it draws on the particle axis, as `Pathwise` does.

    Attributes:
        samples: how many draws, by keyword: the first argument of a surrogate is what it is tuned by.
    """

    unbiased: ClassVar[bool] = False
    samples: int = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        _require(self, "samples", isinstance(self.samples, int) and self.samples >= 1, "a positive integer", 4)

    def rsample(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """A sample of `dist`, in the dtype of its parameters, with the surrogate's gradient: what `via=` calls."""
        if type(dist) is td.Independent:
            return self.rsample(dist.base_dist, sample_shape, noise)
        return self._relax(dist, sample_shape, noise)

    @abc.abstractmethod
    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """The same for a distribution that is no wrapper."""

    def propose(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Proposal:
        """Points that carry the gradient."""
        return Proposal(self.rsample(dist, sample_shape, noise), None)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The mean."""
        return costs.mean(0)


@dataclasses.dataclass(frozen=True)
class TemperedEstimator(SurrogateEstimator):
    """A surrogate with a temperature, its first argument."""

    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "temperature")


# A quotient of two floats that differ is beyond the range of `exp` long before this floor, so that it changes no
# sample; it keeps quotients and their slopes finite.
_COLDEST = 1e-25


def cooled(x: Tensor, temperature: float) -> Tensor:
    """`x / temperature`, of keys or of a slope."""
    return x if temperature == 1 else x / max(temperature, _COLDEST)


def moved(x: Tensor) -> Tensor:
    """Zero, with the first derivative of x and no second one: what a slope multiplies."""
    return attach(_once, torch.zeros_like(x), x)


def _once(zero: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    one = torch.ones_like(zero)
    # torch's compiler refuses a second backward pass by itself.
    return (one if torch.compiler.is_compiling() or not torch.is_grad_enabled() else one + _NoSlope.apply(*parameters),)


class _NoSlope(torch.autograd.Function):
    """Zero, and an error where anyone asks how it moves."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raise _first_order()

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        raise _first_order()


def _first_order() -> UnsupportedTransform:
    return UnsupportedTransform(
        "a surrogate's slope has no derivative: a second derivative would estimate nothing",
        received="a second differentiation of a surrogate's sample in a parameter",
        instead="an unbiased estimator, such as rp.LeaveOneOut(4), which is right at every order",
    )


def widened(x: Tensor) -> Tensor:
    """Half precision as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def require_positive(estimator: SurrogateEstimator, name: str) -> None:
    """Raise unless the hyperparameter is a positive, finite number."""
    value = getattr(estimator, name)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and math.isfinite(value)
    _require(estimator, name, fits, "a positive number", 1.0)


def require_count(estimator: SurrogateEstimator, name: str) -> None:
    """Raise unless the hyperparameter is a positive integer."""
    value = getattr(estimator, name)
    _require(estimator, name, isinstance(value, int) and value >= 1, "a positive integer", 2)


def _require(estimator: SurrogateEstimator, name: str, fits: bool, what: str, example: float) -> None:
    if not fits or isinstance(getattr(estimator, name), bool):
        owner = type(estimator).__name__
        raise InvalidArgument(
            f"{owner} needs {name} to be {what}",
            received=f"{name} = {getattr(estimator, name)!r}",
            instead=f"rp.{owner}({name}={example})",
        )


def cannot_serve(estimator: SurrogateEstimator, dist: Distribution, families: str) -> InvalidArgument:
    """The error for a distribution that a surrogate has no definition for."""
    owner = type(estimator).__name__
    return InvalidArgument(
        f"{owner} is defined for {families} (and Independent of these)",
        received=f"{type(dist).__name__}, event_shape {tuple(dist.event_shape)}",
        instead="rp.expect(f, dist), which chooses an estimator that serves it",
    )
