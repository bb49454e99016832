"""What every class of this room shares: construction, checks, `expand`, `rsample`, and half precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all

from reparam.checks import all_true, summary, values_visible
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import parameter_like, rsample

if TYPE_CHECKING:
    from typing_extensions import Self

_SCALAR = torch.Size()
_SWITCH = "(validate_args=False turns this check off for one object)"
_M = TypeVar("_M", bound=Callable[..., Tensor])


class ReparamDistribution(Distribution):
    """A distribution with torch's conventions whose `rsample` is its own rule in reparam's registry.

    A subclass sets its parameters, under the names in `arg_constraints`, and then calls this constructor. It
    gains `rsample`, `expand`, and validation that heeds `validate_args` alone (torch's process-wide switch is
    turned off by making any compiled function) and keeps out of the way of `vmap` and the compiler.
    """

    # torch declares both as properties, and every one of its own classes overrides them so.
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}  # type: ignore[assignment]
    support: Any  # type: ignore[assignment]
    has_rsample = True

    def __init__(
        self,
        batch_shape: torch.Size = _SCALAR,
        event_shape: torch.Size = _SCALAR,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)
        if self.has_rsample:
            parameter_like(self)  # integers would round every result: dtypes are checked, whatever `validate_args`
        self._validate_args = validate_args is not False
        if self._validate_args and values_visible():
            self._check_arguments()

    def _parameters(self) -> dict[str, Tensor]:
        held = self.__dict__
        return {name: held[name] for name in self.arg_constraints if name in held}

    def _check_arguments(self) -> None:
        for name, value in self._parameters().items():
            constraint = self.arg_constraints[name]
            # A constraint that depends on another parameter can only be built by the instance.
            if constraints.is_dependent(constraint):
                continue
            # torch's constraints cannot reduce over the events of an empty batch.
            if value.numel() and not all_true(constraint.check(value)):
                raise InvalidArgument(
                    f"{type(self).__name__}: {name} must satisfy {constraint}",
                    received=f"{name} = {summary(value)}",
                    instead=f"a {name} inside its constraint {_SWITCH}",
                )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """A view of the same law with a larger batch shape."""
        # torch's own check, by which a subclass elsewhere with a constructor of its own must bring its own `expand`.
        ours = next(cls for cls in type(self).__mro__ if cls.__module__.startswith("reparam."))
        new: Any = self._get_checked_instance(ours, _instance)
        batch = torch.Size(batch_shape)
        for name, value in self._parameters().items():
            event_dim = self.arg_constraints[name].event_dim
            setattr(new, name, value.expand(batch + value.shape[value.dim() - event_dim :]))
        ReparamDistribution.__init__(new, batch, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Sequence[int] = _SCALAR) -> Tensor:
        """A sample with a gradient to every parameter: `reparam.rsample(self, sample_shape)`."""
        return rsample(self, sample_shape)

    def _dtype(self) -> torch.dtype:
        return next(iter(self._parameters().values())).dtype

    def _cast(self, dtype: torch.dtype) -> Self:
        # An instance at hand spares a subclass its own `expand`, which nobody has asked for here.
        new = self.expand(self.batch_shape, self.__new__(type(self)))
        for name, value in self._parameters().items():
            setattr(new, name, value.to(dtype))
        return new

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise InvalidArgument(
                f"{type(self).__name__}: the value must be a tensor",
                received=f"{type(value).__name__}: {value!r}",
                instead="torch.as_tensor(value)",
            )
        shape, event_dim = tuple(self._batch_shape + self._event_shape), len(self._event_shape)
        sizes = zip(reversed(value.shape), reversed(shape), strict=False)
        fits = all(a == b or (k >= event_dim and 1 in (a, b)) for k, (a, b) in enumerate(sizes))
        if not fits or value.dim() < event_dim:
            raise InvalidArgument(
                f"{type(self).__name__}: the value must broadcast to batch_shape + event_shape",
                received=f"value of shape {tuple(value.shape)} for shape {shape}",
                instead=f"a value of shape sample_shape + {shape}",
            )
        if values_visible() and not all_true(self.support.check(value)):
            raise InvalidArgument(
                f"{type(self).__name__}: the value must lie within the support, {self.support}",
                received=f"value = {summary(value)}",
                instead=f"a value inside the support {_SWITCH}",
            )


class Univariate(ReparamDistribution):
    """A distribution of one real variable; its parameters, numbers or tensors, are broadcast together."""

    def __init__(self, validate_args: bool | None, **parameters: Tensor | float) -> None:
        for name, value in zip(parameters, broadcast(type(self).__name__, **parameters), strict=True):
            setattr(self, name, value)
        super().__init__(next(iter(self._parameters().values())).shape, validate_args=validate_args)


def broadcast(owner: str, **parameters: Tensor | float) -> tuple[Tensor, ...]:
    """The parameters as tensors of one shape; `owner` is named in the error where there is none."""
    try:
        return tuple(broadcast_all(*parameters.values()))
    except (RuntimeError, ValueError):
        raise InvalidArgument(
            f"{owner}: parameters must be numbers or tensors that broadcast against each other",
            received=", ".join(described(name, value) for name, value in parameters.items()),
            instead="parameters whose trailing dimensions are equal or 1",
        ) from None


def described(name: str, value: object) -> str:
    """A parameter for an error message: its shape where it has one."""
    return f"{name} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{name} = {value!r}"


def _in_at_least(wide: torch.dtype) -> Callable[[_M], _M]:
    def decorate(method: _M) -> _M:
        @functools.wraps(method)
        def rounded(dist: ReparamDistribution, *arguments: Tensor | BoundNoise) -> Tensor:
            dtype = dist._dtype()
            if torch.promote_types(dtype, wide) == dtype:
                return method(dist, *arguments)
            return method(dist._cast(wide), *(_widened(argument, wide) for argument in arguments)).to(dtype)

        return rounded  # type: ignore[return-value]  # functools.wraps keeps the signature, which TypeVar cannot say

    return decorate


def _widened(argument: Tensor | BoundNoise, wide: torch.dtype) -> Tensor | BoundNoise:
    if isinstance(argument, Tensor):
        return argument.to(wide)
    return BoundNoise(argument.source, argument.shape, argument.sample_shape, argument.like.to(wide))


in_float32 = _in_at_least(torch.float32)
"""Decorates a method, or a rule, of half-precision distributions: computed in float32 and rounded once."""

in_float64 = _in_at_least(torch.float64)
"""Decorates a method whose terms cancel, or whose special functions are computed in float64: rounded once."""


def at_value(method: _M) -> _M:
    """`in_float32` for a method of a value, which is first checked to lie within the support."""
    compute = in_float32(method)

    @functools.wraps(method)
    def checked(dist: ReparamDistribution, value: Tensor) -> Tensor:
        if dist._validate_args:
            dist._validate_sample(value)
        return compute(dist, value)

    return checked  # type: ignore[return-value]  # as above


def within_support(dist: ReparamDistribution, value: Tensor, log_density: Tensor) -> Tensor:
    """The log-density, minus infinity outside the support: what torch answers there without validation."""
    return torch.where(dist.support.check(value), log_density, -torch.inf)


def at_probability(method: _M) -> _M:
    """`in_float32` for a method of a probability, which is first checked to be one."""
    compute = in_float32(method)

    @functools.wraps(method)
    def checked(dist: ReparamDistribution, probability: Tensor) -> Tensor:
        if dist._validate_args and not all_true(constraints.unit_interval.check(probability)):
            raise InvalidArgument(
                f"{type(dist).__name__}: icdf takes a probability",
                received=f"value = {summary(probability)}",
                instead="a value in [0, 1]",
            )
        return compute(dist, probability)

    return checked  # type: ignore[return-value]  # as above
