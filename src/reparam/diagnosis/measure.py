"""Measuring an estimator: many independent gradients in few calls, and the time that one takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.diagnosis.copies import copies
from reparam.errors import InvalidArgument
from reparam.estimators import Estimator
from reparam.expectation import expect

Cost = Callable[[Tensor], Tensor]

# Numbers in the points of one call, so that a thousand repeats of a large problem do not fill the memory.
_AT_ONCE = 2**20


def gradients(f: Cost, dist: Distribution, estimator: Estimator, repeats: int) -> Tensor:
    """Independent estimates of the gradient of E[f], of shape `(repeats, P)`: all parameters, one after another."""
    size = max(1, dist.batch_shape.numel() * dist.event_shape.numel())
    chunk = max(1, _AT_ONCE // (size * evaluations(dist, estimator)))
    return torch.cat([_gradients(f, dist, estimator, min(chunk, repeats - n)) for n in range(0, repeats, chunk)])


def _gradients(f: Cost, dist: Distribution, estimator: Estimator, repeats: int) -> Tensor:
    with torch.enable_grad():
        copy, leaves = copies(dist, repeats)
        value = expect(_on_copies(f), copy, estimator)
        found = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    rows = torch.cat([gradient.reshape(repeats, -1) for gradient in found], 1)
    if not bool(torch.isfinite(rows).all()):
        raise InvalidArgument(
            "a gradient estimate is NaN or infinite",
            received=f"{int((~torch.isfinite(rows)).any(1).sum())} of {repeats} estimates by {estimator}",
            instead="a cost that is finite, with a finite gradient, wherever the distribution has probability",
        )
    return rows


def _on_copies(f: Cost) -> Cost:
    """The cost of points `(K, repeats, *batch_shape, *event_shape)`: to f, each copy is one draw more."""

    def cost(points: Tensor) -> Tensor:
        return _described(f, points.flatten(0, 1)).unflatten(0, points.shape[:2])

    return cost


def evaluations(dist: Distribution, estimator: Estimator) -> int:
    """Evaluations of the cost for each batch element, where the measured parameters need a gradient."""
    return estimator.evaluations(copies(dist, 1).dist)


def check_estimators(name: str, estimators: object) -> None:
    """Raise unless `estimators` is a list of at least one."""
    if not isinstance(estimators, Sequence) or not estimators:
        raise InvalidArgument(
            f"{name} must be a list of at least one estimator",
            received=f"{estimators!r}",
            instead="[rp.LeaveOneOut(2), rp.LeaveOneOut(8)]",
        )
    for estimator in estimators:
        if not isinstance(estimator, Estimator):
            raise InvalidArgument(
                f"{name} must be objects, such as rp.LeaveOneOut(4)",
                received=f"{estimator!r}",
                instead=f"[rp.{estimator.__name__}()]" if isinstance(estimator, type) else "[rp.LeaveOneOut(4)]",
            )


def try_once(f: Cost, dist: Distribution, estimator: Estimator) -> None:
    """One estimate, on the shapes the user gave: what cannot work says so here, in the user's terms."""
    with torch.enable_grad():
        copy, _ = copies(dist, 1)
        expect(lambda points: _described(f, points.squeeze(1)).unsqueeze(1), copy, estimator)


def _described(f: Cost, points: Tensor) -> Tensor:
    """The cost of some points, of which there is one for each."""
    costs = f(points)
    if not isinstance(costs, Tensor) or costs.dim() < 1 or costs.shape[0] != points.shape[0]:
        shape = f"{tuple(costs.shape)}" if isinstance(costs, Tensor) else type(costs).__name__
        raise InvalidArgument(
            "the cost must return one number for each point, of shape (K, *batch_shape)",
            received=f"costs of shape {shape} for points of shape {tuple(points.shape)}",
            instead="reduce event dimensions only, as f(x).sum(-1), and leave the leading ones alone",
        )
    return costs


def seconds(f: Cost, dist: Distribution, estimator: Estimator, calls: int) -> float:
    """The median time of one estimate with its backward pass: CPU seconds, or seconds on an accelerator."""
    return statistics.median(_timed(f, dist, estimator) for _ in range(calls))


def _timed(f: Cost, dist: Distribution, estimator: Estimator) -> float:
    with torch.enable_grad():
        copy, leaves = copies(dist, 1)
        device = next(iter(leaves.values())).device
        clock = time.process_time if device.type == "cpu" else _synchronised
        start = clock()
        value = expect(_on_copies(f), copy, estimator)
        torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return clock() - start


def _synchronised() -> float:
    torch.accelerator.synchronize()
    return time.perf_counter()


class Spread(NamedTuple):
    """The total variance of some estimates, and its standard error."""

    variance: float
    error: float


def spread(rows: Tensor) -> Spread:
    """The variance of an estimate, summed over components, from estimates of shape `(repeats, P)`."""
    n = rows.shape[0]
    squares = (rows.double() - rows.double().mean(0)).square().sum(1) * n / (n - 1)
    return Spread(squares.mean().item(), squares.std().item() / n**0.5)
