"""Baselines that know nothing of the draw they are subtracted from: its past, or its distribution."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import Distribution

from reparam.checks import wrapped
from reparam.errors import InvalidArgument, UnsupportedTransform
from reparam.estimators.support import is_logits


class Baseline(nn.Module, abc.ABC):
    """What a cost is expected to be, said before the draw is made: for `ScoreFunction(samples, baseline)`.

    Whatever it says, the gradient has no bias, because what it says cannot depend on the draw: `forward` is asked
    first, and `learn` is told afterwards.
    """

    @abc.abstractmethod
    def forward(self, dist: Distribution) -> Tensor:
        """The expected cost, of shape `batch_shape` or broadcasting to it."""

    @abc.abstractmethod
    def learn(self, expected: Tensor, costs: Tensor) -> Tensor | None:
        """Compare what was expected with costs of shape `(K, *batch_shape)`.

        Either take note of them, or return an error whose gradient in the module's parameters the backward pass of the
        loss is to compute.
        """


class MovingAverage(Baseline):
    r"""The exponentially weighted mean of all costs before the present ones.

    .. math:: B_{t+1} = \beta B_t + (1 - \beta)\, \bar f_t, \qquad
              \hat g_t = \frac1K \sum_k (f(x_k) - B_t)\, \nabla \log p(x_k)

    The first costs of all are the first average; before them it is zero. Updated in training mode, where gradients are
    computed, after it was used: a baseline that has seen the present cost biases the gradient by the factor
    :math:`\beta`.

    Args:
        decay: :math:`\beta`, from 0 up to but not including 1.

    Errors:
        `InvalidArgument` for a decay out of range. `UnsupportedTransform` for an update inside `torch.func`.

    References:
        Williams, Machine Learning 8, 1992 (reinforcement comparison).

    Example:
        >>> import torch, reparam as rp
        >>> estimator = rp.ScoreFunction(4, rp.MovingAverage(0.9))
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> loss = rp.expect(lambda b: b + 100, torch.distributions.Bernoulli(logits=logits), estimator)
        >>> bool(estimator.baseline.average > 99)
        True
    """

    average: Tensor
    seen: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InvalidArgument(
                "the decay of a moving average lies in [0, 1)",
                received=f"decay = {decay!r}",
                instead="rp.MovingAverage(0.9)",
            )
        self.decay = decay
        self.register_buffer("average", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, dist: Distribution) -> Tensor:
        """The average so far: a copy, which the update does not reach."""
        return self.average.clone()

    def learn(self, expected: Tensor, costs: Tensor) -> None:
        """Take note of the costs."""
        if torch._C._are_functorch_transforms_active():
            raise UnsupportedTransform(
                "a moving average cannot take note of costs inside a torch.func transform",
                received="MovingAverage in training mode, inside torch.func",
                instead="baseline.eval(), which uses it as it stands, or rp.LeaveOneOut(4)",
            )
        mean = costs.detach().mean().to(self.average)
        self.average.copy_(torch.where(self.seen, self.decay * self.average + (1 - self.decay) * mean, mean))
        self.seen.fill_(True)


class LearnedBaseline(Baseline):
    r"""A regression of the cost on the parameters of the distribution, trained by least squares as it is used.

    .. math:: B = n(\theta), \qquad \text{error } \left(n(\theta) - \bar f\right)^2

    Args:
        network: from the parameters of a batch element, concatenated to `(*batch_shape, P)`, to `(*batch_shape)` or
            `(*batch_shape, 1)`. They come without gradient, in the network's own dtype. `parameters()` of the estimator
            go to an optimiser; the backward pass of the loss computes their gradient, whatever becomes of the loss.

    References:
        Mnih and Gregor, Neural Variational Inference and Learning in Belief Networks, ICML 2014.

    Example:
        >>> import torch, reparam as rp
        >>> estimator = rp.ScoreFunction(4, rp.LearnedBaseline(torch.nn.Linear(1, 1)))
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> rp.expect(lambda b: b + 100, torch.distributions.Bernoulli(logits=logits), estimator).sum().backward()
        >>> next(estimator.parameters()).grad.shape
        torch.Size([1, 1])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, dist: Distribution) -> Tensor:
        """The network's answer."""
        features = _features(dist)
        like = next(self.network.parameters(), features)
        return self.network(features.to(like.dtype)).reshape(dist.batch_shape).to(features.dtype)

    def learn(self, expected: Tensor, costs: Tensor) -> Tensor:
        """The squared error."""
        return (expected - costs.detach().mean(0)).square().mean()


def _features(dist: Distribution) -> Tensor:
    """The parameters that were given, without gradient: of shape `(*batch_shape, P)`."""
    batch = dist.batch_shape
    # torch keeps logits beside probs once either was asked for, and laws of its own making: a multinomial a binomial.
    derived = "probs" if is_logits(dist) else "logits"
    names = [name for name in dist.arg_constraints if name != derived]
    held = [value for name in names if isinstance(value := dist.__dict__.get(name), Tensor)]
    parts = [] if held else [part for part in wrapped(dist) if not isinstance(part, td.Binomial)]
    found = [*(x.detach() for x in held), *map(_features, parts)]
    return torch.cat([x.unsqueeze(-1).flatten(len(batch)) for x in found], -1)
