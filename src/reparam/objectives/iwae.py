"""The importance-weighted bound, and its doubly reparameterized gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import UnsupportedTransform
from reparam.estimators.base import require_samples
from reparam.noise import Noise
from reparam.objectives.detached import detached
from reparam.objectives.elbo import LogLikelihood, check_prior
from reparam.pathwise import rsample


def iwae(
    log_likelihood: LogLikelihood,
    posterior: Distribution,
    prior: Distribution,
    *,
    samples: int,
    doubly_reparameterized: bool = False,
    noise: Noise = None,
) -> Tensor:
    r"""The importance-weighted autoencoder's bound, to be maximised.

    .. math:: \mathcal{L}_K = E\left[\log \frac{1}{K} \sum_k w_k\right] \le \log p(x), \qquad
              w_k = \frac{p(x \mid z_k)\, p(z_k)}{q(z_k)}

    Args:
        log_likelihood: takes z of shape `(K, *batch_shape, *event_shape)`, returns :math:`\log p(x|z)` of shape
            `(K, *batch_shape)`, in nats.
        posterior: q, whose samples must have a pathwise gradient.
        prior: p(z), of the same event shape, of a batch shape that broadcasts to the posterior's.
        samples: K, the number of importance samples.
        doubly_reparameterized: use the DReG gradient for the parameters of q: its signal-to-noise ratio grows with K,
            where the plain one's falls.
        noise: where draws come from, as in `rsample`.

    Returns:
        The bound for each batch element, of shape `posterior.batch_shape`.

    Gradient:
        With respect to the parameters of q, of p(z) and of the likelihood; an unbiased estimate of the gradient of
        :math:`\mathcal{L}_K`; K evaluations of the likelihood in one call. With :math:`\tilde w` the
        normalised weights, the doubly reparameterized gradient weighs the path through z by :math:`\tilde w_k^2` and
        everything else by :math:`\tilde w_k`; it is first order only: a graph of it raises `UnsupportedTransform`,
        and so does `torch.compile`.

    Errors:
        `NoPathwiseGradient` for a posterior whose samples cannot move, `InvalidArgument` for shapes that do not fit.

    References:
        Burda, Grosse and Salakhutdinov, ICLR 2016. Tucker, Lawson, Gu and Maddison, Doubly Reparameterized Gradient
        Estimators for Monte Carlo Objectives, ICLR 2019.

    Example:
        >>> import torch, reparam as rp
        >>> from torch.distributions import Independent, Normal
        >>> q = Independent(Normal(torch.zeros(5, 2), torch.ones(5, 2)), 1)
        >>> p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> bool(rp.objectives.iwae(lambda z: torch.zeros(z.shape[:-1]), q, p, samples=8).abs().max() < 1e-6)
        True
    """
    require_samples("objectives.iwae", samples, 1)
    check_prior(posterior, prior)
    z = rsample(posterior, (samples,), noise=noise)
    if not doubly_reparameterized:
        log_weights = log_likelihood(z) + prior.log_prob(z) - posterior.log_prob(z)
        return torch.logsumexp(log_weights, 0) - math.log(samples)
    if torch.compiler.is_compiling():
        raise UnsupportedTransform(
            "the doubly reparameterized gradient cannot be compiled: its factor is known only after the forward pass",
            received="objectives.iwae(..., doubly_reparameterized=True) inside torch.compile",
            instead="doubly_reparameterized=False there, or this call outside the compiled function",
        )
    scale: list[Tensor] = []
    z = _ScaledPath.apply(z, scale)
    log_weights = log_likelihood(z) + prior.log_prob(z) - detached(posterior).log_prob(z)
    normalised = torch.softmax(log_weights.detach(), 0)
    scale.append(normalised.view(normalised.shape + (1,) * len(posterior.event_shape)))
    bound = torch.logsumexp(log_weights.detach(), 0) - math.log(samples)
    # The value is the bound; the derivative is that of the weighted sum, with the path through z scaled once more.
    weighted = (normalised * log_weights).sum(0)
    return bound + (weighted - weighted.detach())


class _ScaledPath(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor that is known only after the forward pass."""

    @staticmethod
    def forward(z: Tensor, scale: list[Tensor]) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx, gradient: Tensor):
        if torch.is_grad_enabled():
            raise UnsupportedTransform(
                "the doubly reparameterized gradient is first order: its own derivative is not that of the bound",
                received="a backward pass that builds a graph (create_graph=True, or torch.func.grad)",
                instead="objectives.iwae(..., doubly_reparameterized=False)",
            )
        return gradient * ctx.scale[0], None
