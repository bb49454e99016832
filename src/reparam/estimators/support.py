"""Finite supports: every value a distribution can take, and its probability, exact where `log_prob` is not.

torch clamps `probs` before it takes a logarithm, so `exp(log_prob)` is off by an epsilon at probability 0 and 1 and its
gradient is zero there. The families below compute the probability from the parameter that was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.checks import values_visible
from reparam.errors import InvalidArgument

Support = tuple[Tensor, Tensor]


def is_logits(dist: Distribution) -> bool:
    """Whether `dist` was given logits. torch caches either from the other, but what was given was stored first."""
    held = getattr(dist, "_categorical", dist).__dict__
    return next((name for name in held if name in ("probs", "logits")), None) == "logits"


def support_size(dist: Distribution) -> int | None:
    """How many values `dist` can take, or None where they are infinitely many or nobody knows how to list them."""
    if isinstance(dist, td.Independent):
        base = support_size(dist.base_dist)
        sites = math.prod(dist.base_dist.batch_shape[len(dist.batch_shape) :])
        return None if base is None else base**sites
    if type(dist) is td.Bernoulli:
        return 2
    if isinstance(dist, (td.Categorical, td.OneHotCategorical)):
        return dist.param_shape[-1]
    if type(dist) is td.Binomial:
        return int(dist.total_count.max()) + 1
    counted = getattr(dist, "support_size", None)  # by a class of ours, where listing would take long
    if counted is not None:
        return counted
    return dist.enumerate_support(expand=False).shape[0] if dist.has_enumerate_support else None


def finite_support(dist: Distribution) -> Support:
    """Points `(n, *batch_shape, *event_shape)` and probabilities `(n, *batch_shape)` of the whole support.

    Points whose probability is zero, and stays zero when the parameters move, are replaced by the likeliest point: a
    cost that is infinite or undefined there must not turn `0 * inf` into NaN.
    """
    if isinstance(dist, td.Independent):
        return _product(dist)
    build = _SUPPORTS.get(type(dist), _generic)
    points, probabilities = build(dist)
    if is_logits(dist) or not probabilities.requires_grad:
        points = _mask_impossible(points, probabilities)
    return points, probabilities


def _bernoulli(dist: td.Bernoulli) -> Support:
    if is_logits(dist):
        probabilities = torch.stack([torch.sigmoid(-dist.logits), torch.sigmoid(dist.logits)])
    else:
        probabilities = torch.stack([1 - dist.probs, dist.probs])
    return _along_first(torch.arange(2.0), probabilities), probabilities


def _categorical(dist: td.Categorical) -> Support:
    probabilities = (torch.softmax(dist.logits, -1) if is_logits(dist) else dist.probs).movedim(-1, 0)
    return _along_first(torch.arange(probabilities.shape[0]), probabilities, torch.int64), probabilities


def _one_hot(dist: td.OneHotCategorical) -> Support:
    _, probabilities = _categorical(dist._categorical)
    eye = torch.eye(probabilities.shape[0], dtype=probabilities.dtype, device=probabilities.device)
    batch = probabilities.shape[1:]
    return eye.view(-1, *[1] * len(batch), eye.shape[1]).expand(-1, *batch, -1), probabilities


def _binomial(dist: td.Binomial) -> Support:
    count = dist.total_count
    p = torch.sigmoid(dist.logits) if is_logits(dist) else dist.probs
    q = torch.sigmoid(-dist.logits) if is_logits(dist) else 1 - dist.probs
    values = _along_first(torch.arange(float(support_size(dist) or 1)), p.expand(support_size(dist) or 1, *p.shape))
    possible = values <= count
    x = torch.where(possible, values, torch.zeros_like(values))
    # In float64: the binomial coefficient overflows float32 beyond 127 trials. Powers, not logarithms, so that the
    # derivative at p = 0 and p = 1 is the true one.
    wide = torch.float64
    choose = torch.exp(
        torch.lgamma(count.to(wide) + 1) - torch.lgamma(x.to(wide) + 1) - torch.lgamma((count - x).to(wide) + 1)
    )
    law = choose * p.to(wide) ** x.to(wide) * q.to(wide) ** (count - x).to(wide)
    return values.minimum(count), torch.where(possible, law, 0.0).to(p.dtype)


def _generic(dist: Distribution) -> Support:
    points = dist.enumerate_support(expand=True)
    prob = getattr(dist, "prob", None)  # of a class of ours whose logarithm has no slope at an edge
    return points, dist.log_prob(points).exp() if prob is None else prob(points)


_SUPPORTS: dict[type[Distribution], Callable[..., Support]] = {
    td.Bernoulli: _bernoulli,
    td.Binomial: _binomial,
    td.Categorical: _categorical,
    td.OneHotCategorical: _one_hot,
    td.OneHotCategoricalStraightThrough: _one_hot,
}


def _along_first(values: Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    values = values.to(dtype=like.dtype if dtype is None else dtype, device=like.device)
    return values.view(-1, *[1] * (like.dim() - 1)).expand(like.shape)


def _product(dist: td.Independent) -> Support:
    """The Cartesian product over the reinterpreted dimensions, which torch's own `enumerate_support` refuses."""
    base = dist.base_dist
    points, probabilities = finite_support(base)
    size, batch = points.shape[0], len(dist.batch_shape)
    sites = math.prod(base.batch_shape[batch:])
    combinations = torch.cartesian_prod(*[torch.arange(size, device=points.device)] * sites).view(-1, sites)
    site = torch.arange(sites, device=points.device)

    def pick(values: Tensor, trailing: torch.Size) -> Tensor:
        flat = values.reshape(size, *dist.batch_shape, sites, *trailing).movedim(batch + 1, 1)
        return flat[combinations, site].movedim(1, batch + 1)

    joint = pick(probabilities, torch.Size()).prod(-1)
    return pick(points, base.event_shape).reshape(joint.shape + dist.event_shape), joint


def _mask_impossible(points: Tensor, probabilities: Tensor) -> Tensor:
    impossible = probabilities.detach() == 0
    if values_visible() and impossible.device.type == "cpu" and not impossible.any():
        return points
    extra = points.dim() - probabilities.dim()
    best = probabilities.detach().argmax(0, keepdim=True)
    index = best.view(best.shape + (1,) * extra).expand(1, *points.shape[1:])
    return torch.where(impossible.view(impossible.shape + (1,) * extra), points.gather(0, index), points)


def require_finite(dist: Distribution, budget: int) -> int:
    """The size of the support, or an error that names what would work."""
    size = support_size(dist)
    if size is None:
        raise InvalidArgument(
            f"{type(dist).__name__} has no finite support that can be listed",
            received=f"{type(dist).__name__} with support {dist.support}",
            instead="rp.LeaveOneOut(4) for a discrete distribution, rp.Pathwise() for a continuous one",
        )
    if size > budget:
        raise InvalidArgument(
            f"the support of {size:,} values exceeds the budget of {budget:,} evaluations",
            received=f"{dist}",
            instead="rp.LeaveOneOut(4), or a larger rp.Enumerate(budget=...)",
        )
    return size
