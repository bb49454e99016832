"""The open registry: which rule draws a differentiable sample of which class, and why some classes have none.

A rule is a named function `rule(dist, noise) -> Tensor`. Ours and the user's are registered by the same decorator. The
look-up is by exact class: a rule never serves a subclass unless it is registered for it, because a subclass may change
what a sample means (`OneHotCategoricalStraightThrough` is a subclass of `OneHotCategorical`).
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import wrapped
from reparam.errors import InvalidArgument, NoPathwiseGradient
from reparam.noise import BoundNoise, NoiseSource
from reparam.noise.quantile import FLOATS

RuleFunction = Callable[[Distribution, BoundNoise], Tensor]
Kind = Literal["explicit", "implicit", "composite", "none"]
_F = TypeVar("_F", bound=Callable)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """One row of `coverage()`: a distribution, and which gradient its samples carry.

    Attributes:
        distribution: the class.
        kind: "explicit" (a transform of base noise), "implicit" (the distribution function held fixed), "composite" (as
            its parts), or "none" (no sample gradient exists; `reference` says why and what to use).
        parameters: the parameters every sample carries a gradient to.
        reference: where the rule comes from, or the reason there is none.
    """

    distribution: type[Distribution]
    kind: Kind
    parameters: tuple[str, ...]
    reference: str


@dataclasses.dataclass(frozen=True)
class _Entry:
    row: Coverage
    rule: RuleFunction | None


_REGISTRY: dict[type[Distribution], _Entry] = {}
_ON_DEMAND: list[str] = []
_ADVISERS: list[Callable[[Distribution], str]] = []


def register(
    cls: type[Distribution],
    *,
    kind: Kind = "explicit",
    parameters: Sequence[str] | None = None,
    reference: str = "",
) -> Callable[[_F], _F]:
    r"""Register a pathwise rule for exactly one class of distributions.

    A rule `rule(dist, noise)` returns a sample :math:`x = g(\epsilon; \theta)` of shape `noise.shape` whose derivative
    in every parameter is right. `noise` gives base noise of that shape: `noise.normal()`, `noise.uniform()` in (0, 1),
    `noise.exponential()`.

    Args:
        cls: the class served; its subclasses are not.
        kind: "explicit", "implicit" or "composite", as `coverage()` shows it.
        parameters: names the gradient reaches; the class's `arg_constraints` unless given.
        reference: where the rule comes from.

    Errors:
        `InvalidArgument` where `cls` is not a class of distributions.

    Example:
        >>> import torch, reparam as rp
        >>> class Shifted(torch.distributions.Normal):
        ...     pass
        >>> @rp.register(Shifted)
        ... def shifted(dist, noise):
        ...     return dist.loc + dist.scale * noise.normal()
        >>> rp.rsample(Shifted(0.0, 1.0), (3,)).shape
        torch.Size([3])
    """
    if not (isinstance(cls, type) and issubclass(cls, Distribution)):
        raise InvalidArgument(
            "only a subclass of torch.distributions.Distribution can have a rule",
            received=f"{cls!r}",
            instead="@rp.register(MyDistribution), with the class, not an object of it",
        )
    names = tuple(_constraint_names(cls) if parameters is None else parameters)

    def add(rule: _F) -> _F:
        _REGISTRY[cls] = _Entry(Coverage(cls, kind, names, reference), rule)
        return rule

    return add


def declare_none(cls: type[Distribution], reason: str) -> None:
    """Write down why the samples of a class carry no gradient, for `coverage()` and for the error that says so."""
    _REGISTRY[cls] = _Entry(Coverage(cls, "none", (), reason), None)


def coverage() -> list[Coverage]:
    """Every class with a rule or a reason for none: which gradient its samples carry, to which parameters.

    Example:
        >>> import reparam as rp
        >>> rows = {row.distribution.__name__: row for row in rp.coverage()}
        >>> rows["Normal"].kind, rows["Normal"].parameters
        ('explicit', ('loc', 'scale'))
        >>> rows["Poisson"].kind
        'none'
    """
    for room in _ON_DEMAND:
        importlib.import_module(room)
    return sorted((entry.row for entry in _REGISTRY.values()), key=lambda row: row.distribution.__name__)


def complete_on_demand(module: str) -> None:
    """Name a module whose classes and rules are registered when it is imported, which `coverage` then does."""
    _ON_DEMAND.append(module)


def has_rule(dist: Distribution) -> bool:
    """Whether `rsample` can serve `dist`, its wrapped parts included."""
    entry = _REGISTRY.get(type(dist))
    if entry is None or entry.rule is None:
        return False
    if entry.row.kind != "composite":
        return True
    base = dist.__dict__.get("base_dist")
    return all(map(has_rule, _movable_parts(dist))) if base is None else has_rule(base)


def _movable_parts(dist: Distribution) -> list[Distribution]:
    # The mixing weights of a mixture are part of its law, not of its sample's path.
    return [
        part
        for name, part in dist.__dict__.items()
        if isinstance(part, Distribution) and name != "_mixture_distribution"
    ]


def draw(dist: Distribution, source: NoiseSource, sample_shape: torch.Size) -> Tensor:
    """Apply the rule for `dist`: what `rsample` does once its arguments are checked, and composite rules do inside."""
    entry = _REGISTRY.get(type(dist))
    if entry is None or entry.rule is None:
        raise no_gradient(dist)
    like = _parameter_like(dist, entry.row.parameters)
    shape = dist._batch_shape + dist._event_shape if dist._event_shape else dist._batch_shape
    if sample_shape:
        shape = sample_shape + shape
    return entry.rule(dist, BoundNoise(source, shape, sample_shape, like))


def parameter_like(dist: Distribution) -> Tensor:
    """A parameter of `dist`, whose dtype and device are the sample's; raises unless all parameters agree on them."""
    entry = _REGISTRY.get(type(dist))
    names = entry.row.parameters if entry is not None else ()
    return _parameter_like(dist, names or _constraint_names(type(dist)))


