"""Measure-valued derivatives: the derivative of a law is a difference of laws, sampled together."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import innermost
from reparam.errors import InvalidArgument
from reparam.estimators.base import Draw, Estimator, require_samples
from reparam.estimators.couplings import COUPLINGS, Coupling, count_moves
from reparam.estimators.score import log_ratio, refuse_boundary
from reparam.estimators.slope import slope
from reparam.noise import NoiseSource
from reparam.pathwise import parameter_like


@dataclasses.dataclass(frozen=True)
class MeasureValued(Estimator):
    r"""The derivative as a difference of two coupled expectations, site by site.

    .. math:: \partial_\theta E[f(X)] = c(\theta)\, E[f(X^+) - f(X^-)]

    Poisson: :math:`E[f(X+1) - f(X)]` in the rate. Binomial, Geometric, NegativeBinomial in p: a step of one beside a
    draw of a shifted law; NegativeBinomial in r: a step J of a logarithmic series. Bernoulli, Categorical: the other
    values. Multinomial: one trial moved. Normal: Rayleigh and Maxwell steps. `Independent`: each site in turn, the
    others as they were drawn.

    Args:
        samples: how many draws, each with its moves.

    Gradient:
        With respect to every parameter; unbiased, at every order, for a cost that may be a black box and need not be
        continuous. Each site adds to each draw: one evaluation for Bernoulli, Binomial and Poisson; two for Geometric;
        two in p and one in r for NegativeBinomial; C - 1 for C categories; two in `loc` and one in `scale` for Normal
        (whose second derivative within one site is the score function's). In a program the points get an axis of their
        own, and what is drawn after them shares its noise.

    Errors:
        `InvalidArgument` for another family, and for `probs` on the boundary.

    References:
        Heidergott and Vázquez-Abad, J. Optim. Theory Appl. 2008. Mohamed, Rosca, Figurnov and Mnih, Monte Carlo
        Gradient Estimation in Machine Learning, JMLR 2020. Rosca, Figurnov, Mohamed and Mnih, Measure-Valued
        Derivatives for Approximate Bayesian Inference, 2019 (the coupled normal).

    Example:
        >>> import torch, reparam as rp
        >>> rate = torch.tensor(4.0, requires_grad=True)
        >>> loss = rp.expect(lambda x: 3 * x, torch.distributions.Poisson(rate), rp.MeasureValued())
        >>> torch.autograd.grad(loss, rate)[0]
        tensor(3.)
    """

    unbiased: ClassVar[bool] = True
    coupled: ClassVar[bool] = True
    samples: int = 1

    def __post_init__(self) -> None:
        require_samples("MeasureValued", self.samples, 1)

    def evaluations(self, dist: Distribution) -> int:
        """Each draw and its moves; parameters that need no gradient add none, unless no parameter needs one."""
        site = _site(dist)
        return self.samples * (1 + _count(dist, site) * count_moves(site))

    def draw(self, dist: Distribution, noise: NoiseSource) -> Draw:
        """Draws, and beside each the same with one site moved."""
        site = _site(dist)
        refuse_boundary(dist)
        coupling = COUPLINGS[type(site)](site, torch.Size((self.samples,)), noise)
        sites = _count(dist, site)
        lead = (self.samples, *dist.batch_shape)
        base = coupling.base.reshape(*lead, sites, *site.event_shape)
        event = len(site.event_shape)
        moved = [_replaced(base, move.point.reshape(base.shape), event) for move in coupling.moves]
        weights = _weights(coupling, site, (*lead, sites)) / self.samples
        points = torch.cat([base.unsqueeze(0), *moved]).flatten(0, 1)
        return Draw(points.reshape(len(points), *dist.batch_shape, *dist.event_shape), weights.flatten(0, 1))


def _site(dist: Distribution) -> Distribution:
    site = innermost(dist)
    if type(site) not in COUPLINGS:
        raise InvalidArgument(
            f"rp.MeasureValued knows no pair of laws whose difference is the derivative of {type(site).__name__}",
            received=f"{dist}",
            instead="rp.LeaveOneOut(4) for a discrete distribution, rp.Pathwise() for a continuous one",
        )
    return site


def _count(dist: Distribution, site: Distribution) -> int:
    return math.prod(site.batch_shape[len(dist.batch_shape) :])


def _replaced(base: Tensor, moved: Tensor, event: int) -> Tensor:
    """Copies of the draws, in each of which one site has moved: of shape `(sites, S, *batch_shape, sites, *event)`."""
    sites = base.shape[base.dim() - 1 - event]
    here = torch.eye(sites, dtype=torch.bool, device=base.device)
    here = here.view(sites, *[1] * (base.dim() - 1 - event), sites, *[1] * event)
    return torch.where(here, moved, base)


def _weights(coupling: Coupling, site: Distribution, shape: tuple[int, ...]) -> Tensor:
    """Of shape `(1 + moves * sites, S, *batch_shape)`: one for the draw, slopes for what stands beside it."""
    others = _others(coupling, site, shape)
    slopes = [slope(move.parameter, move.slope * others).reshape(shape) for move in coupling.moves]
    draw = torch.ones(shape[:-1], dtype=parameter_like(site).dtype, device=coupling.base.device)
    draw = draw - sum(one.sum(-1) for one in slopes)
    if coupling.curvature is not None:
        draw = draw + (coupling.curvature * others).reshape(shape).sum(-1)
    return torch.cat([draw.unsqueeze(0), *(one.movedim(-1, 0) for one in slopes)])


def _others(coupling: Coupling, site: Distribution, shape: tuple[int, ...]) -> Tensor | float:
    """For each site the magic box of all the others of its event, of shape `(S, *site.batch_shape)`."""
    ratio = log_ratio(site, coupling.base) if shape[-1] > 1 and coupling.moves else None
    if ratio is None:
        return 1.0
    flat = ratio.reshape(shape)
    return torch.exp(flat.sum(-1, keepdim=True) - flat).reshape(ratio.shape)
