"""The logarithmic series distribution, whose Poisson sums are negative binomial."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from reparam.distributions._base import at_value, broadcast, in_float64
from reparam.distributions._discrete import STEP, Discrete, derived, log_odds, one_of, open_unit_interval
from reparam.noise import BoundNoise
from reparam.pathwise import declare_none, register_sampler
from reparam.pathwise._range import log1mexp

# Below this probability `-log(1 - p) - p` is a series without cancellation; thirty terms reach rounding error.
_SERIES_BELOW = 0.3
_SERIES_TERMS = 30


class LogarithmicSeries(Discrete):
    r"""The law on 1, 2, 3, ... whose probabilities are the terms of a logarithm's series.

    .. math:: P(X = k) = \frac{-1}{\log(1 - p)} \frac{p^k}{k}, \qquad k = 1, 2, 3, \dots

    A Poisson number of such variates sums to a negative binomial, and so the derivative of a negative binomial
    expectation in its number of failures r is :math:`-\log(1-p)\, E[f(X + J) - f(X)]` with J of this law.

    Args:
        probs: p, in the open interval (0, 1).
        logits: its log-odds; either one is given.
        validate_args: whether to check the parameter and the values given to `log_prob`.

    Shapes and dtypes:
        The parameter's shape is `batch_shape`; `event_shape` is `()`. Probabilities and moments are computed in float64
        and rounded once. A sample takes two pieces of uniform base noise.

    Gradient:
        A sample has none. Of an expectation: `rp.expect(f, dist, rp.LeaveOneOut(4))`, unbiased.

    Errors:
        `InvalidArgument` unless exactly one parameter is given and inside its constraint, and for a value that is no
        positive integer. `NoPathwiseGradient` from `rsample`.

    References:
        Fisher, Corbet and Williams, Journal of Animal Ecology 1943. Kemp, Efficient Generation of Logarithmically
        Distributed Pseudo-Random Variables, Applied Statistics 1981 (the sampler).

    Example:
        >>> import torch
        >>> d = LogarithmicSeries(0.5)
        >>> d.mean, d.log_prob(torch.tensor([1.0, 2.0])).exp()
        (tensor(1.4427), tensor([0.7213, 0.1803]))
    """

    arg_constraints: ClassVar = {"probs": open_unit_interval, "logits": constraints.real}
    support = constraints.positive_integer

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, value = one_of("LogarithmicSeries", probs=probs, logits=logits)
        (held,) = broadcast("LogarithmicSeries", **{name: value})
        setattr(self, name, held)
        super().__init__(held.shape, validate_args=validate_args)

    @derived
    def probs(self) -> Tensor:
        """p, where the logits were given."""
        return torch.sigmoid(self.logits)

    @derived
    def logits(self) -> Tensor:
        """The log-odds of p, where p was given."""
        return log_odds(self.probs)

    @at_value
    @in_float64
    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        log_p, log_q = _logs(self)
        return value * log_p - value.log() - (-log_q).log()

    @property
    @in_float64
    def mean(self) -> Tensor:
        """`p / ((1 - p) L)` with `L = -log(1 - p)`."""
        log_p, log_q = _logs(self)
        return torch.exp(log_p - log_q) / -log_q

    @property
    @in_float64
    def variance(self) -> Tensor:
        """`p (L - p) / ((1 - p) L)^2`, where the difference is a series at small p."""
        log_p, log_q = _logs(self)
        p = log_p.exp()
        small = torch.where(p < _SERIES_BELOW, p, 0.0)
        series = torch.zeros_like(p)
        for k in range(_SERIES_TERMS, 1, -1):
            series = (series + 1 / k) * small
        excess = torch.where(p < _SERIES_BELOW, series * small, -log_q - p)
        return p * excess * torch.exp(-2 * log_q) / log_q.square()

    @property
    def mode(self) -> Tensor:
        """One."""
        return torch.ones_like(next(iter(self._parameters().values())))


def _logs(dist: LogarithmicSeries) -> tuple[Tensor, Tensor]:
    """Log p and log(1 - p), from the parameter that was given."""
    if "logits" in dist.__dict__:
        return logsigmoid(dist.logits), logsigmoid(-dist.logits)
    return dist.probs.log(), torch.log1p(-dist.probs)


declare_none(LogarithmicSeries, STEP)


@register_sampler(LogarithmicSeries)
def logarithmic_series(dist: LogarithmicSeries, noise: BoundNoise) -> Tensor:
    r"""A geometric variate whose parameter :math:`1 - (1-p)^U` is itself random."""
    u, v = (noise.source.uniform(noise.shape, torch.float64, noise.like.device) for _ in range(2))
    _, log_q = _logs(dist._cast(torch.float64))
    x = 1 + (v.log() / log1mexp(-u * log_q)).floor()
    return x.clamp(max=torch.finfo(noise.like.dtype).max).to(noise.like.dtype)
