"""A sample and its log density from one draw, joined where a transform has saturated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.distributions import ComposeTransform, Distribution, Independent, LogNormal, TransformedDistribution

from reparam.checks import as_sample_shape, check_parameters
from reparam.errors import InvalidArgument
from reparam.noise import Noise, NoiseSource, as_source
from reparam.pathwise.registry import draw, has_rule, no_gradient
from reparam.pathwise.sample import Surrogate, rsample


def rsample_with_log_prob(
    dist: Distribution, sample_shape: Sequence[int] = (), *, via: Surrogate | None = None, noise: Noise = None
) -> tuple[Tensor, Tensor]:
    r"""Draw a sample and evaluate its log density, without inverting what cannot be inverted in floating point.

    .. math:: y = f_n \circ \dots \circ f_1(x), \qquad
              \log p(y) = \log p_0(x) - \sum_i \log \lvert \det J_{f_i}(x_{i-1}) \rvert

    A tanh or a sigmoid rounds to its bound, where :math:`f^{-1}(y)` is infinite; here the x that was drawn is at hand.
    So `log_prob` is finite, and has the right gradient, however far into saturation the sample is.

    Args:
        dist: as in `rsample`. A `TransformedDistribution`, inside any number of `Independent`, is evaluated forward as
            above; any other class by its own `log_prob`.
        sample_shape: as in `rsample`.
        via: as in `rsample`; the surrogate's sample is handed to `dist.log_prob`.
        noise: as in `rsample`.

    Returns:
        The sample, of shape `sample_shape + batch_shape + event_shape`, and its log density, of shape
        `sample_shape + batch_shape`.

    Gradient:
        Of the sample as in `rsample`. Of the log density, both through the sample and through the parameters at a fixed
        sample: its mean has the gradient of minus the entropy.

    Errors:
        As `rsample`, and `InvalidArgument` where a transform is not one to one, so that no single x stands for y.

    References:
        Haarnoja, Zhou, Abbeel and Levine, Soft Actor-Critic, ICML 2018, appendix C.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal, TanhTransform, TransformedDistribution
        >>> policy = TransformedDistribution(Normal(torch.tensor(30.0), 1.0), TanhTransform())
        >>> action, log_prob = rsample_with_log_prob(policy, noise=torch.tensor(0.0))
        >>> action.item(), round(log_prob.item(), 4)  # log N(30; 30, 1) - 2 (log 2 - 30)
        (1.0, 57.6948)
    """
    if via is not None or not isinstance(dist, Distribution):
        x = rsample(dist, sample_shape, via=via, noise=noise)
        return x, dist.log_prob(x)
    shape = as_sample_shape(sample_shape)
    check_parameters(dist)
    if not has_rule(dist):
        raise no_gradient(dist)
    return _joint(dist, as_source(noise, shape), shape)


def _joint(dist: Distribution, source: NoiseSource, sample_shape: torch.Size) -> tuple[Tensor, Tensor]:
    # By exact class: a subclass such as torch's Weibull may hold transforms that its rule does not go through.
    if type(dist) is Independent:
        x, log_prob = _joint(dist.base_dist, source, sample_shape)
        return x, _sum_last(log_prob, dist.reinterpreted_batch_ndims)
    if type(dist) in (TransformedDistribution, LogNormal):
        return _transformed(cast(TransformedDistribution, dist), source, sample_shape)
    x = draw(dist, source, sample_shape)
    return x, dist.log_prob(x)


def _transformed(dist: TransformedDistribution, source: NoiseSource, sample_shape: torch.Size) -> tuple[Tensor, Tensor]:
    whole = ComposeTransform(dist.transforms)
    if not whole.bijective:
        raise InvalidArgument(
            "rsample_with_log_prob: every transform must be one to one",
            received=f"transforms {dist.transforms}",
            instead="rp.rsample(dist), and a log density of your own",
        )
    x, log_prob = _joint(dist.base_dist, source, sample_shape)
    event_dim = len(dist.event_shape) - whole.codomain.event_dim + whole.domain.event_dim
    log_prob = _sum_last(log_prob, event_dim - len(dist.base_dist.event_shape))
    for transform in dist.transforms:
        y = cast(Tensor, transform(x))
        stretch = cast(Tensor, transform.log_abs_det_jacobian(x, y))
        log_prob = log_prob - _sum_last(stretch, event_dim - transform.domain.event_dim)
        event_dim += transform.codomain.event_dim - transform.domain.event_dim
        x = y
    return x, log_prob


def _sum_last(value: Tensor, dims: int) -> Tensor:
    return value.sum(tuple(range(-dims, 0))) if dims > 0 else value
