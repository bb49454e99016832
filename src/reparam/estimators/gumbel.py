"""Relaxations by Gumbel noise: the largest of perturbed logits is a sample, and a softmax of them nearly one."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.estimators._choice import as_choice
from reparam.estimators.surrogate import TemperedEstimator, change, require_count
from reparam.noise import NoiseSource
from reparam.pathwise.sampling import unit_vector


@dataclasses.dataclass(frozen=True)
class GumbelSoftmax(TemperedEstimator):
    r"""The Gumbel-softmax or Concrete relaxation, and with `hard` its straight-through form.

    .. math:: y = \operatorname{softmax}\Bigl(\frac{\phi + G}{\tau}\Bigr), \qquad
              y_\text{hard} = \operatorname{onehot}(\arg\max y) + y - \operatorname{stop}(y)

    Args:
        temperature: :math:`\tau`, positive. At a low one samples are nearly discrete and gradients nearly always zero,
            rarely huge; none is NaN, however low.
        hard: whether the value is the discrete sample, the gradient that of the relaxed one.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        A Bernoulli gives a number in [0, 1], a OneHotCategorical a vector of the simplex, a Categorical its relaxed
        index :math:`\sum_k k\, y_k`, all in the dtype of the parameters; half precision is computed in float32 and
        rounded once. Base noise is uniform for a Bernoulli, standard exponential otherwise.

    Gradient:
        To logits or probs, of the relaxed sample; biased, because the cost is seen at points that never occur (value
        and gradient) or, with `hard`, because the slope there is not the difference between points. One evaluation a
        draw, of a cost that must be differentiable. A hard sample differentiates once.

    Errors:
        `InvalidArgument` for another distribution, a temperature that is not positive, and where `probs` is 0 or 1.
        `UnsupportedTransform` for a second derivative.

    References:
        Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, ICLR 2017. Maddison, Mnih and Teh, The
        Concrete Distribution, ICLR 2017.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> dist = torch.distributions.OneHotCategorical(logits=logits)
        >>> y = rp.rsample(dist, (5,), via=rp.GumbelSoftmax(0.5, hard=True))
        >>> y.sum(-1).tolist(), bool(torch.autograd.grad((y[0] * torch.arange(3)).sum(), logits)[0].any())
        ([1.0, 1.0, 1.0, 1.0, 1.0], True)
    """

    hard: bool = False

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        choice = as_choice(self, dist)
        keys = choice.perturbed(sample_shape, noise)
        # The largest first, so that what is divided by a low temperature is zero for the winner.
        soft = torch.softmax(self.cooled(keys - keys.detach().amax(-1, keepdim=True)), -1)
        if not self.hard:
            return choice.finish(soft)
        return choice.finish(unit_vector(keys.argmax(-1), keys.shape[-1]) + change(soft))


@dataclasses.dataclass(frozen=True)
class GumbelRao(TemperedEstimator):
    r"""The straight-through Gumbel-softmax, its slope averaged over the noise that gives the same sample.

    .. math:: \hat g = \nabla f(D)^\top\, \frac{1}{K} \sum_{k=1}^K
              \frac{\partial}{\partial\phi} \operatorname{softmax}\Bigl(\frac{\phi + G_k}{\tau}\Bigr), \qquad
              G_k \sim p(G \mid \arg\max(\phi + G) = D)

    Args:
        temperature: :math:`\tau`, positive.
        inner: K, how many conditional pieces of noise; they cost no evaluations.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        As `GumbelSoftmax(hard=True)`. The sample and the inner noise are two pieces of base noise.

    Gradient:
        To logits or probs; the mean of `GumbelSoftmax(temperature, hard=True)`, so as biased, with less variance. One
        evaluation a draw, of a cost that must be differentiable. It differentiates once.

    Errors:
        `InvalidArgument` as `GumbelSoftmax`, and for base noise as a tensor. `UnsupportedTransform` for a second
        derivative.

    References:
        Paulus, Maddison and Krause, Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator, ICLR
        2021.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> y = rp.rsample(torch.distributions.OneHotCategorical(logits=logits), via=rp.GumbelRao(0.5, inner=100))
        >>> y.sum()
        tensor(1., grad_fn=<SumBackward0>)
    """

    inner: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "inner")

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        choice = as_choice(self, dist)
        unit = choice.draw(sample_shape, noise)
        move = change(choice.logits).unsqueeze(-2)
        with torch.no_grad():
            keys = _conditional_keys(choice.logits, unit, self.inner, noise)
            soft = torch.softmax(self.cooled(keys - keys.amax(-1, keepdim=True)), -1)
        slope = soft * (move - (soft * move).sum(-1, keepdim=True))
        return choice.finish(unit + self.cooled(slope.mean(-2)))


def _conditional_keys(logits: Tensor, unit: Tensor, count: int, noise: NoiseSource) -> Tensor:
    """Perturbed logits, of shape `(..., count, C)`, given that the unit vector's class has the largest.

    With standard exponential E and Z the sum of the weights, the winner's key is -log(E_D / Z) and another's is
    -log(E_j / weight_j + E_D / Z).
    """
    log_weights = torch.log_softmax(logits, -1).unsqueeze(-2)
    shape = (*unit.shape[:-1], unit.shape[-1], count)
    waiting = noise.exponential(shape, logits.dtype, logits.device).log().movedim(-1, -2)
    won = unit.unsqueeze(-2) > 0
    first = torch.where(won, waiting, 0.0).sum(-1, keepdim=True)
    return -torch.where(won, first, torch.logaddexp(waiting - log_weights, first))
