"""Expectations of very many samples: in chunks that fit in memory, and shared out to the processes of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import check_parameters
from reparam.errors import InvalidArgument
from reparam.estimators import Estimator
from reparam.estimators.base import ParticleEstimator
from reparam.expectation.choice import estimator_for
from reparam.expectation.costs import check_cost
from reparam.noise import Philox
from reparam.pathwise import parameter_like

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_INSTEAD = "expect_sharded(f, dist, samples=10**6, noise=rp.noise.Philox(0), chunk=10**4)"


def expect_sharded(
    f: Callable[[Tensor], Tensor],
    dist: Distribution,
    estimator: Estimator | None = None,
    *,
    samples: int,
    noise: Philox,
    chunk: int,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""`expect` with so many samples that they fit neither in memory nor in the patience of one process.

    .. math:: E[f(x)] \approx \sum_{r} \sum_{k \in \text{share}_r} w_k(\theta) f(x_k)

    Sample k is drawn from the noise's row k, wherever it is drawn. So the result is that of `expect` with the same
    arguments in one piece, up to the order of summation, for any number of processes and any size of chunk.

    Args:
        f: the cost, as in `expect`; deterministic, because the backward pass evaluates it again.
        dist: a distribution, the same on every process.
        estimator: `Pathwise`, `ScoreFunction`, `LeaveOneOut` or another of independent draws; `estimator_for(dist)`
            unless given. `LeaveOneOut` takes the mean cost of all samples in a pass of its own, without gradients.
        samples: how many draws over all processes.
        noise: a `Philox`, the same on every process; its index is that of the first sample.
        chunk: how many samples are in memory at a time.
        group: the processes that share the samples; the whole job where torch.distributed is set up, else this one.

    Returns:
        A tensor of shape `batch_shape`, the same on every process.

    Gradient:
        First order, with respect to every parameter of the distribution and of the cost. On each process it is that of
        its own samples times the number of processes: the mean over processes, which `DistributedDataParallel` and the
        recipes' engine take, is the gradient of the whole. Two evaluations a sample, three with a baseline.

    Errors:
        `InvalidArgument` for noise that is not a `Philox` with one index, for a distribution that a `Philox` cannot
        feed, for an estimator whose draws are coupled, and for costs of the wrong shape.

    References:
        Kool, van Hoof and Welling, Buy 4 REINFORCE Samples, Get a Baseline for Free, ICLR workshop 2019.

    Example:
        >>> import torch, reparam as rp
        >>> loc = torch.tensor(1.0, requires_grad=True)
        >>> normal = torch.distributions.Normal(loc, 2.0)
        >>> mean = expect_sharded(torch.square, normal, samples=10_000, noise=rp.noise.Philox(0), chunk=1_000)
        >>> (gradient,) = torch.autograd.grad(mean, loc)
        >>> abs(mean.item() - 5) < 0.5, abs(gradient.item() - 2) < 0.2
        (True, True)
    """
    check_parameters(dist)
    estimator = _checked(dist, estimator, samples, noise, chunk)
    rank, world = _place(group)
    share = range(samples * rank // world, samples * (rank + 1) // world)
    parts = [range(first, min(first + chunk, share.stop)) for first in range(share.start, share.stop, chunk)]

    def costs(part: range) -> tuple[Tensor, Tensor | None]:
        rows = noise.at(noise.step, index=noise.index + part.start).bind(torch.Size((len(part),)))
        proposal = estimator.propose(dist, torch.Size((len(part),)), rows)
        return _costs(f, proposal.points, torch.Size((len(part), *dist.batch_shape))), proposal.log_ratio

    baseline: Tensor | float = 0.0
    if estimator.centred:
        with torch.no_grad():
            total = _sum(costs(part)[0].sum(0) for part in parts)
            baseline = _over_processes(total, dist, world, group) / samples

    def weighted(part: range) -> Tensor:
        cost, log_ratio = costs(part)
        if log_ratio is None:
            return cost.sum(0) / samples
        if estimator.centred:
            return (cost / samples + torch.expm1(log_ratio) * (cost - baseline) / (samples - 1)).sum(0)
        return (log_ratio.exp() * cost).sum(0) / samples

    # The first part is evaluated in the plain way: what distributions compute once and keep must be there for the rest.
    mine = _sum(_recomputed(weighted, part) if part.start > share.start else weighted(part) for part in parts)
    whole = _over_processes(mine, dist, world, group)
    if not isinstance(mine, Tensor) or not mine.requires_grad or world == 1:
        return whole
    return world * mine + (whole - world * mine).detach()


def _checked(
    dist: Distribution, estimator: Estimator | None, samples: int, noise: Philox, chunk: int
) -> ParticleEstimator:
    for name, value in (("samples", samples), ("chunk", chunk)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidArgument(
                f"{name} must be a positive integer", received=f"{name} = {value!r}", instead=_INSTEAD
            )
    if not isinstance(noise, Philox) or (isinstance(noise.index, Tensor) and noise.index.ndim > 0):
        raise InvalidArgument(
            "samples that are drawn in shares need noise that numbers them",
            received=f"noise = {noise!r}",
            instead=_INSTEAD,
        )
    estimator = estimator_for(dist) if estimator is None else estimator
    if not isinstance(estimator, ParticleEstimator):
        raise InvalidArgument(
            "only estimators of independent draws can be cut into shares",
            received=f"estimator = {estimator!r}",
            instead="rp.Pathwise(), rp.ScoreFunction() or rp.LeaveOneOut(); rp.expect for the others",
        )
    if estimator.centred and samples < 2:
        raise InvalidArgument(
            "a baseline from the other samples needs others", received=f"samples = {samples}", instead="samples >= 2"
        )
    return estimator


def _place(group: ProcessGroup | None) -> tuple[int, int]:
    group = group or _whole_job()
    return (0, 1) if group is None else (group.rank(), group.size())


def _whole_job() -> ProcessGroup | None:
    distributed = torch.distributed
    return distributed.group.WORLD if distributed.is_available() and distributed.is_initialized() else None


def _costs(f: Callable[[Tensor], Tensor], points: Tensor, shape: torch.Size) -> Tensor:
    costs = f(points)
    if not isinstance(costs, Tensor) or costs.shape != shape:
        received = f"costs of shape {tuple(costs.shape)}" if isinstance(costs, Tensor) else type(costs).__name__
        raise InvalidArgument(
            f"the cost must return one number for each point, here of shape {tuple(shape)}",
            received=f"{received} for points of shape {tuple(points.shape)}",
            instead="reduce event dimensions only, as f(x).sum(-1), and leave the leading ones alone",
        )
    check_cost(costs, points.requires_grad)
    return costs


def _recomputed(weighted: Callable[[range], Tensor], part: range) -> Tensor:
    """The sum over a part, whose inner results are not kept for the backward pass but found again there."""
    from torch.utils.checkpoint import checkpoint

    return checkpoint(weighted, part, use_reentrant=False)


def _sum(terms: Iterator[Tensor]) -> Tensor | float:
    """The sum, 0.0 where a process has no part."""
    total: Tensor | float = 0.0
    for term in terms:
        total = total + term
    return total


def _over_processes(mine: Tensor | float, dist: Distribution, world: int, group: ProcessGroup | None) -> Tensor:
    if world == 1:
        assert isinstance(mine, Tensor)
        return mine
    group = group or _whole_job()
    assert group is not None
    like = parameter_like(dist)
    total = mine.detach().clone() if isinstance(mine, Tensor) else like.new_zeros(dist.batch_shape)
    group.allreduce([total]).wait()
    return total
