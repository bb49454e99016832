"""The distribution of subsets of fixed size, by elementary symmetric polynomials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import at_value, in_float64
from reparam.distributions._discrete import STEP, OfItems
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import declare_none, register_sampler

if TYPE_CHECKING:
    from typing_extensions import Self

# The logarithm of nothing. A float, so that two of them have a sum with a finite slope; its exponential is 0.
_NOTHING = -1e300


class _Subset(constraints.Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k

    def check(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == self.k)


class KSubset(OfItems):
    r"""A random subset of k out of n items, with probability proportional to the product of its items' weights.

    .. math:: P(S) = \frac{\prod_{i \in S} e^{\phi_i}}{e_k(e^{\phi_1}, \dots, e^{\phi_n})}, \qquad |S| = k

    This is n independent Bernoulli variates of logits :math:`\phi` given that k of them are one. The normaliser is an
    elementary symmetric polynomial, summed item by item in logarithms: n k operations, no subset is listed.

    Args:
        k: the size of the subset, between 0 and n.
        logits: the logarithms :math:`\phi` of the weights, shape (..., n), finite; a common constant changes nothing.
        validate_args: whether to check the logits and the values given to `log_prob`.

    Shapes and dtypes:
        `logits.shape[:-1]` is `batch_shape`; `event_shape` is `(n,)`: a vector of zeros and k ones. Probabilities and
        moments are computed in float64 and rounded once. A sample takes uniform base noise of its own shape.

    Gradient:
        A sample has none. Of an expectation: `rp.expect(f, dist, rp.LeaveOneOut(4))`, unbiased, or enumeration of a
        small support; biased, by name, `rp.StraightThrough()` (through the exact marginals) and `rp.GumbelTopK()`.

    Errors:
        `InvalidArgument` for k outside its range, logits that are not finite, and values that are no such subset.
        `NoPathwiseGradient` from `rsample`.

    References:
        Chen, Dempster and Liu, Weighted Finite Population Sampling to Maximize Entropy, Biometrika 1994. Ahmed, Zeng,
        Niepert and Van den Broeck, SIMPLE, ICLR 2023.

    Example:
        >>> import torch
        >>> d = KSubset(2, torch.tensor([0.0, 0.0, 1.0]))
        >>> d.mean  # the chance of each item to be in
        tensor([0.5777, 0.5777, 0.8446])
        >>> d.log_prob(torch.tensor([1.0, 1.0, 0.0])).exp()
        tensor(0.1554)
    """

    k: int

    def __init__(self, k: int, logits: Tensor, validate_args: bool | None = None) -> None:
        self.k = k
        super().__init__(logits, validate_args)
        items = logits.shape[-1]
        if not isinstance(k, int) or isinstance(k, bool) or not 0 <= k <= items:
            raise InvalidArgument(
                "KSubset: k must be an integer between 0 and the number of items",
                received=f"k = {k!r} of {items} items",
                instead=f"KSubset({items // 2}, logits)",
            )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """A view of the same law with a larger batch shape."""
        new: Any = super().expand(batch_shape, _instance)
        new.k = self.k
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors of zeros and k ones."""
        return _Subset(self.k)

    @property
    def support_size(self) -> int:
        """The number of subsets, n choose k."""
        return math.comb(self.event_shape[0], self.k)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All subsets, along a new first dimension."""
        items = self.event_shape[0]
        chosen = self._listed(itertools.combinations(range(items), self.k))
        values = torch.zeros(*chosen.shape[:-1], items).to(self.logits).scatter(-1, chosen, 1.0)
        return values.expand(-1, *self.batch_shape, items) if expand else values

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        return (value * self.logits).sum(-1) - _suffixes(self.logits, self.k)[0][..., self.k]

    @property
    @in_float64
    def mean(self) -> Tensor:
        """The chance of each item to be in the subset."""
        return _log_marginals(self).exp()

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`m (1 - m)`, m the mean."""
        mean = self.mean
        return mean * (1 - mean)

    @property
    def mode(self) -> Tensor:
        """The k items of largest weight."""
        best = self.logits.topk(self.k, -1).indices
        return torch.zeros_like(self.logits).scatter(-1, best, 1.0)

    @in_float64
    def entropy(self) -> Tensor:
        """The logarithm of the normaliser less the mean of the logits."""
        return _suffixes(self.logits, self.k)[0][..., self.k] - (self.logits * self.mean).sum(-1)


def _with_item(table: Tensor, logit: Tensor) -> Tensor:
    """Log e_0, ..., log e_k of one more item."""
    without = table.new_full((*table.shape[:-1], 1), _NOTHING)
    with_it = torch.cat([without, table[..., :-1] + logit.unsqueeze(-1)], -1)
    # Not `logaddexp`, whose second derivative overflows where the terms are far apart.
    return torch.logsumexp(torch.stack([table, with_it]), 0)


def _suffixes(logits: Tensor, k: int) -> list[Tensor]:
    """Log e_0, ..., log e_k of the items from the i-th on, for i = 0, ..., n."""
    empty = torch.full((k + 1,), _NOTHING, dtype=logits.dtype, device=logits.device)
    empty[0] = 0
    tables = [empty.expand(*logits.shape[:-1], k + 1)]
    for logit in reversed(logits.unbind(-1)):
        tables.append(_with_item(tables[-1], logit))
    return tables[::-1]


def _log_marginals(dist: KSubset) -> Tensor:
    """For each item, log of its weight times e_{k-1} of all others, over e_k."""
    if dist.k == 0:
        return torch.full_like(dist.logits, -torch.inf)
    after = _suffixes(dist.logits, dist.k)
    before = _suffixes(dist.logits.flip(-1), dist.k)[::-1]
    others = [
        torch.logsumexp(left[..., :-1] + right[..., :-1].flip(-1), -1)
        for left, right in zip(before[:-1], after[1:], strict=True)
    ]
    return dist.logits + torch.stack(others, -1) - after[0][..., dist.k :]


declare_none(KSubset, STEP)


@register_sampler(KSubset)
def k_subset(dist: KSubset, noise: BoundNoise) -> Tensor:
    """Item by item, each in with its chance given how many places are left."""
    logits, batch = dist.logits.double(), noise.shape[:-1]
    tables = _suffixes(logits, dist.k)
    left = torch.full(batch, dist.k, device=logits.device)
    chosen = []
    for i, u in enumerate(noise.uniform().unbind(-1)):
        rest, all_of = (table.expand(*batch, dist.k + 1) for table in (tables[i + 1], tables[i]))
        with_it = rest.gather(-1, (left - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1) + logits[..., i]
        chance = torch.exp(with_it - all_of.gather(-1, left.unsqueeze(-1)).squeeze(-1))
        taken = (left > 0) & (u < chance)
        left = left - taken.long()
        chosen.append(taken)
    return torch.stack(chosen, -1).to(noise.like.dtype)
