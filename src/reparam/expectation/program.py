r"""Programs of random variables: run once, all particles in parallel, and weigh the cost by what was drawn.

All variables of a program share one batch shape. In front of it stands one particle axis of K runs, and in front of
that one axis for each enumerated variable, newest first, so that what was drawn earlier broadcasts against what is
drawn later:

    (newest enumerated, ..., oldest enumerated, K, *batch_shape)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators import Estimator, ParticleEstimator, particle_weights
from reparam.expectation.choice import estimator_for
from reparam.noise import NoiseSource, SharedNoise


class Sampler:
    """What a program receives: call it with a distribution, get points that carry all axes so far.

    Attributes:
        samples: K, the size of the particle axis.
        batch_shape: that of the program's variables, known once the first is drawn.
        axes: the sizes of the axes in front of it.
    """

    def __init__(self, samples: int, noise: NoiseSource) -> None:
        self.samples = samples
        self.axes: tuple[int, ...] = (samples,)
        self.batch_shape: torch.Size | None = None
        self._noise = noise
        self._plain: Tensor | None = None
        self._centred: Tensor | None = None
        self._probability: Tensor | None = None
        # Counted from the particle axis outwards: the axes whose points are compared with each other.
        self._coupled: list[int] = []

    def __call__(self, dist: Distribution, estimator: Estimator | None = None) -> Tensor:
        """Draw a variable.

        Args:
            dist: its distribution, of the program's batch shape, or with the axes of what it depends on in front.
            estimator: how its gradient is estimated; `estimator_for(dist)` unless given.

        Returns:
            Points of shape `(*axes, *batch_shape, *event_shape)`.
        """
        if not isinstance(dist, Distribution):
            raise InvalidArgument(
                "sample takes a torch.distributions.Distribution",
                received=f"{type(dist).__name__}",
                instead="z = sample(torch.distributions.Normal(loc, scale))",
            )
        if self.batch_shape is None:
            self.batch_shape = dist.batch_shape
        present = self._axes_of(dist)
        estimator = estimator_for(dist) if estimator is None else estimator
        if not estimator.weighs:
            raise InvalidArgument(
                f"{type(estimator).__name__} needs the cost of its variable itself, which a program does not have",
                received=f"sample(dist, {estimator!r})",
                instead="sample(dist, rp.LeaveOneOut()), or rp.expect(f, dist, estimator) for one variable",
            )
        # Coupled runs are compared with each other, so they must share everything their variable depends on.
        if isinstance(estimator, ParticleEstimator) and not (estimator.coupled and present):
            return self._particles(dist, estimator, present)
        return self._own_axis(dist, estimator, present)

    def _axes_of(self, dist: Distribution) -> int:
        """How many axes `dist` already carries in front of the batch shape."""
        assert self.batch_shape is not None
        present = len(dist.batch_shape) - len(self.batch_shape)
        full = (*self.axes, *self.batch_shape)
        if not 0 <= present <= len(self.axes) or tuple(dist.batch_shape) != full[len(self.axes) - present :]:
            raise InvalidArgument(
                "all variables of a program share one batch shape, with the axes of what they depend on in front",
                received=f"batch_shape {tuple(dist.batch_shape)}, in a program of {tuple(self.batch_shape)} "
                f"and axes {self.axes}",
                instead=f"Independent(dist, n) for dimensions that are part of one event, or dist.expand({full})",
            )
        return present

    def _particles(self, dist: Distribution, estimator: ParticleEstimator, present: int) -> Tensor:
        if estimator.centred and self.samples < 2:
            raise InvalidArgument(
                f"{type(estimator).__name__} takes the program's other runs as its baseline and needs at least two",
                received=f"samples={self.samples}",
                instead="rp.expect(program, samples=8)",
            )
        # A variable that carries no axis yet is drawn once for each particle; axes it lacks it does not depend on.
        runs = torch.Size(() if present else (self.samples,))
        proposal = estimator.propose(dist, runs, self._source(present, leading=0))
        if proposal.log_ratio is not None:
            if estimator.centred:
                self._centred = _add(self._centred, proposal.log_ratio)
            else:
                self._plain = _add(self._plain, proposal.log_ratio)
        return proposal.points

    def _own_axis(self, dist: Distribution, estimator: Estimator, present: int) -> Tensor:
        draw = estimator.draw(dist, self._source(present, leading=1))
        # A new axis stands before all others: those that `dist` lacks become dimensions of size one behind it.
        missing = len(self.axes) - present
        points = draw.points[(slice(None), *[None] * missing)]
        weights = draw.weights[(slice(None), *[None] * missing)]
        if estimator.coupled:
            self._coupled.append(len(self.axes))
        self.axes = (draw.weights.shape[0], *self.axes)
        self._probability = weights if self._probability is None else self._probability * weights
        assert self.batch_shape is not None
        return points.expand(*self.axes, *self.batch_shape, *dist.event_shape)

    def _source(self, present: int, leading: int) -> NoiseSource:
        """Noise for a variable with `present` axes: the same for all points of a coupled axis it depends on.

        An estimator asks for noise of shape `(*leading dimensions, *axes present, *batch_shape, ...)`.
        """
        dims = tuple(leading + present - 1 - axis for axis in self._coupled if axis < present)
        return SharedNoise(self._noise, dims) if dims else self._noise

    def combine(self, cost: Tensor) -> Tensor:
        """Weigh the cost of every run and sum over all axes: the estimate, of the program's batch shape."""
        if self.batch_shape is None:
            raise InvalidArgument(
                "the program drew nothing",
                received="a program that never called sample(dist)",
                instead="def program(sample): z = sample(dist); return cost(z)",
            )
        shape = self._check(cost)
        cost = cost.expand(shape)
        particles = len(self.axes) - 1
        if self._plain is None and self._centred is None:
            total = cost / self.samples
        else:
            total = particle_weights(self.samples, self._plain, self._centred, -1 - len(self.batch_shape)) * cost
        if self._probability is not None:
            total = self._probability * total
        return total.sum(tuple(range(particles + 1)))

    def _check(self, cost: Tensor) -> torch.Size:
        assert self.batch_shape is not None
        full = torch.Size((*self.axes, *self.batch_shape))
        batch = len(self.batch_shape)
        fits = isinstance(cost, Tensor) and cost.dim() > batch and cost.shape[cost.dim() - batch :] == self.batch_shape
        try:
            fits = fits and torch.broadcast_shapes(cost.shape, full) == full
        except RuntimeError:
            fits = False
        if not fits:
            received = f"cost of shape {tuple(cost.shape)}" if isinstance(cost, Tensor) else f"{type(cost).__name__}"
            raise InvalidArgument(
                f"a program returns one cost for each run and batch element, of shape {tuple(full)}",
                received=received,
                instead="sum over event dimensions only, as cost.sum(-1); the axes in front are summed by expect",
            )
        return full


def _add(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total + term
