"""A distribution of counts with an extra chance of zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from reparam.checks import all_true
from reparam.distributions._base import broadcast
from reparam.distributions._discrete import STEP, Discrete, derived, log_odds, one_of
from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise
from reparam.pathwise import declare_none, parameter_like, register_sampler
from reparam.pathwise.sampling import sample

if TYPE_CHECKING:
    from typing_extensions import Self


class ZeroInflated(Discrete):
    r"""Zero with probability g, and otherwise a draw of another distribution of counts.

    .. math:: P(X = 0) = g + (1 - g)\, P_\text{base}(0), \qquad P(X = k) = (1 - g)\, P_\text{base}(k), \quad k > 0

    Args:
        base: a univariate discrete distribution that can be zero, such as Poisson or NegativeBinomial.
        gate: g, in [0, 1].
        gate_logits: its log-odds; either one is given.
        validate_args: whether to check the gate and the values given to `log_prob`.

    Shapes and dtypes:
        `gate` and `base.batch_shape` broadcast to `batch_shape`; `event_shape` is `()`. float32, float64, and what the
        base can do. A sample takes uniform base noise for the gate, and then what the base takes.

    Gradient:
        A sample has none. Of an expectation: `rp.expect(f, dist, rp.LeaveOneOut(4))`, unbiased, or enumeration where
        the base has a finite support. `log_prob` is exact at a gate of 0 and 1.

    Errors:
        `InvalidArgument` where the base is continuous, has events, or cannot be zero; for a gate outside its
        constraint or not given exactly once. `NoPathwiseGradient` from `rsample`.

    References:
        Lambert, Zero-Inflated Poisson Regression, Technometrics 1992.

    Example:
        >>> import torch
        >>> d = ZeroInflated(torch.distributions.Poisson(3.0), gate=0.25)
        >>> d.mean, d.variance
        (tensor(2.2500), tensor(3.9375))
    """

    arg_constraints: ClassVar = {"gate": constraints.unit_interval, "gate_logits": constraints.real}
    base: Distribution

    def __init__(
        self,
        base: Distribution,
        gate: Tensor | float | None = None,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        like = _checked_base(base)
        name, value = one_of("ZeroInflated", gate=gate, gate_logits=gate_logits)
        shaped = like.new_empty(()).expand(base.batch_shape)
        _, held = broadcast("ZeroInflated", base=shaped, **{name: value})
        setattr(self, name, held)
        self.base = base.expand(held.shape)
        super().__init__(held.shape, validate_args=validate_args)

    @derived
    def gate(self) -> Tensor:
        """g, where its logits were given."""
        return torch.sigmoid(self.gate_logits)

    @derived
    def gate_logits(self) -> Tensor:
        """The log-odds of g, where g was given."""
        return log_odds(self.gate)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        """A view of the same law with a larger batch shape."""
        new: Any = super().expand(batch_shape, _instance)
        new.base = self.base.expand(torch.Size(batch_shape))
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint | None:
        """The base's."""
        return self.base.support

    @property
    def has_enumerate_support(self) -> bool:
        """Whether the base has a finite support."""
        return self.base.has_enumerate_support

    @property
    def support_size(self) -> int | None:
        """That of the base."""
        return self.base.enumerate_support(expand=False).shape[0] if self.has_enumerate_support else None

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The base's."""
        return self.base.enumerate_support(expand)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        zero = value == 0
        log_base = self.base.log_prob(value)
        # The branch not taken sees a gate of 0 and a probability of 1: no infinite slope for `where` to multiply by 0.
        at_zero = torch.where(zero, log_base, 0.0)
        if "gate_logits" in self.__dict__:
            log_gate, log_rest = logsigmoid(self.gate_logits), logsigmoid(-self.gate_logits)
            return torch.where(zero, torch.logaddexp(log_gate, log_rest + at_zero), log_rest + log_base)
        inflated = torch.log(self.gate + (1 - self.gate) * at_zero.exp())
        return torch.where(zero, inflated, torch.log1p(-torch.where(zero, 0.0, self.gate)) + log_base)

    def prob(self, value: Tensor) -> Tensor:
        """The probability itself, whose slope in the gate exists where its logarithm's does not."""
        return self.gate * (value == 0) + (1 - self.gate) * self.base.log_prob(value).exp()

    @property
    def mean(self) -> Tensor:
        """`(1 - g) m`, m the base's."""
        return (1 - self.gate) * self.base.mean

    @property
    def variance(self) -> Tensor:
        """`(1 - g) (v + g m^2)`, m and v the base's mean and variance."""
        return (1 - self.gate) * (self.base.variance + self.gate * self.base.mean.square())


def _checked_base(base: Distribution) -> Tensor:
    """A parameter of the base, once the base is known to be one that zeros can be added to."""
    name = type(base).__name__
    support = base.support if isinstance(base, Distribution) and not base.event_shape else None
    if (
        support is None
        or not support.is_discrete
        or not all_true(support.check(parameter_like(base).new_zeros(base.batch_shape)))
    ):
        raise InvalidArgument(
            "ZeroInflated: base must be a univariate distribution of counts that can be zero",
            received=name,
            instead="ZeroInflated(torch.distributions.Poisson(rate), gate=0.2)",
        )
    return parameter_like(base)


declare_none(ZeroInflated, STEP)


@register_sampler(ZeroInflated)
def zero_inflated(dist: ZeroInflated, noise: BoundNoise) -> Tensor:
    """The base's sample where a uniform exceeds the gate."""
    counts = noise.uniform() >= dist.gate
    return torch.where(counts, sample(dist.base, noise.sample_shape, noise.source), 0)
