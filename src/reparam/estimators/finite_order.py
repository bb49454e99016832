"""Finite-order estimators: pathwise slopes of discrete laws that are exact for polynomials of low degree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.checks import all_true, summary
from reparam.errors import InvalidArgument
from reparam.estimators._choice import FAMILIES, Choice, as_choice
from reparam.estimators._moments import central_moments, is_discrete
from reparam.estimators._quadratic import quadratic, quadratic_slope
from reparam.estimators.straight_through import StraightThrough
from reparam.estimators.support import support_size
from reparam.estimators.surrogate import SurrogateEstimator, cannot_serve, moved, require_count, widened
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like
from reparam.pathwise.sampling import sample

_ONE_HOT = (td.OneHotCategorical, td.OneHotCategoricalStraightThrough)


@dataclasses.dataclass(frozen=True)
class Fini(SurrogateEstimator):
    r"""Finite-order relaxation: of all slopes that are exact for costs of degree up to D, the one of least norm.

    .. math:: y = \operatorname{stop}(x) + \operatorname{stop}(w)\,(\theta - \operatorname{stop}(\theta)), \qquad
              E[w(x)\, x^{d-1}] = \tfrac1d\, \partial_\theta E[x^d], \quad d = 1, \dots, D

    The least :math:`E[w^2]` is that of a polynomial of degree D - 1. At order 2 it is
    :math:`w = \partial_\theta m + \frac{x - m}{2 v} \partial_\theta v`, m and v the mean and the variance: per log-rate
    of a Poisson (x + rate)/2, per logit of a Binomial n p/2 + (1 - 2p) x/2.

    Args:
        order: D, at least 1; 1 is straight-through.
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        As the distribution's sample, in the dtype of its parameters: exact discrete values. Any noise that the
        distribution's sampler takes.

    Gradient:
        To every parameter. Exact on average for the costs that are polynomials of degree up to D in the sample; biased
        for every other, by the terms beyond. One evaluation a draw, of a cost that must be differentiable. It
        differentiates once.

        Poisson, Bernoulli, Binomial, NegativeBinomial and Geometric have every order that their support carries, by
        their orthogonal polynomials; BetaBinomial and Categorical (in its index) too, from order 3 on by enumerating
        the support and solving a D x D system in float64; any other discrete univariate law with a mean and a variance
        has orders 1 and 2; a OneHotCategorical, whose polynomials are of its vector, likewise.

    Errors:
        `InvalidArgument` for other distributions and orders, for an order above the number of values, and where the
        variance is zero. `UnsupportedTransform` for a second derivative.

    References:
        He and Wu, Extending Pathwise Gradients to Discrete Random Variables via Finite-Order Relaxation, 2026.

    Example:
        >>> import torch, reparam as rp
        >>> log_rate = torch.tensor(1.0, requires_grad=True)
        >>> x = rp.rsample(torch.distributions.Poisson(log_rate.exp()), via=rp.Fini(2))
        >>> slope = torch.autograd.grad(x, log_rate)[0]
        >>> torch.allclose(slope, (x + log_rate.exp()) / 2)
        True
    """

    order: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "order")

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        if self.order == 1:
            return StraightThrough()._relax(dist, sample_shape, noise)
        if self.order == 2 and type(dist) in _ONE_HOT:
            choice = as_choice(self, dist)
            unit = choice.draw(sample_shape, noise)
            return choice.finish(unit + _least_slope(choice, unit))
        slope = self._slope(dist)
        x, like = sample(dist, sample_shape, noise), parameter_like(dist)
        return x.to(like.dtype) + slope(x).to(like.dtype)

    def _slope(self, dist: Distribution) -> Callable[[Tensor], Tensor]:
        """The slope as a function of the sample: zero, with a derivative in the parameters."""
        law = quadratic(dist, widened if self.order == 2 else torch.Tensor.double)
        if law is not None:
            _require_spread(dist, law.variance, self.order)
            return lambda x: quadratic_slope(x, law, self.order)
        moments = central_moments(dist, 2 * self.order - 2) if is_discrete(dist) else []
        if not moments:
            raise cannot_serve(self, dist, f"discrete univariate distributions with {2 * self.order - 2} known moments")
        _require_spread(dist, moments[1], self.order)
        return lambda x: _moment_slope(x, moments, self.order)


@dataclasses.dataclass(frozen=True)
class MVE(SurrogateEstimator):
    r"""The minimum-variance straight-through estimator, in its hard form: exact for quadratic costs.

    .. math:: \hat g = W(D)\, \nabla f(D), \qquad W = \arg\min E \lVert W(D) \rVert_F^2
              \ \text{ over all slopes that are exact for quadratic costs}

    The published family has a temperature between straight-through and this member, its limit of infinite temperature,
    with which `Fini(2)` coincides on the distributions below.

    Args:
        samples: how many draws `expect` makes, by keyword.

    Shapes and dtypes:
        The value is the discrete sample, in the dtype of the parameters: of a Bernoulli 0 or 1, of a OneHotCategorical
        a unit vector, of a Categorical its index. A OneHotCategorical solves a C x C system for each batch element. Any
        noise that the distribution's sampler takes.

    Gradient:
        To logits or probs; exact for costs that are quadratic in the sample, biased for others. One evaluation a draw,
        of a cost that must be differentiable. It differentiates once.

    Errors:
        `InvalidArgument` for another distribution, and where `probs` is 0 or 1. `UnsupportedTransform` for a second
        derivative.

    References:
        Hooper and Shekhovtsov, Generalized and Optimal Straight-Through Estimators, AISTATS 2026. He and Wu, 2026 (the
        closed form of the one-hot slope, and that it is this limit).

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> y = rp.rsample(torch.distributions.OneHotCategorical(logits=logits), via=rp.MVE())
        >>> y.sum(), y.requires_grad
        (tensor(1., grad_fn=<SumBackward0>), True)
    """

    def _relax(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        if type(dist) not in (td.Bernoulli, td.Categorical, *_ONE_HOT):
            raise cannot_serve(self, dist, FAMILIES)
        return Fini(2)._relax(dist, sample_shape, noise)


def _require_spread(dist: Distribution, variance: Tensor, order: int) -> None:
    if not all_true(variance > 0):
        raise InvalidArgument(
            f"{type(dist).__name__}: a sample that cannot vary has no finite-order slope",
            received=f"variance = {summary(variance)}",
            instead="parameters inside their constraints, or rp.expect(f, dist)",
        )
    trials = dist.__dict__.get("total_count")
    if type(dist) is not td.NegativeBinomial and isinstance(trials, Tensor):
        enough = all_true(trials >= order - 1)
    else:
        enough = order <= (support_size(dist) or order)
    if not enough:
        raise InvalidArgument(
            f"{type(dist).__name__}: no slope is exact to degree {order} on fewer than {order} values",
            received=f"Fini({order})",
            instead="rp.expect(f, dist), which enumerates so small a support",
        )


def _moment_slope(x: Tensor, moments: list[Tensor], order: int) -> Tensor:
    """The slope at x times the change of the parameters: zero, with the derivative that the moments have.

    With u the standardised sample and G the matrix of E[u^(j + k)], the slope is the sum over d of (G^-1 v(u))_d, v the
    powers of u, times the derivative of E[u^d] / d about a mean that stays.
    """
    mean, scale = moments[0].detach(), moments[1].detach().sqrt()
    drift, centred = moved(moments[0]), x.to(mean.dtype) - mean
    if order == 2:
        return drift + centred / (2 * scale.square()) * moved(moments[1])
    still = [torch.ones_like(scale), torch.zeros_like(scale)]
    still += [moment.detach() / scale**n for n, moment in enumerate(moments[1:], start=2)]
    gram = torch.stack([torch.stack(still[j : j + order], -1) for j in range(order)], -2)
    powers = torch.stack([(centred / scale) ** n for n in range(order)], -1)
    weights = (torch.linalg.inv(gram) @ powers.unsqueeze(-1)).squeeze(-1)
    slope = weights[..., 0] * drift
    for d in range(2, order + 1):
        rate = moved(moments[d - 1]) / scale ** (d - 1) + d * still[d - 1] * drift
        slope = slope + weights[..., d - 1] * rate / d
    return slope


def _least_slope(choice: Choice, unit: Tensor) -> Tensor:
    r"""The slope of least norm for a unit vector, times the change of the logits.

    With i the class drawn, its columns are :math:`W e_i = (e_i - p)/2` and
    :math:`W e_j = \frac{p_j}{p_i + p_j} C^\top (e_j - e_i)`, where :math:`G C = \frac12(\operatorname{diag}(p) - p
    p^\top)` and G is the Laplacian of the weights :math:`\frac{p_i p_j}{p_i + p_j}`. The equation is solved with
    :math:`p p^\top` added to G, which picks one of its solutions, and each row divided by :math:`p_i`.
    """
    p, move = torch.softmax(choice.logits.detach(), -1), choice.move
    total = p.unsqueeze(-1) + p.unsqueeze(-2)
    share = torch.where(total > 0, p.unsqueeze(-2) / torch.where(total > 0, total, 1.0), 0.0)
    eye = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
    off_diagonal = share * (1 - eye)
    system = torch.diag_embed(off_diagonal.sum(-1)) - off_diagonal + p.unsqueeze(-2)
    drift = move - (p * move).sum(-1, keepdim=True)
    response = torch.linalg.solve(system, drift.unsqueeze(-1) / 2).squeeze(-1)
    drawn_p, drawn_response = ((unit * value).sum(-1, keepdim=True) for value in (p, response))
    others = p / (p + drawn_p) * (response - drawn_response)
    return torch.where(unit > 0, drift / 2, others)
