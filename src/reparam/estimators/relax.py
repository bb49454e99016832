"""RELAX: a network of the relaxed noise as the control variate."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators.base import Cost, Draw, require_samples
from reparam.estimators.rebar import RelaxedDraw, hard_weights, require_positive, with_relaxed_points
from reparam.estimators.relaxation import relax
from reparam.estimators.training import Controlled, descend, require_module, trainable
from reparam.noise import NoiseSource


class SiteNetwork(nn.Module):
    """The sum over all coordinates of one small network: a control variate that fits any number of them.

    It starts at zero: an untrained one would add variance, the more the more coordinates there are.
    """

    def __init__(self, hidden: int = 10) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), last)

    def forward(self, z: Tensor) -> Tensor:
        """From `(..., P)` to `(...)`."""
        return self.layers(z.unsqueeze(-1)).sum((-2, -1))


@dataclasses.dataclass(frozen=True)
class RELAX(Controlled):
    r"""The score function, less a learned function of relaxed noise that is differentiated pathwise.

    .. math:: \nabla_\phi E[f(b)] = E\left[(f(b) - c(\tilde z)) \nabla \log p(b) + \nabla c(z)
              - \nabla c(\tilde z)\right], \qquad c(z) = f(\sigma_\lambda(z)) + r(z)

    with b a threshold of z, and :math:`\tilde z` drawn from the law of z given b. Without a temperature, the cost is a
    black box and c = r.

    Args:
        samples: the number of draws K. From two on, each is compared with the mean of the others,
            :math:`f(b_j) - c(\tilde z_j)`, so that no offset of the cost remains to be learned.
        temperature: of the relaxation :math:`\lambda`, positive; None for a cost that is not defined between the
            values, or has no gradient there.
        control: the module r: from the noise z of an event, flattened to `(..., P)`, to `(...)` or `(..., 1)`. P is the
            number of sites, times that of the categories if there are any. Unless given, a small network of each
            coordinate, summed, that starts at zero: at REBAR with strength one, or at the score function. Trained to
            reduce the variance of the gradient, in the backward pass of the loss, by a node that ignores the loss's own
            gradient. Give `parameters()` to an optimiser; `control.eval()` keeps it as it is.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli, Categorical and OneHotCategorical variables and `Independent`
        products of them (without Categorical where there is a temperature); unbiased, at every order, whatever r is.
        K evaluations of a cost that may be a black box and two of r for each; with a temperature 3K. One draw of a
        black box whose costs are far from zero has the variance of the bare score function until r has learned how far:
        take two, or a temperature. Not for programs, where a variable's own cost is not known.

    Errors:
        `InvalidArgument` for another family, `probs` on the boundary, infinite logits, a temperature with a
        Categorical, and a control that is no module or returns another shape. `UnsupportedTransform` where `control` is
        to be trained inside `torch.compile` or `torch.func`.

    References:
        Grathwohl, Choi, Wu, Roeder and Duvenaud, Backpropagation through the Void: Optimizing Control Variates for
        Black-Box Gradient Estimation, ICLR 2018.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> estimator, dist = rp.RELAX(temperature=0.5), torch.distributions.Bernoulli(logits=logits)
        >>> rp.expect(lambda b: (b - 0.45) ** 2, dist, estimator).sum().backward()
        >>> logits.grad.shape, all(p.grad is not None for p in estimator.parameters())
        (torch.Size([5]), True)
    """

    unbiased: ClassVar[bool] = True
    samples: int = 1
    temperature: float | None = None
    control: nn.Module = dataclasses.field(default_factory=SiteNetwork, kw_only=True)

    def __post_init__(self) -> None:
        require_samples("RELAX", self.samples, 1)
        require_module("RELAX", self.control)
        if self.temperature is not None:
            require_positive("RELAX", self.temperature)

    @property
    def weighs(self) -> bool:
        """False: the control variate needs the costs."""
        return False

    def evaluations(self, dist: Distribution) -> int:
        """One for each draw, and its two relaxations where there is a temperature."""
        return self.samples if self.temperature is None else 3 * self.samples

    def draw(self, dist: Distribution, noise: NoiseSource) -> RelaxedDraw:
        """The hard points, what their relaxations need, and the relaxed points where there is a temperature."""
        relaxed = relax(dist, noise, "RELAX", self.samples)
        weights = hard_weights(dist, relaxed)
        if self.temperature is None:
            return RelaxedDraw(relaxed.hard, weights, relaxed, weights)
        return with_relaxed_points(dist, relaxed, weights, torch.ones_like(weights), self.temperature)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The weighted sum and the control variate; the backward pass also trains the latter."""
        assert isinstance(draw, RelaxedDraw)
        weighed = (draw.weights * costs).sum(0)
        total = weighed + self._control(draw, {name: p.detach() for name, p in self.control.named_parameters()})
        logits, parameters = draw.relaxed.logits, trainable(self.control)
        if not parameters or not logits.requires_grad:
            return total
        # The gradient is the sum of what the control variate cannot change, and its own.
        (fixed,) = torch.autograd.grad(weighed.sum(), logits, retain_graph=True)
        learning = self._control(draw, dict(self.control.named_parameters()))
        (own,) = torch.autograd.grad(learning.sum(), logits, create_graph=True)
        return descend(total, (fixed.detach() + own).square().sum() / max(total.numel(), 1), parameters)

    def _control(self, draw: RelaxedDraw, parameters: dict[str, Tensor]) -> Tensor:
        """The mean of `r(z)` less the weighted `r(z given b)`, whose expectation is zero at every parameter."""
        batch = draw.box.dim()
        like = next(iter(parameters.values()), draw.box)

        def r(z: Tensor) -> Tensor:
            flat = z.unsqueeze(-1).flatten(batch).to(like.dtype)
            value = torch.func.functional_call(self.control, parameters, (flat,))
            if value.shape not in (draw.box.shape, (*draw.box.shape, 1)):
                raise InvalidArgument(
                    "the control variate must return one number for each draw",
                    received=f"shape {tuple(value.shape)} from noise of shape {tuple(flat.shape)}",
                    instead=f"a module that returns shape {tuple(draw.box.shape)}, or {(*draw.box.shape, 1)}",
                )
            return value.reshape(draw.box.shape).to(draw.box.dtype)

        return (r(draw.relaxed.free) / len(draw.box) - draw.box * r(draw.relaxed.given)).sum(0)
