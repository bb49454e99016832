"""Relaxed subsets and rankings: Gumbel top-k and SoftSort."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import as_sample_shape
from reparam.estimators.surrogate import TemperedEstimator, cannot_serve, cooled, moved, widened
from reparam.noise import Noise, NoiseSource, as_source
from reparam.pathwise import parameter_like

if TYPE_CHECKING:
    from reparam.distributions._discrete import OfItems


@dataclasses.dataclass(frozen=True)
class GumbelTopK(TemperedEstimator):
    r"""A relaxed subset: k softmaxes of perturbed logits, each with the weight of those before it taken away.

    .. math:: y = \sum_{j=1}^k p^{(j)}, \qquad p^{(j)} = \operatorname{softmax}(a^{(j)} / \tau), \quad
              a^{(1)} = \phi + G, \quad a^{(j+1)} = a^{(j)} + \log(1 - p^{(j)})

    Args:
        temperature: :math:`\tau`, positive.
        hard: whether the value is the set of the k largest, the gradient that of the relaxed one.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        Of a KSubset: a vector of n numbers that sum to k, in the dtype of the logits; half precision is computed in
        float32 and rounded once. Base noise is standard exponential.

    Gradient:
        To the logits, of the relaxed subset; biased twice: the k largest of perturbed logits are drawn one by one
        without replacement, which is not the law of a KSubset (values are biased too, unless the logits are equal or k
        is 1 or n), and relaxed. One evaluation a draw, of a cost that must be differentiable. A hard sample
        differentiates once.

    Errors:
        `InvalidArgument` for another distribution and a temperature that is not positive. `UnsupportedTransform` for a
        second derivative of a hard sample.

    References:
        Xie and Ermon, Reparameterizable Subset Sampling via Continuous Relaxations, IJCAI 2019. Kool, van Hoof and
        Welling, Stochastic Beams and Where to Find Them, ICML 2019.

    Example:
        >>> import torch, reparam as rp
        >>> dist = rp.distributions.KSubset(2, torch.zeros(5))
        >>> rp.rsample(dist, via=rp.GumbelTopK(0.5, hard=True)).sum()
        tensor(2.)
    """

    hard: bool = False

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        from reparam.distributions import KSubset  # a room that is loaded on demand

        if type(dist) is not KSubset:
            raise cannot_serve(self, dist, "KSubset")
        k, keys = dist.k, _keys(dist, sample_shape, noise)
        soft, left = torch.zeros_like(keys), keys
        for _ in range(k):
            share = torch.softmax(cooled(left - left.detach().amax(-1, keepdim=True), self.temperature), -1)
            soft = soft + share
            left = left + (1 - share).clamp(min=_TAKEN).log()
        if self.hard:
            soft = torch.zeros_like(keys).scatter(-1, keys.topk(k, -1).indices, 1.0) + moved(soft)
        return soft.to(dist.logits.dtype)


_TAKEN = 1e-30
"""What is left of an item that was taken: its logarithm is far below every other key, and finite."""


@dataclasses.dataclass(frozen=True)
class SoftSort(TemperedEstimator):
    r"""A relaxed ranking: each place chooses among the items whose perturbed logits are near the one that has it.

    .. math:: \hat P_{ij} = \operatorname{softmax}_j\Bigl(\frac{-\lvert s_{[i]} - s_j \rvert}{\tau}\Bigr), \qquad
              s = \phi + G, \quad s_{[1]} \ge s_{[2]} \ge \dots

    Args:
        temperature: :math:`\tau`, positive.
        hard: whether the value is the ranking itself, the gradient that of the relaxed one.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        Of a PlackettLuce: a vector of n relaxed indices, :math:`\sum_j j \hat P_{ij}`, in the dtype of the logits; half
        precision is computed in float32 and rounded once. `matrix` gives :math:`\hat P` itself, of shape
        `(*sample_shape, *batch_shape, n, n)`, to be applied to the items. Base noise is standard exponential.

    Gradient:
        To the logits, of the relaxed ranking; biased. One evaluation a draw, of a cost that must be differentiable. A
        hard sample differentiates once.

    Errors:
        `InvalidArgument` for another distribution and a temperature that is not positive. `UnsupportedTransform` for a
        second derivative of a hard sample.

    References:
        Prillo and Eisenschlos, SoftSort: A Continuous Relaxation for the argsort Operator, ICML 2020.

    Example:
        >>> import torch, reparam as rp
        >>> dist = rp.distributions.PlackettLuce(torch.tensor([0.0, 9.0, -9.0]))
        >>> rp.rsample(dist, via=rp.SoftSort(0.1, hard=True))
        tensor([1., 0., 2.])
    """

    hard: bool = False

    def matrix(self, dist: Distribution, sample_shape: Sequence[int] = (), *, noise: Noise = None) -> Tensor:
        """The relaxed permutation matrix: its rows are places, from the first, and sum to one."""
        shape = as_sample_shape(sample_shape)
        scores = _scores(self, dist, shape, as_source(noise, shape))
        return self._soft(scores).to(parameter_like(dist).dtype)

    def _soft(self, scores: Tensor) -> Tensor:
        ranked = scores.sort(-1, descending=True).values
        return torch.softmax(cooled(-(ranked.unsqueeze(-1) - scores.unsqueeze(-2)).abs(), self.temperature), -1)

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        scores = _scores(self, dist, sample_shape, noise)
        items = torch.arange(scores.shape[-1], dtype=scores.dtype, device=scores.device)
        places = (self._soft(scores) * items).sum(-1)
        if self.hard:
            places = scores.argsort(-1, descending=True) + moved(places)
        return places.to(parameter_like(dist).dtype)


def _scores(estimator: SoftSort, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    from reparam.distributions import PlackettLuce  # a room that is loaded on demand

    if type(dist) is not PlackettLuce:
        raise cannot_serve(estimator, dist, "PlackettLuce")
    return _keys(dist, sample_shape, noise)


def _keys(dist: OfItems, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    """Logits plus Gumbel noise."""
    logits = widened(dist.logits)
    return logits - noise.exponential(sample_shape + logits.shape, logits.dtype, logits.device).log()
