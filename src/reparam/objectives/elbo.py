"""The evidence lower bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, kl_divergence
from torch.distributions.kl import _KL_REGISTRY

from reparam.errors import InvalidArgument
from reparam.estimators import Estimator, Pathwise
from reparam.expectation import expect
from reparam.noise import Noise
from reparam.objectives.detached import detached

LogLikelihood = Callable[[Tensor], Tensor]


def elbo(
    log_likelihood: LogLikelihood,
    posterior: Distribution,
    prior: Distribution,
    *,
    samples: int | None = None,
    kl: Literal["auto", "analytic", "monte-carlo"] = "auto",
    stick_the_landing: bool = False,
    estimator: Estimator | None = None,
    noise: Noise = None,
) -> Tensor:
    r"""The evidence lower bound, to be maximised.

    .. math:: \mathcal{L} = E_{q(z)}\left[\log p(x \mid z)\right] - \mathrm{KL}(q \,\|\, p)
              = E_{q(z)}\left[\log p(x \mid z) + \log p(z) - \log q(z)\right] \le \log p(x)

    Args:
        log_likelihood: takes z of shape `(K, *batch_shape, *event_shape)`, returns :math:`\log p(x|z)` of shape
            `(K, *batch_shape)`, in nats.
        posterior: q, of the batch shape of the data.
        prior: p(z), of the same event shape, of a batch shape that broadcasts to the posterior's.
        samples: how many draws K; the estimator's own number unless given.
        kl: "analytic" for the closed form, "monte-carlo" for the second form above, "auto" for the closed form where
            torch or this library has registered one.
        stick_the_landing: leave out the score of q, whose mean is zero: with it the gradient's variance does not vanish
            at the optimum. Implies "monte-carlo".
        estimator: how the expectation over q is estimated, `estimator_for(posterior)` unless given: `Pathwise`
            where q's samples move.
        noise: where draws come from, as in `rsample`.

    Returns:
        The bound for each batch element, of shape `posterior.batch_shape`.

    Gradient:
        With respect to the parameters of q, of p(z) and of the likelihood; unbiased where the estimator is; K
        evaluations of the likelihood in one call.

    Errors:
        `InvalidArgument` for shapes that do not fit, for `kl="analytic"` without a closed form, and for
        `stick_the_landing` with `kl="analytic"` or with an estimator that needs the score it removes.

    References:
        Kingma and Welling, ICLR 2014. Roeder, Wu and Duvenaud, Sticking the Landing, NeurIPS 2017.

    Example:
        >>> import torch, reparam as rp
        >>> from torch.distributions import Independent, Normal
        >>> q = Independent(Normal(torch.zeros(5, 2), torch.ones(5, 2)), 1)
        >>> p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> rp.objectives.elbo(lambda z: torch.zeros(z.shape[:-1]), q, p)
        tensor([0., 0., 0., 0., 0.])
    """
    check_prior(posterior, prior)
    if kl not in ("auto", "analytic", "monte-carlo"):
        raise InvalidArgument("kl names no way to compute the divergence", received=f"kl={kl!r}", instead='kl="auto"')
    if stick_the_landing:
        return _sticking(log_likelihood, posterior, prior, samples, kl, estimator, noise)
    closed = None if kl == "monte-carlo" else _closed_form(posterior, prior)
    if closed is not None:
        return expect(log_likelihood, posterior, estimator, samples=samples, noise=noise) - closed
    if kl == "analytic":
        raise InvalidArgument(
            "no closed form of the divergence is registered for this pair",
            received=f"KL({type(posterior).__name__} || {type(prior).__name__})",
            instead='kl="auto", or torch.distributions.kl.register_kl',
        )

    def integrand(z: Tensor) -> Tensor:
        return log_likelihood(z) + prior.log_prob(z) - posterior.log_prob(z)

    return expect(integrand, posterior, estimator, samples=samples, noise=noise)


def _sticking(
    log_likelihood: LogLikelihood,
    posterior: Distribution,
    prior: Distribution,
    samples: int | None,
    kl: str,
    estimator: Estimator | None,
    noise: Noise,
) -> Tensor:
    if kl == "analytic" or not (estimator is None or isinstance(estimator, Pathwise)):
        raise InvalidArgument(
            "sticking the landing is a pathwise Monte Carlo estimate of the whole bound",
            received=f"stick_the_landing=True with kl={kl!r}, estimator={estimator!r}",
            instead='stick_the_landing=True with kl="auto" and no estimator',
        )
    frozen = detached(posterior)

    def integrand(z: Tensor) -> Tensor:
        return log_likelihood(z) + prior.log_prob(z) - frozen.log_prob(z)

    return expect(integrand, posterior, estimator or Pathwise(), samples=samples, noise=noise)


def _closed_form(posterior: Distribution, prior: Distribution) -> Tensor | None:
    """The registered divergence, or None.

    An exact pair of classes is looked up here: the compiler cannot trace torch's own search along the class trees.
    """
    if type(posterior) is Independent and type(prior) is Independent:
        dims = posterior.reinterpreted_batch_ndims
        if dims == prior.reinterpreted_batch_ndims:
            inner = _closed_form(posterior.base_dist, prior.base_dist)
            return inner.sum(tuple(range(-dims, 0))) if inner is not None and dims else inner
    if type(prior) is Bernoulli:
        # torch's closed form assigns by a mask, which does not broadcast.
        prior = prior.expand(posterior.batch_shape)
    registered = _KL_REGISTRY.get((type(posterior), type(prior)))
    if registered is not None:
        return registered(posterior, prior)
    try:
        return kl_divergence(posterior, prior)
    except NotImplementedError:
        return None


def check_prior(posterior: Distribution, prior: Distribution) -> None:
    """Raise unless the prior's shapes fit the posterior's."""
    batch, wanted = tuple(prior.batch_shape), tuple(posterior.batch_shape)
    fits = len(batch) <= len(wanted) and all(
        a in (1, b) for a, b in zip(reversed(batch), reversed(wanted), strict=False)
    )
    if prior.event_shape != posterior.event_shape or not fits:
        raise InvalidArgument(
            "posterior and prior must have one event_shape, and the prior's batch_shape must broadcast",
            received=f"posterior {wanted} and {tuple(posterior.event_shape)}, "
            f"prior {batch} and {tuple(prior.event_shape)}",
            instead="Independent(dist, 1) around each, so that the latent dimensions are one event",
        )
