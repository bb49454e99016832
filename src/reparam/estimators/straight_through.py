"""Straight-through estimators: the value is the discrete sample, the slope one that is right for simple costs."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.estimators._choice import as_choice
from reparam.estimators._moments import is_discrete, mean_of
from reparam.estimators.surrogate import SurrogateEstimator, TemperedEstimator, cannot_serve, moved
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like
from reparam.pathwise.sampling import sample


@dataclasses.dataclass(frozen=True)
class StraightThrough(SurrogateEstimator):
    r"""The straight-through estimator: a sample moves as its mean does.

    .. math:: y = x + m(\theta) - \operatorname{stop}(m(\theta)), \qquad m = E[x]

    For a OneHotCategorical the mean is the vector of probabilities: this is the estimator of Bengio et al. For a
    KSubset it is the vector of exact marginals, as in SIMPLE. For a Categorical it is that of the index.

    Args:
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        As the distribution's sample, in the dtype of its parameters. Any noise that the distribution's sampler takes.

    Gradient:
        To every parameter the mean depends on; exact for costs that are linear in the sample, biased for others: up to
        3.5 times off. One evaluation a draw, of a cost that must be differentiable. It differentiates once.

    Errors:
        `InvalidArgument` for a distribution without a mean, and for a continuous one.
        `UnsupportedTransform` for a second derivative.

    References:
        Bengio, Leonard and Courville, arXiv 1308.3432, 2013. Ahmed, Zeng, Niepert and Van den Broeck, SIMPLE, ICLR
        2023.

    Example:
        >>> import torch, reparam as rp
        >>> p = torch.tensor(0.3, requires_grad=True)
        >>> b = rp.rsample(torch.distributions.Bernoulli(p), via=rp.StraightThrough())
        >>> torch.autograd.grad(5 * b, p)[0]
        tensor(5.)
    """

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        mean = mean_of(dist) if is_discrete(dist) else None
        if mean is None:
            raise cannot_serve(self, dist, "discrete distributions with a mean")
        like = parameter_like(dist)
        return sample(dist, sample_shape, noise).to(like.dtype) + moved(mean).to(like.dtype)


@dataclasses.dataclass(frozen=True)
class ReinMax(TemperedEstimator):
    r"""ReinMax: a straight-through estimator of second order, by Heun's rule between the sample and the probabilities.

    .. math:: \hat g = \Bigl(2 J(\pi_1) - \tfrac12 J(\pi_0)\Bigr) \nabla f(D), \qquad
              J(\pi) = \operatorname{diag}(\pi) - \pi\pi^\top, \quad
              \pi_0 = \operatorname{softmax}(\phi), \quad
              \pi_1 = \tfrac12\bigl(D + \operatorname{softmax}(\phi / \tau)\bigr)

    Args:
        temperature: :math:`\tau`, positive; 1 is exact for quadratic costs, 1.1 to 1.5 trade bias for variance.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        The value is the discrete sample, in the dtype of the parameters: of a Bernoulli 0 or 1, of a OneHotCategorical
        a unit vector, of a Categorical its index. Any noise that the distribution's sampler takes.

    Gradient:
        To logits or probs; at temperature 1 exact for costs that are quadratic in the sample, biased for others. One
        evaluation a draw, of a cost that must be differentiable. It differentiates once.

    Errors:
        `InvalidArgument` for another distribution, a temperature that is not positive, and where `probs` is 0 or 1.
        `UnsupportedTransform` for a second derivative.

    References:
        Liu, Dong, Liu, Yu and Gao, Bridging Discrete and Backpropagation: Straight-Through and Beyond, NeurIPS 2023.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> y = rp.rsample(torch.distributions.OneHotCategorical(logits=logits), via=rp.ReinMax(1.1))
        >>> y.sum(), y.requires_grad
        (tensor(1., grad_fn=<SumBackward0>), True)
    """

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        choice = as_choice(self, dist)
        chosen, move, logits = choice.draw(sample_shape, noise), choice.move, choice.logits.detach()
        middle = (chosen + choice.soft(logits, self.temperature)) / 2
        return choice.finish(chosen + 2 * choice.slope(middle, move) - choice.slope(choice.soft(logits), move) / 2)
