"""Credit: the weights of a cost are made of what lies upstream of it and of nothing else."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.estimators import particle_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Variable:
    """A variable of a program: its points, what it depends on, and how it weighs a cost that depends on it.

    Attributes:
        points: as the program received them.
        ancestors: the indices of the variables it was drawn given.
        plain: the log-ratio of a variable without a baseline, on the particle axis.
        centred: the log-ratio of a variable whose baseline is the other particles.
        probability: the weights along an axis of its own.
    """

    points: Tensor
    ancestors: frozenset[int]
    plain: Tensor | None = None
    centred: Tensor | None = None
    probability: Tensor | None = None


def weights(
    variables: Sequence[Variable], upstream: Sequence[Variable], shape: torch.Size, runs: int, batch: int
) -> Tensor:
    """The weights of a cost, of a shape that broadcasts to the cost's.

    A cost does not depend on a variable that varies along a dimension in which the cost has size one. Whatever was
    declared, the weights of an axis that the cost does carry enter: only with them does the sum over it make sense.

    Args:
        variables: all that the program drew.
        upstream: those that the cost is credited to.
        shape: the cost's, all axes present.
        runs: the size K of the particle axis.
        batch: the number of batch dimensions.
    """
    plain = _total([v.plain for v in upstream], shape)
    centred = _total([v.centred for v in upstream], shape)
    probabilities = [v.probability for v in variables if v.probability is not None and _along(v.probability, shape)]
    particles = None if plain is None and centred is None else particle_weights(runs, plain, centred, -1 - batch)
    factors = probabilities if particles is None else [*probabilities, particles]
    if not factors:
        like = variables[0].points
        dtype = like.dtype if like.is_floating_point() else torch.get_default_dtype()
        return torch.full((), 1 / runs, dtype=dtype, device=like.device)
    product = functools.reduce(torch.mul, factors)
    return product / runs if particles is None else product


def _total(log_ratios: Sequence[Tensor | None], shape: torch.Size) -> Tensor | None:
    terms = [term for term in log_ratios if term is not None and _within(term, shape)]
    return functools.reduce(torch.add, terms) if terms else None


def _along(probability: Tensor, shape: torch.Size) -> bool:
    """Whether a cost carries the axis of a variable that has its own, the first of its weights."""
    return shape[-probability.dim()] == probability.shape[0]


def _within(term: Tensor, shape: torch.Size) -> bool:
    """Whether a term varies only along dimensions that the cost has."""
    return all(a in (1, b) for a, b in zip(reversed(term.shape), reversed(shape), strict=False))
