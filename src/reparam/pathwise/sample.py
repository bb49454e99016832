"""`rsample`: a sample of any distribution with a rule, carrying a gradient to every parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import as_sample_shape, check_parameters
from reparam.errors import InvalidArgument, NoPathwiseGradient
from reparam.noise import Noise, NoiseSource, as_source
from reparam.pathwise.registry import draw, has_rule, no_gradient

_ONE_SAMPLE = torch.Size()


@runtime_checkable
class Surrogate(Protocol):
    """What `via=` takes: a declared stand-in for the gradient of a sample that cannot move."""

    def rsample(self, dist: Distribution, sample_shape: torch.Size, noise: NoiseSource) -> Tensor:
        """Return a sample with the surrogate's gradient."""
        ...


def rsample(
    dist: Distribution, sample_shape: Sequence[int] = (), *, via: Surrogate | None = None, noise: Noise = None
) -> Tensor:
    r"""Draw a sample whose gradient reaches every parameter of `dist`.

    .. math:: x = g(\epsilon; \theta), \qquad \frac{dx}{d\theta} = \frac{\partial g}{\partial \theta}
              \quad\text{or, implicitly,}\quad -\frac{\partial F(x; \theta) / \partial\theta}{p(x; \theta)}

    Args:
        dist: a `torch.distributions` object whose class has a rule (see `coverage`).
        sample_shape: leading shape of independent samples.
        via: a surrogate for a class that has no rule; biased ones are only ever used by name.
        noise: None (torch's global generator), a `torch.Generator`, base noise as a tensor that broadcasts to the
            result (standard normal, uniform in (0, 1) or standard exponential, as the family's rule asks), or a source.

    Returns:
        A tensor of shape `sample_shape + batch_shape + event_shape`, in the dtype and on the device of the parameters.

    Gradient:
        Pathwise, with respect to every parameter (and everything the parameters were computed from), unbiased for a
        cost that is continuous where the samples fall; no evaluation of the cost is added. With `noise=None` a `Normal`
        consumes torch's generator exactly as `torch.randn` does, and gives torch's own values.

    Errors:
        `NoPathwiseGradient` where the class is discrete or has no rule, naming the estimator to use instead.
        `InvalidArgument` for a parameter outside its constraint (in eager mode unless the distribution was built with
        `validate_args=False`), for noise or a shape that does not fit, and for parameters of mixed dtype.

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014. Figurnov, Mohamed and Mnih, Implicit
        Reparameterization Gradients, NeurIPS 2018.

    Example:
        >>> import torch, reparam as rp
        >>> scale = torch.tensor(3.0, requires_grad=True)
        >>> z = rp.rsample(torch.distributions.Normal(2.0, scale), noise=torch.tensor(-1.5))
        >>> z.item(), torch.autograd.grad(z, scale)[0].item()
        (-2.5, -1.5)
    """
    if not isinstance(dist, Distribution):
        raise InvalidArgument(
            "dist must be a torch.distributions.Distribution",
            received=f"{type(dist).__name__}: {dist!r}",
            instead="rp.rsample(torch.distributions.Normal(loc, scale))",
        )
    shape = _ONE_SAMPLE if sample_shape == () else as_sample_shape(sample_shape)
    check_parameters(dist)
    if via is None:
        try:
            return draw(dist, as_source(noise, shape), shape)
        except NoPathwiseGradient:
            if has_rule(dist):
                raise
            # A part of a composite has no rule; what to write instead depends on the whole.
            raise no_gradient(dist) from None
    if not isinstance(via, Surrogate):
        raise InvalidArgument(
            "via must be a surrogate: an object with rsample(dist, sample_shape, noise)",
            received=f"via = {via!r}",
            instead="leave via out for a pathwise sample, or rp.expect(f, dist, estimator) for an estimator",
        )
    return via.rsample(dist, shape, as_source(noise, shape))
