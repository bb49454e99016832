"""The binomial distribution whose probability is itself drawn from a Beta law."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Binomial, constraints

from reparam.checks import all_true, summary
from reparam.distributions._base import at_value, broadcast, in_float32, in_float64
from reparam.distributions._discrete import STEP, Discrete
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise, TensorNoise
from reparam.pathwise import declare_none, register_sampler
from reparam.pathwise._log_gamma import draw_log_gamma_ratio
from reparam.pathwise.sampling import binomial
from reparam.special._beta_pieces import stirling_error


class BetaBinomial(Discrete):
    r"""The number of successes in n trials that share a probability of law Beta(a, b).

    .. math:: P(X = k) = \binom{n}{k} \frac{B(k + a,\, n - k + b)}{B(a, b)}, \qquad k = 0, \dots, n

    Args:
        concentration1: a, positive.
        concentration0: b, positive.
        total_count: n, a non-negative integer.
        validate_args: whether to check the parameters and the values given to `log_prob`.

    Shapes and dtypes:
        The parameters broadcast to `batch_shape`; `event_shape` is `()`. Probabilities and moments are computed in
        float64 and rounded once; at large concentrations they tend to the binomial's without cancellation.

    Gradient:
        A sample has none. Of an expectation: `rp.expect(f, dist)`, which enumerates and is exact; or, for many trials,
        `rp.LeaveOneOut(4)`, unbiased, and `rp.Fini(2)`, which is exact for quadratic costs.

    Errors:
        `InvalidArgument` for a parameter or value outside its constraint, for base noise as a tensor, and from
        `enumerate_support` where the batch has several numbers of trials. `NoPathwiseGradient` from `rsample`.

    References:
        Skellam, A Probability Distribution Derived from the Binomial Distribution, JRSS B 1948.

    Example:
        >>> import torch
        >>> d = BetaBinomial(2.0, 3.0, total_count=10)
        >>> d.mean, d.variance
        (tensor(4.), tensor(6.))
        >>> d.log_prob(d.enumerate_support()).exp().sum()
        tensor(1.)
    """

    arg_constraints: ClassVar = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }
    has_enumerate_support = True
    concentration1: Tensor
    concentration0: Tensor
    total_count: Tensor

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        total_count: Tensor | int = 1,
        validate_args: bool | None = None,
    ) -> None:
        given = {"concentration1": concentration1, "concentration0": concentration0, "total_count": total_count}
        self.concentration1, self.concentration0, count = broadcast("BetaBinomial", **given)
        self.total_count = count.to(self.concentration1.dtype)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The integers from 0 to `total_count`."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def support_size(self) -> int:
        """One more than the largest number of trials."""
        return int(self.total_count.max()) + 1

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The integers from 0 to `total_count`, along a new first dimension."""
        if not all_true(self.total_count == self.total_count.max()):
            raise InvalidArgument(
                "BetaBinomial: one support can only be listed for one number of trials",
                received=f"total_count = {summary(self.total_count)}",
                instead="a distribution for each number of trials, or rp.LeaveOneOut(4)",
            )
        values = torch.arange(self.support_size, dtype=self.total_count.dtype, device=self.total_count.device)
        values = values.view(-1, *[1] * len(self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        a, b, n = self.concentration1, self.concentration0, self.total_count
        ways = torch.lgamma(n + 1) - torch.lgamma(value + 1) - torch.lgamma(n - value + 1)
        return ways + _log_rising(a, value) + _log_rising(b, n - value) - _log_rising(a + b, n)

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`n a / (a + b)`."""
        return self.total_count * self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`n p (1 - p) (a + b + n) / (a + b + 1)` with `p = a / (a + b)`."""
        a, b, n = self.concentration1, self.concentration0, self.total_count
        total = a + b
        return n * (a / total) * (b / total) * ((total + n) / (total + 1))


def _log_rising(a: Tensor, k: Tensor) -> Tensor:
    """Log Gamma(a + k) - log Gamma(a), a small number between two large ones where a is large."""
    return (a - 0.5) * torch.log1p(k / a) + k * ((a + k).log() - 1) + stirling_error(a + k) - stirling_error(a)


declare_none(BetaBinomial, STEP)


@register_sampler(BetaBinomial)
@in_float32
def beta_binomial(dist: BetaBinomial, noise: BoundNoise) -> Tensor:
    """A binomial variate at the sigmoid of a Beta's logit."""
    if isinstance(noise.source, TensorNoise):
        raise InvalidArgument(
            "BetaBinomial has no base noise of fixed size",
            received=f"noise of shape {tuple(noise.source.values.shape)}",
            instead="noise=torch.Generator().manual_seed(seed), or rp.noise.Philox(seed)",
        )
    p = torch.sigmoid(draw_log_gamma_ratio(dist.concentration1, dist.concentration0, noise))
    # torch's sampler wants both arguments batched alike under `vmap`.
    return binomial(Binomial(dist.total_count + torch.zeros_like(p), p, validate_args=False), noise)
