r"""Mixtures of one family: the component is drawn, and its sample moved by the distribution function of the mixture.

For one coordinate :math:`dx = -\sum_k (dw_k F_k(x) + w_k\, dF_k(x)) / p(x)`. For several, Rosenblatt's transform: the
same, coordinate by coordinate, each given those before it, with the responsibilities of the components in place of the
weights. Moving each coordinate by its own marginal would get every mean right and every cross moment wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from reparam.errors import NoPathwiseGradient
from reparam.kernels.implicit import watched
from reparam.noise import BoundNoise
from reparam.pathwise._sequential import Components, components
from reparam.pathwise._tails import Tails
from reparam.pathwise.registry import draw, register

_HALVES = (torch.bfloat16, torch.float16)


@register(
    MixtureSameFamily,
    kind="composite",
    parameters=(),
    reference="implicit; Rosenblatt, 1952; Figurnov, Mohamed and Mnih, NeurIPS 2018; Graves, 2016",
)
def mixture(dist: MixtureSameFamily, noise: BoundNoise) -> Tensor:
    """A sample of a mixture, with the gradient to its weights and to every parameter of its components.

    Components: any univariate class with known tails, `Independent` products of them, and those with sequential
    conditionals (the full-covariance Normal). Other components move with their own parameters; there the weights must
    be constants, or the call raises. So it does where the mixture's quantile jumps: `Uniform` components that leave a
    gap, or whose values cannot be seen (under `vmap` and the compiler), and products of `Uniform` or `Pareto`. The
    first three derivatives are right.

    Where modes are far apart the gradient to the weights is still exact in the mean, and its variance grows without
    bound: `expect` sums over the components instead.
    """
    dtype = noise.like.dtype
    parts = components(dist._component_distribution, torch.float32 if dtype in _HALVES else dtype)
    weights = dist._mixture_distribution.probs
    if parts is None:
        if watched([weights]):
            raise _no_gradient_to_weights(dist)
        return _ancestral(dist, weights, noise)
    x = _ancestral(dist, weights, noise).detach()
    if not watched([weights, *parts.parameters()]):
        return x
    flat = x.reshape((*x.shape[: x.dim() - dist._event_ndims], dist._event_shape.numel()))
    near = _within_reach(flat.to(parts.parameters()[0].dtype), dtype)
    return (_moved(near, weights, parts) + (flat - near)).reshape(x.shape).to(dtype)


def _within_reach(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Heavy tails are worked out in float64, and held where `dtype` has room for a gradient, as `exp_in_range` does."""
    if x.dtype != torch.float64:
        return x
    limit = min(1e-9 * torch.finfo(dtype).max, 1e150)
    return x.clamp(-limit, limit)


def _ancestral(dist: MixtureSameFamily, weights: Tensor, noise: BoundNoise) -> Tensor:
    """A sample of a component chosen by an exponential race, whose winner has probability proportional to its rate."""
    x = draw(dist._component_distribution, noise.source, noise.sample_shape)
    place = x.dim() - dist._event_ndims - 1
    race = noise.exponential((*noise.sample_shape, *dist.batch_shape, weights.shape[-1])) / weights.detach()
    winner = race.argmin(-1)
    index = winner.reshape((*winner.shape, 1, *[1] * dist._event_ndims))
    return x.gather(place, index.expand(*winner.shape, 1, *x.shape[place + 1 :])).squeeze(place)


def _moved(x: Tensor, weights: Tensor, parts: Components) -> Tensor:
    log_odds = torch.zeros_like(weights)
    coordinates: list[Tensor] = []
    for d in range(x.shape[-1]):
        share = weights * torch.exp(log_odds - log_odds.detach().amax(-1, keepdim=True))
        share = share / share.sum(-1, keepdim=True)
        moved = _newton(x[..., d : d + 1], share, parts, d)
        if d + 1 < x.shape[-1]:
            log_odds = log_odds + parts.follow(d, moved)
        coordinates.append(moved)
    return torch.cat(coordinates, -1)


def _newton(x: Tensor, share: Tensor, parts: Components, d: int) -> Tensor:
    """Two of Newton's steps from the root itself: zero in value, and right in the first three derivatives."""
    target: Tensor | None = None
    for _ in range(2):
        at = parts.tails(d, x)
        mass = _nearer_tail(at, share)
        target = mass.detach() if target is None else target
        density = (share * torch.exp(at.log_density)).sum(-1, keepdim=True)
        x = x - (mass - target) / density
    return x


def _nearer_tail(at: Tails, share: Tensor) -> Tensor:
    """The mixture's distribution function, or that minus 1 where the upper tail is the smaller."""
    lower, upper = (share * at.lower).sum(-1, keepdim=True), (share * at.upper).sum(-1, keepdim=True)
    return torch.where(lower.detach() < 0.5, lower, -upper)


def _no_gradient_to_weights(dist: MixtureSameFamily) -> NoPathwiseGradient:
    name = type(dist._component_distribution).__name__
    return NoPathwiseGradient(
        f"no pathwise gradient reaches the weights of a mixture of {name}: its distribution function is not known, or "
        "its quantile jumps where a support ends, or its coordinates cannot be taken in turn",
        received=f"MixtureSameFamily of {name}, event_shape {tuple(dist.event_shape)}",
        instead="rp.expect(f, mixture), which sums over the components; or detach the mixing weights",
    )