def _parameter_like(dist: Distribution, names: Sequence[str]) -> Tensor:
    held = dist.__dict__
    first: Tensor | None = None
    for name in names:
        value = held.get(name)
        if not isinstance(value, Tensor):
            continue
        if first is None:
            first = value
            if value.dtype not in FLOATS or value.layout is not torch.strided:
                raise _not_floating(dist, name, value)
        elif value.dtype is not first.dtype or value.device != first.device:
            raise _mixed(dist, names)
    if first is not None:
        return first
    for part in wrapped(dist):
        return parameter_like(part)
    for name, value in held.items():
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
            return _parameter_like(dist, [name])
    return torch.empty(())


def _not_floating(dist: Distribution, name: str, value: Tensor) -> InvalidArgument:
    names = ", ".join(sorted(str(dtype) for dtype in FLOATS))
    return InvalidArgument(
        f"{type(dist).__name__}: parameters must be floating point and strided, or no gradient can reach them",
        received=f"{name} of {value.dtype}" + ("" if value.layout is torch.strided else f", {value.layout}"),
        instead=f"{name}.to(torch.get_default_dtype()): {names} are served, dense",
    )


def _mixed(dist: Distribution, names: Sequence[str]) -> InvalidArgument:
    held = [(name, dist.__dict__.get(name)) for name in names]
    return InvalidArgument(
        f"{type(dist).__name__}: parameters must share one dtype and one device",
        received=", ".join(f"{n} of {v.dtype} on {v.device}" for n, v in held if isinstance(v, Tensor)),
        instead="convert them before building the distribution",
    )


def _constraint_names(cls: type[Distribution]) -> tuple[str, ...]:
    constraints = cls.__dict__.get("arg_constraints", getattr(cls, "arg_constraints", {}))
    # Abstract classes define the constraints as a property; those have no names to read off the class.
    return tuple(constraints) if isinstance(constraints, dict) else ()


def advise_with(adviser: Callable[[Distribution], str]) -> None:
    """Let an upper room say which call would serve a distribution that has no rule."""
    _ADVISERS[:] = [adviser]


def no_gradient(dist: Distribution) -> NoPathwiseGradient:
    """The error for a distribution without a rule: why, and the call that would serve it."""
    name = type(dist).__name__
    received = f"{name}, batch_shape {tuple(dist.batch_shape)}, event_shape {tuple(dist.event_shape)}"
    entry = _REGISTRY.get(type(dist))
    if entry is None:
        parent = next((base for base in type(dist).__mro__[1:] if base in _REGISTRY), None)
        hint = f"; the rule for its parent {parent.__name__} does not serve it by itself" if parent else ""
        return NoPathwiseGradient(
            f"no pathwise rule is registered for {name}{hint}",
            received=received,
            instead=f"@rp.register({name}) above a function rule(dist, noise), or rp.expect(f, dist)",
        )
    if entry.rule is None:
        reason = entry.row.reference
    else:
        part = next(part for part in _movable_parts(dist) if not has_rule(part))
        reason = f"neither does one of the {type(part).__name__} it is made of"
    return NoPathwiseGradient(
        f"a sample of {name} carries no gradient: {reason}",
        received=received,
        instead=_ADVISERS[0](dist) if _ADVISERS else "rp.expect(f, dist)",
    )
