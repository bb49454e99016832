"""What the gradient should be: enumerated, summed, or drawn with a budget that is declared."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.diagnosis.copies import copies
from reparam.diagnosis.measure import Cost, gradients
from reparam.errors import InvalidArgument, ReparamError
from reparam.estimators import Enumerate, Estimator, LeaveOneOut, ScoreFunction, support_size
from reparam.pathwise import parameter_like

_ENUMERATED = 2**16
_REPEATS, _DRAWS = 512, 256
# Numbers in all points of a drawn reference.
_BUDGET = 2**24


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """A gradient to hold the others against.

    Attributes:
        gradient: all parameters, one after another.
        error: its standard error, rounding included, of the same shape.
        kind: where it comes from, in words.
    """

    gradient: Tensor
    error: Tensor
    kind: str

    def worst_z(self, rows: Tensor) -> float:
        """The bias of estimates `(repeats, P)` in standard errors, of the component where it is largest."""
        difference = rows.double().mean(0) - self.gradient
        error = (rows.double().var(0) / rows.shape[0] + self.error**2).sqrt()
        z = torch.where(difference == 0, 0.0, difference / error)
        return z[z.abs().argmax()].item()


def reference(f: Cost, dist: Distribution, declared: Tensor | Estimator | None) -> Reference:
    """The gradient of E[f]: what the user declared, or the best that can be had.

    A finite support is enumerated, counts are summed until nothing changes; of anything else, many draws by
    `LeaveOneOut`, whose score function is right for costs of any kind.
    """
    if isinstance(declared, Tensor):
        found = _declared(dist, declared)
    elif declared is not None:
        found = _drawn(f, dist, declared, _REPEATS)
    else:
        found = _exact(f, dist) or _drawn(f, dist, *_budget(dist))
    return dataclasses.replace(found, error=torch.sqrt(found.error**2 + _rounding(f, dist, found.gradient) ** 2))


def _exact(f: Cost, dist: Distribution) -> Reference | None:
    size = support_size(dist)
    if size is not None and size <= _ENUMERATED:
        gradient = gradients(f, dist, Enumerate(_ENUMERATED), 1)[0].double()
        return Reference(gradient, torch.zeros_like(gradient), f"enumeration of {size:,} values")
    support = dist.support
    endless = support is not None and support.is_discrete and not hasattr(support, "upper_bound")
    lowest = getattr(support, "lower_bound", None)
    return _series(f, dist, lowest) if endless and isinstance(lowest, int) and not dist.event_shape else None


def _series(f: Cost, dist: Distribution, lowest: int) -> Reference | None:
    """The sum over counts, with twice as many until nothing changes: the law in float64, the cost as it is."""
    last: Tensor | None = None
    for count in (2**k for k in range(8, 17)):
        gradient = _partial_sum(f, dist, torch.arange(lowest, lowest + count))
        if not bool(torch.isfinite(gradient).all()):
            return None
        if last is not None and bool(((gradient - last).abs() <= 1e-9 * gradient.abs().max()).all()):
            return Reference(gradient, torch.zeros_like(gradient), f"the sum over the first {count:,} counts")
        last = gradient
    return None


def _partial_sum(f: Cost, dist: Distribution, counts: Tensor) -> Tensor:
    with torch.enable_grad():
        copy, leaves = copies(dist, 1, torch.float64)
        like = next(iter(leaves.values()))
        shape = (len(counts), *[1] * len(dist.batch_shape))
        points = counts.to(like.device).view(shape).expand(len(counts), *dist.batch_shape)
        law = copy.log_prob(points.double().unsqueeze(1)).squeeze(1).exp()
        # Where the law is zero to all digits, a cost that overflows must not make NaN of it.
        costs = torch.where(law.detach() > 0, f(points.to(parameter_like(dist).dtype)).detach().double(), 0.0)
        found = torch.autograd.grad((law * costs).sum(), list(leaves.values()))
    return torch.cat([gradient.flatten() for gradient in found])


def _budget(dist: Distribution) -> tuple[Estimator, int]:
    size = max(1, dist.batch_shape.numel() * dist.event_shape.numel())
    return LeaveOneOut(_DRAWS), min(_REPEATS, max(16, _BUDGET // (size * _DRAWS)))


def _drawn(f: Cost, dist: Distribution, estimator: Estimator, repeats: int) -> Reference:
    rows = gradients(f, dist, estimator, repeats).double()
    kind = f"{repeats:,} estimates by {estimator}"
    return Reference(rows.mean(0), rows.std(0) / repeats**0.5, kind)


def _declared(dist: Distribution, gradient: Tensor) -> Reference:
    size = sum(leaf.numel() for leaf in copies(dist, 1).leaves.values())
    if gradient.numel() != size:
        raise InvalidArgument(
            "a reference gradient has one number for each measured parameter",
            received=f"reference of shape {tuple(gradient.shape)}, for {size} parameters",
            instead=f"a tensor of {size} numbers, an estimator such as rp.LeaveOneOut(1024), or None",
        )
    gradient = gradient.detach().flatten().double()
    return Reference(gradient, torch.zeros_like(gradient), "declared")


def _rounding(f: Cost, dist: Distribution, gradient: Tensor) -> Tensor:
    """What rounding may do to a gradient: an epsilon of cost times score, which cancel in the sum."""
    try:
        rows = gradients(f, dist, ScoreFunction(), 64)
    except (ReparamError, NotImplementedError):
        return 1e-6 * gradient.abs()
    return 8 * torch.finfo(rows.dtype).eps * rows.double().square().mean(0).sqrt()
