"""RELAX: a network of the relaxed noise as the control variate."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.estimators.base import Cost, Draw
from reparam.estimators.rebar import RelaxedDraw, hard_box
from reparam.estimators.relaxation import relax
from reparam.estimators.training import Controlled, descend, trainable
from reparam.noise import NoiseSource


class SiteNetwork(nn.Module):
    """The sum over all coordinates of one small network: a control variate that fits any number of them."""

    def __init__(self, hidden: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, z: Tensor) -> Tensor:
        """From `(..., P)` to `(...)`."""
        return self.layers(z.unsqueeze(-1)).sum((-2, -1))


@dataclasses.dataclass(frozen=True)
class RELAX(Controlled):
    r"""The score function, less a learned function of relaxed noise that is differentiated pathwise.

    .. math:: \nabla_\phi E[f(b)] = E\left[(f(b) - c(\tilde z)) \nabla \log p(b) + \nabla c(z)
              - \nabla c(\tilde z)\right]

    with b a threshold of z, and :math:`\tilde z` drawn from the law of z given b.

    Args:
        control: the module c: from the noise z of an event, flattened to `(..., P)`, to `(...)` or `(..., 1)`. P is the
            number of sites, times that of the categories if there are any. Unless given, a small network of each
            coordinate, summed. Trained to reduce the variance of the gradient, in the backward pass of the loss, by a
            node that ignores the loss's own gradient. Give `parameters()` to an optimiser; `control.eval()` keeps it as
            it is.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli, Categorical and OneHotCategorical variables and `Independent`
        products of them; unbiased, at every order, whatever c is; one evaluation of a cost that may be a black box, and
        two of c. Not for programs, where a variable's own cost is not known.

    Errors:
        `InvalidArgument` for another family, `probs` on the boundary and infinite logits. `UnsupportedTransform` where
        `control` is to be trained inside `torch.compile` or `torch.func`.

    References:
        Grathwohl, Choi, Wu, Roeder and Duvenaud, Backpropagation through the Void: Optimizing Control Variates for
        Black-Box Gradient Estimation, ICLR 2018.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> estimator, dist = rp.RELAX(), torch.distributions.Bernoulli(logits=logits)
        >>> rp.expect(lambda b: (b - 0.45) ** 2, dist, estimator).sum().backward()
        >>> logits.grad.shape, all(p.grad is not None for p in estimator.parameters())
        (torch.Size([5]), True)
    """

    unbiased: ClassVar[bool] = True
    control: nn.Module = dataclasses.field(default_factory=SiteNetwork)

    @property
    def weighs(self) -> bool:
        """False: the control variate needs the costs."""
        return False

    def evaluations(self, dist: Distribution) -> int:
        """One: the control variate does not evaluate the cost."""
        return 1

    def draw(self, dist: Distribution, noise: NoiseSource) -> RelaxedDraw:
        """The hard point, and what its relaxations need."""
        relaxed = relax(dist, noise, "RELAX")
        box = hard_box(dist, relaxed)
        return RelaxedDraw(relaxed.hard, box, relaxed, box)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The score function and its control variate; the backward pass also trains the latter."""
        assert isinstance(draw, RelaxedDraw)
        frozen = {name: p.detach() for name, p in self.control.named_parameters()}
        total = (draw.box * costs + self._control(draw, frozen)).sum(0)
        logits, parameters = draw.relaxed.logits, trainable(self.control)
        if not parameters or not logits.requires_grad:
            return total
        learning = draw.box * costs.detach() + self._control(draw, dict(self.control.named_parameters()))
        (gradient,) = torch.autograd.grad(learning.sum(), logits, create_graph=True)
        return descend(total, gradient.square().sum() / max(total.numel(), 1), parameters)

    def _control(self, draw: RelaxedDraw, parameters: dict[str, Tensor]) -> Tensor:
        """`c(z) - box c(z given b)`, whose expectation is zero at every parameter."""
        batch = draw.box.dim()
        like = next(iter(parameters.values()), draw.box)

        def c(z: Tensor) -> Tensor:
            flat = z.unsqueeze(-1).flatten(batch).to(like.dtype)
            value = torch.func.functional_call(self.control, parameters, (flat,))
            return value.reshape(draw.box.shape).to(draw.box.dtype)

        return c(draw.relaxed.free) - draw.box * c(draw.relaxed.given)
