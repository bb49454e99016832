"""Detached samples from any source of noise, of discrete families too.

torch's own `sample` serves its global generator only. For a `torch.Generator`, or base noise in the user's hand, the
discrete families are sampled here; everything with a pathwise rule is sampled by that rule.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.noise import NoiseSource, SharedNoise, TorchStream
from reparam.pathwise import draw, has_rule


def sample(dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    """A sample without gradient, of shape `sample_shape + batch_shape + event_shape`."""
    with torch.no_grad():
        if isinstance(noise, TorchStream) and noise.generator is None:
            # A new tensor object: a transform's cache must not answer `log_prob` with values that carry no gradient.
            return dist.sample(sample_shape).detach()
        if isinstance(dist, td.Independent):
            return sample(dist.base_dist, sample_shape, noise)
        sampler = _SAMPLERS.get(type(dist))
        if sampler is not None:
            return sampler(dist, sample_shape, noise)
        if has_rule(dist):
            return draw(dist, noise, sample_shape).detach()
    raise InvalidArgument(
        f"{type(dist).__name__} can only be sampled from torch's global generator",
        received=f"noise = {noise!r}",
        instead="noise=None, after torch.manual_seed(seed)",
    )


def _uniform(noise: NoiseSource, sample_shape: torch.Size, like: Tensor) -> Tensor:
    return noise.uniform(sample_shape + like.shape, like.dtype, like.device)


def _generator(dist: Distribution, noise: NoiseSource) -> torch.Generator | None:
    if isinstance(noise, SharedNoise):
        # These samplers take no fixed number of uniforms, so there is nothing to share: the draws are independent.
        noise = noise.source
    if isinstance(noise, TorchStream):
        return noise.generator
    raise InvalidArgument(
        f"{type(dist).__name__} has no base noise of fixed size",
        received=f"noise = {noise!r}",
        instead="noise=torch.Generator().manual_seed(seed)",
    )


def _bernoulli(dist: td.Bernoulli, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    return (_uniform(noise, sample_shape, dist.probs) < dist.probs).to(dist.probs.dtype)


def _categorical(dist: td.Categorical, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    steps = dist.probs.cumsum(-1)
    # Dividing by the last step makes it exactly 1, so rounding never draws a category of probability zero.
    cdf = steps / steps[..., -1:]
    return (_uniform(noise, sample_shape, cdf[..., 0]).unsqueeze(-1) >= cdf).sum(-1)


def _one_hot(dist: td.OneHotCategorical, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    index = _categorical(dist._categorical, sample_shape, noise)
    return torch.nn.functional.one_hot(index, dist.event_shape[0]).to(dist.probs.dtype)


def _geometric(dist: td.Geometric, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    return (_uniform(noise, sample_shape, dist.probs).log() / torch.log1p(-dist.probs)).floor()


def _poisson(dist: td.Poisson, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    return torch.poisson(dist.rate.expand(sample_shape + dist.rate.shape), generator=_generator(dist, noise))


def _binomial(dist: td.Binomial, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    shape = sample_shape + dist.probs.shape
    return torch.binomial(dist.total_count.expand(shape), dist.probs.expand(shape), generator=_generator(dist, noise))


def _negative_binomial(dist: td.NegativeBinomial, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    generator = _generator(dist, noise)
    mixing = torch._standard_gamma(dist.total_count.expand(sample_shape + dist.batch_shape), generator)
    return torch.poisson(mixing * dist.logits.exp(), generator=generator)


def _multinomial(dist: td.Multinomial, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    one_trial = td.Categorical(probs=dist.probs.unsqueeze(-2).expand(*dist.batch_shape, dist.total_count, -1))
    trials = _categorical(one_trial, sample_shape, noise)
    return torch.nn.functional.one_hot(trials, dist.event_shape[0]).sum(-2).to(dist.probs.dtype)


_SAMPLERS: dict[type[Distribution], Callable[..., Tensor]] = {
    td.Bernoulli: _bernoulli,
    td.Binomial: _binomial,
    td.Categorical: _categorical,
    td.Geometric: _geometric,
    td.Multinomial: _multinomial,
    td.NegativeBinomial: _negative_binomial,
    td.OneHotCategorical: _one_hot,
    td.OneHotCategoricalStraightThrough: _one_hot,
    td.Poisson: _poisson,
}
