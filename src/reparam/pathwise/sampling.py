"""Detached samples from any source of noise, of discrete classes too, and the open registry of their samplers.

torch's own `sample` serves its global generator only. For a `torch.Generator`, or base noise in the user's hand, the
discrete classes are sampled here; everything with a pathwise rule is sampled by that rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.noise import BoundNoise, NoiseSource, SharedNoise, TorchStream
from reparam.noise.philox import PhiloxStream
from reparam.pathwise.registry import draw, has_rule, parameter_like

Sampler = Callable[..., Tensor]
_F = TypeVar("_F", bound=Sampler)
_SAMPLERS: dict[type[Distribution], Sampler] = {}


def register_sampler(*classes: type[Distribution]) -> Callable[[_F], _F]:
    """Register `sampler(dist, noise)`, whose samples have no gradient, for exactly these classes.

    `noise` is bound to the draw as for a pathwise rule: `noise.uniform()` has the shape of the sample.
    """

    def add(sampler: _F) -> _F:
        for cls in classes:
            _SAMPLERS[cls] = sampler
        return sampler

    return add


def sample(dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    """A sample without gradient, of shape `sample_shape + batch_shape + event_shape`."""
    if isinstance(noise, TorchStream) and noise.generator is None and not _has_door_under_vmap(dist):
        # A new tensor object: a transform's cache must not answer `log_prob` with values that carry no gradient.
        return dist.sample(sample_shape).detach()
    with torch.no_grad():
        if isinstance(dist, td.Independent):
            return sample(dist.base_dist, sample_shape, noise)
        if type(dist) in _SAMPLERS:
            return sample_by_registry(dist, sample_shape, noise)
        if has_rule(dist):
            return draw(dist, noise, sample_shape).detach()
        if isinstance(noise, SharedNoise):
            return sample(dist, sample_shape, noise.source)
    raise InvalidArgument(
        f"{type(dist).__name__} can only be sampled from torch's global generator",
        received=f"noise = {noise!r}",
        instead="noise=None, after torch.manual_seed(seed)",
    )


def _has_door_under_vmap(dist: Distribution) -> bool:
    """Whether a sampler of ours stands in for one of torch's that looks at values or writes in place."""
    if not torch._C._are_functorch_transforms_active():
        return False
    return isinstance(dist, td.Independent) or type(dist) in _SAMPLERS


def sample_by_registry(dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
    """The same by the registered sampler, whatever the noise: what the `sample` of a class of ours is."""
    shape = sample_shape + dist.batch_shape + dist.event_shape
    with torch.no_grad():
        return _SAMPLERS[type(dist)](dist, BoundNoise(noise, shape, sample_shape, parameter_like(dist)))


def stream(noise: BoundNoise, dist: Distribution) -> torch.Generator | None:
    """The generator for a sampler of torch's own that rejects, and so consumes an unknown number of base draws."""
    source = noise.source
    if isinstance(source, SharedNoise):
        # No fixed number of base draws, so nothing to share: the samples are independent.
        source = source.source
    if isinstance(source, TorchStream):
        return source.generator
    raise InvalidArgument(
        f"{type(dist).__name__} has no base noise of fixed size",
        received=f"noise = {noise.source!r}",
        instead="noise=torch.Generator().manual_seed(seed)",
    )


def unit_vector(index: Tensor, size: int) -> Tensor:
    """True at the index, along a new last dimension: `one_hot`, but not looking at values, which `vmap` forbids."""
    return index.unsqueeze(-1) == torch.arange(size, device=index.device)


@register_sampler(td.Bernoulli)
def bernoulli(dist: td.Bernoulli, noise: BoundNoise) -> Tensor:
    """One where a uniform falls below the probability."""
    return (noise.uniform() < dist.probs).to(dist.probs.dtype)


@register_sampler(td.Categorical)
def categorical(dist: td.Categorical, noise: BoundNoise) -> Tensor:
    """The number of cumulated probabilities that a uniform has reached."""
    steps = dist.probs.cumsum(-1)
    # Dividing by the last step makes it exactly 1, so rounding never draws a category of probability zero.
    cdf = steps / steps[..., -1:]
    return (noise.uniform(noise.sample_shape + dist.batch_shape).unsqueeze(-1) >= cdf).sum(-1)


@register_sampler(td.OneHotCategorical, td.OneHotCategoricalStraightThrough)
def one_hot_categorical(dist: td.OneHotCategorical, noise: BoundNoise) -> Tensor:
    """The category as a unit vector."""
    index = categorical(dist._categorical, noise)
    return unit_vector(index, dist.event_shape[0]).to(dist.probs.dtype)


@register_sampler(td.Geometric)
def geometric(dist: td.Geometric, noise: BoundNoise) -> Tensor:
    """The quantile of a uniform."""
    return (noise.uniform().log() / torch.log1p(-dist.probs)).floor()


@register_sampler(td.Poisson)
def poisson(dist: td.Poisson, noise: BoundNoise) -> Tensor:
    """By rejection, from counters or by torch's sampler."""
    rate = dist.rate.expand(noise.shape)
    count = _from_counters("poisson", noise, rate)
    return torch.poisson(rate, generator=stream(noise, dist)) if count is None else count


@register_sampler(td.Binomial)
def binomial(dist: td.Binomial, noise: BoundNoise) -> Tensor:
    """By rejection, from counters or by torch's sampler."""
    # Under `vmap` torch's sampler takes no parameter that is batched beside one that is not.
    total_count = (dist.total_count + torch.zeros_like(dist.probs)).expand(noise.shape)
    probs = (dist.probs + torch.zeros_like(dist.total_count)).expand(noise.shape)
    count = _from_counters("binomial", noise, total_count, probs)
    return torch.binomial(total_count, probs, generator=stream(noise, dist)) if count is None else count


@register_sampler(td.NegativeBinomial)
def negative_binomial(dist: td.NegativeBinomial, noise: BoundNoise) -> Tensor:
    """A Poisson variate whose rate is a Gamma's."""
    total_count, odds = dist.total_count.to(dist.logits.dtype).expand(noise.shape), dist.logits.exp()
    mixing = _from_counters("gamma", noise, total_count)
    if mixing is None:
        generator = stream(noise, dist)
        return torch.poisson(torch._standard_gamma(total_count, generator) * odds, generator=generator)
    count = _from_counters("poisson", noise, mixing * odds)
    assert count is not None
    return count


def _from_counters(law: str, noise: BoundNoise, *parameters: Tensor) -> Tensor | None:
    """A draw by rejection from a source of counters; None from any other, torch's own streams too."""
    # No fixed number of base draws, so nothing to share: the samples are independent.
    source = noise.source.source if isinstance(noise.source, SharedNoise) else noise.source
    if not isinstance(source, PhiloxStream):
        return None
    wide = [p if p.dtype == torch.float64 else p.float() for p in parameters]
    return source.variate(law, wide).to(parameters[0].dtype)


@register_sampler(td.Multinomial)
def multinomial(dist: td.Multinomial, noise: BoundNoise) -> Tensor:
    """The sum of its trials."""
    one_trial = td.Categorical(probs=dist.probs.unsqueeze(-2).expand(*dist.batch_shape, dist.total_count, -1))
    trials = categorical(one_trial, noise)
    return unit_vector(trials, dist.event_shape[0]).sum(-2).to(dist.probs.dtype)
