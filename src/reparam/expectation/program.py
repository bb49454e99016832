r"""Programs of random variables: run once, all particles in parallel, and weigh each cost by what lies upstream of it.

All variables of a program share one batch shape; a batch dimension of size one is shared by the whole batch. In front
of it stands one particle axis of K runs, and in front of that one axis for each enumerated variable, newest first, so
that what was drawn earlier broadcasts against what is drawn later:

    (newest enumerated, ..., oldest enumerated, K, *batch_shape)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators import Estimator, ParticleEstimator
from reparam.expectation.choice import estimator_for
from reparam.expectation.costs import check_cost
from reparam.expectation.credit import Variable, weights
from reparam.noise import NoiseSource, SharedNoise

Draws = Tensor | Sequence[Tensor]


class Sampler:
    """What a program receives: call it with a distribution, get points that carry all axes so far.

    Attributes:
        samples: K, the size of the particle axis.
        batch_shape: that of the program's variables so far, broadcast; None before the first.
        axes: the sizes of the axes in front of it.
    """

    def __init__(self, samples: int, noise: NoiseSource) -> None:
        self.samples = samples
        self.axes: tuple[int, ...] = (samples,)
        self.batch_shape: torch.Size | None = None
        self._noise = noise
        self._variables: list[Variable] = []
        self._costs: list[tuple[Tensor, frozenset[int] | None]] = []
        # Counted from the particle axis outwards: the axes whose points are compared with each other.
        self._coupled: list[int] = []

    @property
    def draws(self) -> tuple[Tensor, ...]:
        """The points of every variable so far, in the order of drawing."""
        return tuple(variable.points for variable in self._variables)

    def __call__(self, dist: Distribution, estimator: Estimator | None = None, *, given: Draws | None = None) -> Tensor:
        """Draw a variable.

        Args:
            dist: its distribution, of the program's batch shape, or with the axes of what it depends on in front. A
                batch dimension of size 1 makes the variable one that the whole batch shares.
            estimator: how its gradient is estimated; `estimator_for(dist)` unless given.
            given: the draws that `dist` depends on; all so far, unless given. It matters only to `cost(c, of=...)`,
                which credits the variables that lie upstream of those named there.

        Returns:
            Points of shape `(*axes, *batch_shape, *event_shape)`.
        """
        if not isinstance(dist, Distribution):
            raise InvalidArgument(
                "sample takes a torch.distributions.Distribution",
                received=f"{type(dist).__name__}",
                instead="z = sample(torch.distributions.Normal(loc, scale))",
            )
        ancestors = self._upstream(given, "given")
        present = self._axes_of(dist)
        estimator = estimator_for(dist) if estimator is None else estimator
        if not isinstance(estimator, Estimator):
            raise InvalidArgument(
                "estimator must be an object, such as rp.LeaveOneOut()",
                received=f"sample(dist, {estimator!r})",
                instead=f"sample(dist, rp.{estimator_for(dist)})",
            )
        if not estimator.weighs:
            raise InvalidArgument(
                f"{type(estimator).__name__} needs the cost of its variable itself, which a program does not have",
                received=f"sample(dist, rp.{type(estimator).__name__}(...))",
                instead="sample(dist, rp.LeaveOneOut()), or rp.expect(f, dist, estimator) for one variable",
            )
        # Coupled runs are compared with each other, so they must share everything their variable depends on.
        if isinstance(estimator, ParticleEstimator) and not (estimator.coupled and present):
            variable = self._particles(dist, estimator, present, ancestors)
        else:
            variable = self._own_axis(dist, estimator, present, ancestors)
        self._variables.append(variable)
        return variable.points

    def cost(self, value: Tensor, of: Draws | None = None) -> None:
        """Add a cost that is credited to its ancestors only: the scores of other variables do not multiply it.

        Args:
            value: of shape `(*axes, *batch_shape)`, added to what the program returns.
            of: the draws that the cost is computed from, as `sample` returned them; what those were drawn `given` is
                credited too. All draws so far, unless given. With `of=()`, a term that no draw enters, of a shape that
                broadcasts to the batch shape.
        """
        self._costs.append((value, None if of is None else self._upstream(of, "of")))

    def _upstream(self, draws: Draws | None, argument: str) -> frozenset[int]:
        """The indices of some draws and of everything they depend on."""
        if draws is None:
            return frozenset(range(len(self._variables)))
        upstream: frozenset[int] = frozenset()
        for draw in [draws] if isinstance(draws, Tensor) else draws:
            index = next((i for i, variable in enumerate(self._variables) if variable.points is draw), None)
            if index is None:
                raise InvalidArgument(
                    f"{argument}= takes draws of this program, as sample returned them",
                    received=f"a tensor of shape {tuple(draw.shape)}" if isinstance(draw, Tensor) else f"{draw!r}",
                    instead=f"z = sample(dist), and later {argument}=z or {argument}=(z, b)",
                )
            upstream |= self._variables[index].ancestors | {index}
        return upstream

    def _axes_of(self, dist: Distribution) -> int:
        """How many axes `dist` already carries in front of the batch shape, which it may widen."""
        batch = dist.batch_shape if self.batch_shape is None else self.batch_shape
        present = len(dist.batch_shape) - len(batch)
        first = len(self.axes) - present
        fits = 0 <= present <= len(self.axes) and tuple(dist.batch_shape[:present]) == self.axes[first:]
        if fits and all(a == b or 1 in (a, b) for a, b in zip(dist.batch_shape[present:], batch, strict=True)):
            self.batch_shape = torch.broadcast_shapes(dist.batch_shape[present:], batch)
            return present
        raise InvalidArgument(
            "all variables of a program share one batch shape, with the axes of what they depend on in front",
            received=f"batch_shape {tuple(dist.batch_shape)}, in a program of {tuple(batch)} and axes {self.axes}",
            instead=f"Independent(dist, n) for dimensions that are part of one event, dist.expand({(1,) * len(batch)}) "
            f"for a variable the batch shares, or dist.expand({(*self.axes, *batch)})",
        )

    def _particles(
        self, dist: Distribution, estimator: ParticleEstimator, present: int, ancestors: frozenset[int]
    ) -> Variable:
        if estimator.centred and self.samples < 2:
            raise InvalidArgument(
                f"{type(estimator).__name__} takes the program's other runs as its baseline and needs at least two",
                received=f"samples={self.samples}",
                instead="rp.expect(program, samples=8)",
            )
        # A variable that carries no axis yet is drawn once for each particle; axes it lacks it does not depend on.
        runs = torch.Size(() if present else (self.samples,))
        proposal = estimator.propose(dist, runs, self._source(present, leading=0))
        ratio = proposal.log_ratio
        if estimator.centred:
            return Variable(proposal.points, ancestors, centred=ratio)
        return Variable(proposal.points, ancestors, plain=ratio)

    def _own_axis(self, dist: Distribution, estimator: Estimator, present: int, ancestors: frozenset[int]) -> Variable:
        draw = estimator.draw(dist, self._source(present, leading=1))
        # A new axis stands before all others: those that `dist` lacks become dimensions of size one behind it.
        missing = len(self.axes) - present
        points = draw.points[(slice(None), *[None] * missing)]
        probability = draw.weights[(slice(None), *[None] * missing)]
        if estimator.coupled:
            self._coupled.append(len(self.axes))
        self.axes = (draw.weights.shape[0], *self.axes)
        points = points.expand(*self.axes, *dist.batch_shape[present:], *dist.event_shape)
        return Variable(points, ancestors, probability=probability)

    def _source(self, present: int, leading: int) -> NoiseSource:
        """Noise for a variable with `present` axes: the same for all points of a coupled axis it depends on.

        An estimator asks for noise of shape `(*leading dimensions, *axes present, *batch_shape, ...)`.
        """
        dims = tuple(leading + present - 1 - axis for axis in self._coupled if axis < present)
        return SharedNoise(self._noise, dims) if dims else self._noise

    def combine(self, returned: Tensor | None) -> Tensor:
        """Weigh every cost and sum over all axes: the estimate, of the program's batch shape."""
        if self.batch_shape is None:
            raise InvalidArgument(
                "the program drew nothing",
                received="a program that never called sample(dist)",
                instead="def program(sample): z = sample(dist); return cost(z)",
            )
        costs = self._costs if returned is None and self._costs else [*self._costs, (returned, None)]
        total = sum(self._weighed(cost, of) for cost, of in costs)
        assert isinstance(total, Tensor)
        return total.expand(self.batch_shape)

    def _weighed(self, cost: Tensor | None, of: frozenset[int] | None) -> Tensor:
        """The estimate of one cost's expectation, of a shape that broadcasts to the batch shape."""
        assert self.batch_shape is not None
        if of is not None and not of:
            return self._constant(cost)
        cost = self._aligned(cost, exact=of is None)
        indices = range(len(self._variables)) if of is None else sorted(of)
        upstream = [self._variables[i] for i in indices]
        # What was drawn given a variable may carry its gradient instead: the last ones have nobody to.
        given = {ancestor for variable in upstream for ancestor in variable.ancestors}
        check_cost(cost, any(self._variables[i].points.requires_grad for i in indices if i not in given))
        total = weights(self._variables, upstream, cost.shape, self.samples, len(self.batch_shape)) * cost
        return total.sum(tuple(range(len(self.axes))))

    def _constant(self, cost: Tensor | None) -> Tensor:
        """A term that no draw enters."""
        assert self.batch_shape is not None
        if not isinstance(cost, Tensor) or not _broadcasts(cost.shape, self.batch_shape):
            raise InvalidArgument(
                "a cost of no draw, of=(), has a shape that broadcasts to the program's batch shape",
                received=_received(cost),
                instead=f"a tensor of shape {tuple(self.batch_shape)}, or of=... the draws it is computed from",
            )
        return cost

    def _aligned(self, cost: Tensor | None, exact: bool) -> Tensor:
        """The cost with all its axes, of size one where it carries none."""
        assert self.batch_shape is not None
        batch = len(self.batch_shape)
        if (
            not isinstance(cost, Tensor)
            or cost.dim() <= batch
            or cost.shape[-1 - batch] != self.samples
            or not _broadcasts(cost.shape, (*self.axes, *self.batch_shape))
            or (exact and cost.shape[cost.dim() - batch :] != self.batch_shape)
        ):
            raise InvalidArgument(
                "a program returns one cost for each run and batch element, of shape "
                f"{(*self.axes, *self.batch_shape)}",
                received=_received(cost),
                instead="sum over event dimensions only, as cost.sum(-1); the axes in front are summed by expect",
            )
        return cost[(None,) * (len(self.axes) + batch - cost.dim())]

    def weights(self) -> Tensor:
        """The weights of a cost that depends on everything drawn, of shape `(*axes, *batch_shape)`."""
        assert self.batch_shape is not None
        full = torch.Size((*self.axes, *self.batch_shape))
        return weights(self._variables, self._variables, full, self.samples, len(self.batch_shape)).expand(full)


def _broadcasts(shape: Sequence[int], full: Sequence[int]) -> bool:
    pairs = zip(reversed(shape), reversed(full), strict=False)
    return len(shape) <= len(full) and all(a in (1, b) for a, b in pairs)


def _received(cost: object) -> str:
    return f"cost of shape {tuple(cost.shape)}" if isinstance(cost, Tensor) else f"{type(cost).__name__}"
