"""`expect`: the value of an expectation, and an estimate of its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import check_parameters, values_visible, wants_validation
from reparam.errors import InvalidArgument, ReparamError
from reparam.estimators import Draw, Estimator
from reparam.expectation.choice import estimator_for
from reparam.expectation.costs import check_cost
from reparam.expectation.program import Sampler
from reparam.noise import Noise, as_source


class Run(NamedTuple):
    """What an expectation was estimated from: returned beside it by `expect(..., aux=True)`.

    Attributes:
        draws: the points of each variable in the order of drawing, of shape `(*axes, *batch_shape, *event_shape)`.
        weights: those of a cost that depends on everything drawn, of shape `(*axes, *batch_shape)`, differentiable.
        outputs: what the cost or program returned beside its cost.
    """

    draws: tuple[Tensor, ...]
    weights: Tensor
    outputs: Any


@overload
def expect(
    f: Callable[..., Tensor | None],
    dist: Distribution | None = None,
    estimator: Estimator | None = None,
    *,
    samples: int | None = None,
    noise: Noise = None,
    aux: Literal[False] = False,
) -> Tensor: ...
@overload
def expect(
    f: Callable[..., tuple[Tensor | None, Any]],
    dist: Distribution | None = None,
    estimator: Estimator | None = None,
    *,
    samples: int | None = None,
    noise: Noise = None,
    aux: Literal[True],
) -> tuple[Tensor, Run]: ...
def expect(
    f: Callable[..., Any],
    dist: Distribution | None = None,
    estimator: Estimator | None = None,
    *,
    samples: int | None = None,
    noise: Noise = None,
    aux: bool = False,
) -> Tensor | tuple[Tensor, Run]:
    r"""Estimate :math:`E[f(x)]` so that its gradient estimates the gradient of the expectation.

    .. math:: E[f(x)] \approx \sum_k w_k(\theta) f(x_k)

    Args:
        f: the cost. With a distribution, it takes points of shape `(K, *batch_shape, *event_shape)` and returns costs
            of shape `(K, *batch_shape)`: each batch element is credited with its own cost only, which holds when cost i
            depends on draw i alone (wrap the batch in `Independent` otherwise). Without one, `f` is a program: it takes
            `sample`, calls `sample(dist)` or `sample(dist, estimator)` for each random variable in turn, and returns a
            cost of shape `(*axes, *batch_shape)`; `sample.cost(c, of=z)` adds a cost that is credited to z and what
            lies upstream of it only.
        dist: a distribution; None for a program.
        estimator: how to estimate; `estimator_for(dist)` unless given.
        samples: how many draws, for an estimator that draws them; the number of parallel runs of a program (one, unless
            given).
        noise: where draws come from, as in `rsample`.
        aux: `f` returns `(cost, outputs)`, and `expect` returns `(value, Run(draws, weights, outputs))`.

    Returns:
        A tensor of shape `batch_shape`.

    Gradient:
        With respect to every parameter of the distributions and of the cost. Unbiased where the estimator says so; as
        many evaluations as `estimator.evaluations(dist)`, in one call of `f`.

    Errors:
        `InvalidArgument` for a cost of the wrong shape, one that takes a single point, one that is NaN (in eager mode),
        one that carries no gradient back to points that need it, and for an estimator that cannot serve the
        distribution.

    References:
        Schulman et al., Gradient Estimation Using Stochastic Computation Graphs, NeurIPS 2015. Foerster et al., DiCE,
        ICML 2018.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.tensor([0.3, -1.0], requires_grad=True)
        >>> loss = rp.expect(lambda b: (b - 0.45) ** 2, torch.distributions.Bernoulli(logits=logits))
        >>> torch.autograd.grad(loss.sum(), logits)[0]
        tensor([0.0244, 0.0197])
    """
    if not callable(f):
        raise InvalidArgument(
            "the first argument is the cost, or a program: a function",
            received=f"f = {f!r}",
            instead="rp.expect(lambda x: (x - 0.45) ** 2, dist)",
        )
    if dist is None:
        if estimator is not None:
            raise InvalidArgument(
                "a program names an estimator for each of its variables",
                received=f"estimator={estimator!r} without a distribution",
                instead="sample(dist, estimator) inside the program",
            )
        return _program(f, _run_count(samples), noise, aux)
    if not isinstance(dist, Distribution):
        raise InvalidArgument(
            "dist must be a torch.distributions.Distribution",
            received=f"{type(dist).__name__}",
            instead="rp.expect(f, dist, estimator), or rp.expect(program) for several variables",
        )
    check_parameters(dist)
    estimator = _resolve(dist, estimator, samples)
    own = getattr(estimator, "samples", None)
    draws = torch.Size() if own is None else torch.Size((own,))
    draw = estimator.draw(dist, as_source(noise, draws))
    costs, outputs = _split(_called(f, draw.points), aux)
    _check_costs(costs, draw)
    result = estimator.combine(draw, costs, (lambda x: f(x)[0]) if aux else f)
    result = _not_nan(result) if wants_validation(dist) else result
    return (result, Run((draw.points,), draw.weights, outputs)) if aux else result


def _program(f: Callable[..., Any], runs: int, noise: Noise, aux: bool) -> Tensor | tuple[Tensor, Run]:
    sampler = Sampler(runs, as_source(noise, torch.Size((runs,))))
    cost, outputs = _split(f(sampler), aux)
    value = _not_nan(sampler.combine(cost))
    return (value, Run(sampler.draws, sampler.weights(), outputs)) if aux else value


def _called(f: Callable[..., Any], points: Tensor) -> Any:
    """What the cost returns; an error that says so where it wants one point at a time."""
    try:
        return f(points)
    except (RuntimeError, ValueError) as error:
        # torch's own words for `if x > 0` and for `float(x)`.
        if isinstance(error, ReparamError) or not any(sign in str(error) for sign in ("ambiguous", " to Python sc")):
            raise
        raise InvalidArgument(
            "the cost takes one point at a time, and is called with many",
            received=f"points of shape {tuple(points.shape)}, and from the cost: {error}",
            instead="torch.where(condition, a, b) in place of `if`, or torch.vmap(f)",
        ) from error


def _split(returned: Any, aux: bool) -> tuple[Any, Any]:
    """The cost and what came beside it."""
    if not aux:
        return returned, None
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise InvalidArgument(
            "with aux=True the cost or program returns a pair (cost, outputs)",
            received=f"{type(returned).__name__}",
            instead="return cost, {'accuracy': accuracy}, or aux=False",
        )
    return returned


def _run_count(samples: int | None) -> int:
    if samples is None:
        return 1
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise InvalidArgument(
            "samples must be a positive integer",
            received=f"samples = {samples!r}",
            instead="rp.expect(program, samples=8)",
        )
    return samples


def _resolve(dist: Distribution, estimator: Estimator | None, samples: int | None) -> Estimator:
    if estimator is None:
        estimator = estimator_for(dist)
    elif not isinstance(estimator, Estimator):
        raise InvalidArgument(
            "estimator must be an object, such as rp.LeaveOneOut(4)",
            received=f"estimator = {estimator!r}",
            instead=f"rp.{estimator.__name__}()" if isinstance(estimator, type) else f"rp.{estimator_for(dist)}",
        )
    return estimator if samples is None else estimator.resized(samples)


def _check_costs(costs: Tensor, draw: Draw) -> None:
    if not isinstance(costs, Tensor) or costs.shape != draw.weights.shape:
        shape = tuple(costs.shape) if isinstance(costs, Tensor) else type(costs).__name__
        raise InvalidArgument(
            "the cost must return one number for each point, of shape (K, *batch_shape)",
            received=f"costs of shape {shape} for points of shape {tuple(draw.points.shape)}, where "
            f"{tuple(draw.weights.shape)} was expected",
            instead="reduce event dimensions only, as f(x).sum(-1), and leave the leading ones alone",
        )
    check_cost(costs, draw.points.requires_grad)


def _not_nan(result: Tensor) -> Tensor:
    """Raise where the result is NaN, as far as can be seen without synchronising."""
    if not result.is_cpu or not values_visible():
        return result
    # One pass that sees every NaN, and some sums without any: of infinities of both signs.
    total = result.item() if result.dim() == 0 else result.detach().sum().item()
    if math.isnan(total) and (lost := int(result.isnan().sum())):
        raise InvalidArgument(
            "the weighted cost is NaN",
            received=f"{lost} NaN among {result.numel()} batch elements",
            instead="a cost that is finite wherever the distribution has probability",
        )
    return result
