"""Which estimator serves a distribution when the user names none."""

from __future__ import annotations

from torch.distributions import Distribution, MixtureSameFamily

from reparam.estimators import Components, Enumerate, Estimator, LeaveOneOut, Pathwise, support_size
from reparam.pathwise import advise_with, has_rule

# Exact beats estimated as long as the cost, evaluated on one batched call, does not notice.
_ENUMERATED = 256


def estimator_for(dist: Distribution) -> Estimator:
    """The estimator that `expect` uses for `dist` unless one is named.

    `Components` for a mixture of up to 256 components, with what serves a component inside each; `Pathwise` where the
    sample can move; else `Enumerate` up to 256 values; else `LeaveOneOut` with four draws. All are unbiased. The choice
    looks at the distribution alone; the cost may favour another.

    Example:
        >>> import torch, reparam as rp
        >>> td = torch.distributions
        >>> rp.estimator_for(td.Normal(0.0, 1.0)), rp.estimator_for(td.Bernoulli(0.5))
        (Pathwise(samples=1), Enumerate(budget=65536))
        >>> rp.estimator_for(td.Poisson(4.0))
        LeaveOneOut(samples=4)
    """
    if type(dist) is MixtureSameFamily and dist._num_component <= _ENUMERATED:
        return Components(estimator_for(dist.component_distribution))
    if has_rule(dist):
        return Pathwise()
    size = support_size(dist)
    if size is not None and size <= _ENUMERATED:
        return Enumerate()
    return LeaveOneOut(4)


@advise_with
def _advice(dist: Distribution) -> str:
    chosen = estimator_for(dist)
    if isinstance(chosen, Components):
        return "rp.expect(f, dist), which sums over the components"
    return f"rp.expect(f, dist, rp.{chosen if not isinstance(chosen, Enumerate) else 'Enumerate()'})"
