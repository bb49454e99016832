"""Relaxations by Gumbel noise: the largest of perturbed logits is a sample, and a softmax of them nearly one."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.estimators._choice import as_choice
from reparam.estimators.surrogate import TemperedEstimator, cooled, moved, require_count
from reparam.noise import NoiseSource


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
        soft = choice.soft(keys, self.temperature)
        return choice.finish(choice.hard(keys) + moved(soft) if self.hard else soft)


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
        chosen, move = choice.draw(sample_shape, noise), choice.move
        with torch.no_grad():
            soft = choice.soft(choice.perturbed_given(chosen, self.inner, noise), self.temperature)
        return choice.finish(chosen + cooled(choice.slope(soft, move).mean(0), self.temperature))
