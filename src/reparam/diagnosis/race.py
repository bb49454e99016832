"""More estimates of the candidates that are hard to tell apart, for as long as a wrong choice would cost more."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.diagnosis.diagnose import parameters
from reparam.diagnosis.measure import Cost, evaluations, gradients
from reparam.estimators import Estimator

# Standard errors by which chance may have favoured the leader; and the loss that is not worth another round.
_DOUBT, _REGRET = 3.0, 1.15
# The pilot's evaluations, those of its probes too, as a part of those of so many steps with the leader (or, in the
# mean, with its dearest rival: a cheap leader must not end the race before a dear one could overtake); at most this
# part times the cube of the cheapest's own that may yet win, since steps of one evaluation are too few to pay for more;
# and how much a round adds.
_SHARE, _STEPS, _SHARE_OF_ONE = 0.25, 1000, 0.2
_GROWTH = 0.25


@dataclasses.dataclass(frozen=True)
class Work:
    """Variance times evaluations of a candidate as measured so far, and its relative standard error."""

    value: float
    error: float

    def may_exceed(self, other: Work) -> bool:
        """Whether this work may well be larger than another by more than one would care."""
        if self.value == 0 or other.value == 0:
            return self.value > 0
        ratio = math.log(self.value / other.value)
        return ratio + _DOUBT * math.hypot(self.error, other.error) > math.log(_REGRET)


class Counted:
    """A cost that counts its evaluations for each batch element."""

    def __init__(self, f: Cost) -> None:
        self.f, self.count = f, 0

    def __call__(self, x: Tensor) -> Tensor:
        """The cost, counted."""
        self.count += x.shape[0]
        return self.f(x)


def race(f: Counted, dist: Distribution, running: Mapping[Estimator, Tensor]) -> dict[Estimator, Tensor]:
    """The estimates of each candidate, and more of the leader and of those that may well be much better than it."""
    estimates = dict(running)
    price = {estimator: evaluations(dist, estimator) for estimator in estimates}
    sizes = [math.prod(shape) for shape in parameters(dist).values()]
    elements = dist.batch_shape.numel()
    while True:
        works = {e: _work(rows, sizes, elements, price[e]) for e, rows in estimates.items()}
        leader = min(works, key=lambda e: works[e].value)
        rivals = [e for e in works if e != leader and works[leader].may_exceed(works[e])]
        more = {e: math.ceil(_GROWTH * len(estimates[e])) for e in (leader, *rivals)}
        dear = (price[leader] + max(price[e] for e in more)) / 2
        budget = _STEPS * min(_SHARE * dear, _SHARE_OF_ONE * min(price[e] for e in more) ** 3)
        if not rivals or f.count + sum(n * price[e] for e, n in more.items()) > budget:
            return estimates
        for e, count in more.items():
            estimates[e] = torch.cat([estimates[e], gradients(f, dist, e, count)])


def _work(rows: Tensor, sizes: list[int], elements: int, price: int) -> Work:
    """From estimates of shape `(n, P)`.

    The elements of a batch are independent, so a few estimates of many of them are many.
    """
    n = rows.shape[0]
    squares = (rows.double() - rows.double().mean(0)).square() * n / (n - 1)
    by_element = torch.stack([part.reshape(n, elements, -1).sum(-1) for part in squares.split(sizes, 1)]).sum(0)
    variance = by_element.mean(0).sum().item()
    error = (by_element.var(0).sum() / n).sqrt().item()
    return Work(variance * price, error / variance if variance > 0 else 0.0)
