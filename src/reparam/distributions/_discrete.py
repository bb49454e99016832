"""What the discrete classes of this room share: samples without a gradient, and either of two parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.checks import all_true, as_sample_shape, summary
from reparam.distributions._base import ReparamDistribution
from reparam.errors import InvalidArgument
from reparam.noise import as_source
from reparam.pathwise.sampling import sample_by_registry

STEP = "its values are isolated points, so a sample does not move when a parameter moves a little"


class Discrete(ReparamDistribution):
    """A distribution whose sampler is registered with `register_sampler`, and whose `rsample` says why it has none."""

    has_rsample = False

    @property
    def support_size(self) -> int | None:
        """How many values it can take, or None where they are infinitely many."""
        return None

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A sample without gradient, from torch's global generator."""
        return sample_by_registry(self, as_sample_shape(sample_shape), as_source(None))


class OfItems(Discrete):
    """A law on arrangements of n items, given the logarithms of their weights, of shape `(*batch_shape, n)`."""

    arg_constraints: ClassVar = {"logits": constraints.real_vector}
    has_enumerate_support = True
    logits: Tensor

    def __init__(self, logits: Tensor, validate_args: bool | None) -> None:
        if not isinstance(logits, Tensor) or logits.dim() < 1 or not logits.is_floating_point():
            raise InvalidArgument(
                f"{type(self).__name__}: logits must be a floating-point tensor, the items in its last dimension",
                received=f"{logits.dtype} of shape {tuple(logits.shape)}"
                if isinstance(logits, Tensor)
                else repr(logits),
                instead="logits such as torch.zeros(5)",
            )
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def _check_arguments(self) -> None:
        if not all_true(torch.isfinite(self.logits)):
            raise InvalidArgument(
                f"{type(self).__name__}: logits must be finite",
                received=f"logits = {summary(self.logits)}",
                instead="leave out an item that cannot be drawn",
            )

    def _listed(self, arrangements: Iterable[Sequence[int]]) -> Tensor:
        """Arrangements as int64, with dimensions of size one for the batch."""
        rows = torch.tensor(list(arrangements), dtype=torch.int64, device=self.logits.device)
        return rows.view(len(rows), *[1] * len(self.batch_shape), rows.shape[-1])


class derived:  # noqa: N801  # a decorator
    """A parameter computed from the one that was given, and never stored: what was given stays recognisable."""

    def __init__(self, compute: Callable[[Any], Tensor]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.compute(instance)


class _OpenUnitInterval(constraints.Constraint):
    """0 < x < 1."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)


open_unit_interval = _OpenUnitInterval()


def one_of(owner: str, **parameters: Tensor | float | None) -> tuple[str, Tensor | float]:
    """The name and value of the one parameter that was given, out of two that say the same."""
    given = [(name, value) for name, value in parameters.items() if value is not None]
    if len(given) != 1:
        either, other = parameters
        raise InvalidArgument(
            f"{owner} takes either {either} or {other}",
            received=f"{len(given)} of them",
            instead=f"{owner}({either}=...) or {owner}({other}=...)",
        )
    return given[0]


def log_odds(probability: Tensor) -> Tensor:
    """The logit of a probability, not clamped."""
    return probability.log() - torch.log1p(-probability)
