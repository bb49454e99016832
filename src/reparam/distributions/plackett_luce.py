"""The Plackett-Luce distribution of rankings."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.distributions import constraints

from reparam.distributions._base import in_float64
from reparam.distributions._discrete import STEP, OfItems
from reparam.noise import BoundNoise
from reparam.pathwise import declare_none, register_sampler


class _Permutation(constraints.Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        places = torch.arange(value.shape[-1], device=value.device)
        return (value.sort(-1).values == places).all(-1)


class PlackettLuce(OfItems):
    r"""A random ranking: the items are drawn one by one without replacement, in proportion to their weights.

    .. math:: P(\pi) = \prod_{i=1}^n \frac{e^{\phi_{\pi_i}}}{\sum_{j \ge i} e^{\phi_{\pi_j}}}

    Sorting the logits after adding standard Gumbel noise draws from it.

    Args:
        logits: the logarithms :math:`\phi` of the weights, shape (..., n), finite; a common constant changes nothing.
        validate_args: whether to check the logits and the values given to `log_prob`.

    Shapes and dtypes:
        `logits.shape[:-1]` is `batch_shape`; `event_shape` is `(n,)`: the indices of the items, the first-ranked first,
        as int64. Probabilities are computed in float64 and rounded once. Base noise is standard exponential.

    Gradient:
        A sample has none. Of an expectation: `rp.expect(f, dist, rp.LeaveOneOut(4))`, unbiased, or enumeration of up to
        five or six items; biased, by name, `rp.SoftSort()`.

    Errors:
        `InvalidArgument` for logits that are not finite and values that are no permutation. `NoPathwiseGradient` from
        `rsample`.

    References:
        Luce, Individual Choice Behavior, 1959. Plackett, The Analysis of Permutations, Applied Statistics 1975.
        Yellott, Journal of Mathematical Psychology 1977 (the Gumbel representation).

    Example:
        >>> import torch
        >>> d = PlackettLuce(torch.tensor([0.0, 0.6931]))
        >>> d.log_prob(torch.tensor([[0, 1], [1, 0]])).exp()
        tensor([0.3333, 0.6667])
    """

    support = _Permutation()

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(logits, validate_args)

    @property
    def support_size(self) -> int:
        """The number of permutations, n factorial."""
        return math.factorial(self.event_shape[0])

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All permutations, along a new first dimension."""
        values = self._listed(itertools.permutations(range(self.event_shape[0])))
        return values.expand(-1, *self.batch_shape, -1) if expand else values

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        return _log_prob(self, value)

    @property
    def mode(self) -> Tensor:
        """The items in the order of their weights."""
        return self.logits.argsort(-1, descending=True)


@in_float64
def _log_prob(dist: PlackettLuce, value: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(value.shape, dist.logits.shape)
    ranked = dist.logits.expand(shape).gather(-1, value.long().expand(shape))
    # The last of the sums is the last item alone.
    return (ranked - ranked.flip(-1).logcumsumexp(-1).flip(-1)).sum(-1)


declare_none(PlackettLuce, STEP)


@register_sampler(PlackettLuce)
def plackett_luce(dist: PlackettLuce, noise: BoundNoise) -> Tensor:
    """The order of the logits perturbed by Gumbel noise."""
    return (dist.logits - noise.exponential().log()).argsort(-1, descending=True)
