"""Every unbiased estimator of discrete laws with every family it accepts: the rows that the generic tests draw from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from estimators.outcomes import derivatives, t
from reparam.estimators import Estimator


@dataclasses.dataclass(frozen=True)
class Family:
    """A law whose expectations can be summed: from parameters of shape `(..., P)`, at one point of them."""

    make: Callable[[Tensor], td.Distribution]
    at: Tensor
    support: Tensor

    def exact(self, f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        """The sum over the support, by torch's own probabilities."""
        dist = self.make(at)
        points = self.support.to(at.dtype) if self.support.is_floating_point() else self.support
        return (dist.log_prob(points).exp() * f(points)).sum()


def _bits(sites: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=sites)), dtype=torch.float64)


def _trials(n: int, size: int) -> Tensor:
    rows = [c for c in itertools.product(range(n + 1), repeat=size) if sum(c) == n]
    return torch.tensor(rows, dtype=torch.float64)


# A control variate needs gigabytes for a million draws at once.
_AT_ONCE = 50_000
COUNTS = torch.arange(60, dtype=torch.float64)
LOGITS, PROBS = t(0.3, -1.0, 0.5), t(0.2, 0.5, 0.3)
COINS = {
    # Nearer to even odds, three coupled coins almost never agree, and all other outcomes give one gradient: no spread.
    "Bernoulli logits": Family(lambda p: td.Bernoulli(logits=p[..., 0]), t(0.9), COUNTS[:2]),
    "Bernoulli probs": Family(lambda p: td.Bernoulli(p[..., 0]), t(0.2), COUNTS[:2]),
    "Independent Bernoulli": Family(lambda p: td.Independent(td.Bernoulli(logits=p), 1), LOGITS, _bits(3)),
    "OneHotCategorical": Family(lambda p: td.OneHotCategorical(logits=p), LOGITS, torch.eye(3).double()),
}
CATEGORIES = {
    "Categorical logits": Family(lambda p: td.Categorical(logits=p), LOGITS, torch.arange(3)),
    "Categorical probs": Family(lambda p: td.Categorical(p), PROBS, torch.arange(3)),
}
COUNTED = {
    "Binomial": Family(lambda p: td.Binomial(4, logits=p[..., 0]), t(0.4), COUNTS[:5]),
    "Poisson": Family(lambda p: td.Poisson(p[..., 0]), t(2.5), COUNTS),
    # Its constructor looks at values, whatever the mode, unless told not to.
    "Geometric": Family(lambda p: td.Geometric(p[..., 0], validate_args=False), t(0.6), COUNTS),
    "NegativeBinomial": Family(lambda p: td.NegativeBinomial(p[..., 0], p[..., 1]), t(1.5, 0.3), COUNTS),
    "Multinomial": Family(lambda p: td.Multinomial(3, logits=p), LOGITS, _trials(3, 3)),
    "Independent Poisson": Family(
        lambda p: td.Independent(td.Poisson(p), 1), t(0.5, 1.5), torch.cartesian_prod(COUNTS[:20], COUNTS[:20])
    ),
}


def on_its_way(estimator: rp.RELAX) -> rp.RELAX:
    """With a control variate that is no longer zero, the same in every run."""
    for p in estimator.parameters():
        torch.nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(p.numel()))
    return estimator


ACCEPTED: dict[str, tuple[Estimator, dict[str, Family]]] = {
    "ScoreFunction": (rp.ScoreFunction(2), COINS | CATEGORIES | COUNTED),
    "LeaveOneOut": (rp.LeaveOneOut(3), COINS | CATEGORIES | COUNTED),
    "MeasureValued": (rp.MeasureValued(), COINS | CATEGORIES | COUNTED),
    "Enumerate": (rp.Enumerate(), COINS | CATEGORIES | {"Binomial": COUNTED["Binomial"]}),
    "ARM": (rp.ARM(), COINS | CATEGORIES),
    "DisARM": (rp.DisARM(4), COINS | CATEGORIES),
    "ARMS": (rp.ARMS(3), COINS | CATEGORIES),
    "SumAndSample": (rp.SumAndSample(2), COINS | CATEGORIES | {"Binomial": COUNTED["Binomial"]}),
    "Unordered": (rp.Unordered(2), COINS | CATEGORIES | {"Binomial": COUNTED["Binomial"]}),
    "REBAR": (rp.REBAR(), COINS),
    "RELAX": (on_its_way(rp.RELAX()), COINS | CATEGORIES),
    "RELAX(2)": (on_its_way(rp.RELAX(2)), COINS | CATEGORIES),
    "RELAX(temperature)": (on_its_way(rp.RELAX(temperature=0.5)), COINS),
    "RODEO": (rp.RODEO(3), {name: COINS[name] for name in list(COINS)[:3]}),
}
ROWS = {
    f"{kind}-{name}": (estimator, family)
    for kind, (estimator, families) in ACCEPTED.items()
    for name, family in families.items()
}


def cost(points: Tensor, event_dims: int) -> Tensor:
    """Neither linear nor symmetric, and differentiable between the values."""
    x = points if points.is_floating_point() else points.double()
    if event_dims:
        x = (x * torch.arange(1.0, x.shape[-1] + 1, dtype=x.dtype)).sum(-1)
    return torch.sin(1.3 * x + 0.2) + 0.1 * x**2


def cost_for(family: Family) -> Callable[[Tensor], Tensor]:
    events = len(family.make(family.at).event_shape)
    return lambda points: cost(points, events)


def exact(family: Family) -> list[Tensor]:
    """Value, gradient and Hessian of the expectation of the cost."""
    f, at = cost_for(family), family.at
    value = family.exact(f, at)
    first = torch.autograd.functional.jacobian(lambda p: family.exact(f, p), at)
    second = torch.autograd.functional.hessian(lambda p: family.exact(f, p), at)
    return [value, first, second]  # pyright: ignore[reportReturnType]


def estimates(estimator: Estimator, family: Family, n: int) -> list[Tensor]:
    """At least n independent estimates of each of the same, along the first dimension."""
    parts: list[list[Tensor]] = []
    for _ in range(-(-n // _AT_ONCE)):
        parameter = family.at.expand(min(n, _AT_ONCE), -1).clone().requires_grad_()
        value = rp.expect(cost_for(family), family.make(parameter), estimator)
        parts.append(derivatives(value, parameter))
    return [torch.cat(part) for part in zip(*parts, strict=True)]
