"""REBAR: the cost of a relaxed point as the control variate."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam.errors import InvalidArgument
from reparam.estimators.base import Cost, Draw, particle_weights
from reparam.estimators.relaxation import Relaxed, relax
from reparam.estimators.score import log_ratio
from reparam.estimators.training import Controlled, descend, require_module, trainable
from reparam.noise import NoiseSource


class Strength(nn.Module):
    """How much of a control variate is subtracted: one number, trained."""

    def __init__(self, initial: float = 1.0) -> None:
        super().__init__()
        self.eta = nn.Parameter(torch.tensor(float(initial)))

    def forward(self, like: Tensor) -> Tensor:
        """The number, in the dtype and on the device of a tensor."""
        return self.eta.to(like)


@dataclasses.dataclass(frozen=True)
class RelaxedDraw(Draw):
    """Points and weights, and what a control variate is trained with.

    Attributes:
        relaxed: the draws and their two relaxations.
        box: the weights of the hard points, of shape `(K, *batch_shape)`; for one, its magic box.
    """

    relaxed: Relaxed
    box: Tensor


@dataclasses.dataclass(frozen=True)
class REBAR(Controlled):
    r"""The score function, less the cost at a relaxed point, whose expectation is differentiated pathwise.

    .. math:: \nabla_\phi E[f(b)] = E\left[\left(f(b) - \eta f(\sigma_\lambda(\tilde z))\right) \nabla \log p(b)
              + \eta \nabla f(\sigma_\lambda(z)) - \eta \nabla f(\sigma_\lambda(\tilde z))\right]

    with b a threshold of z, and :math:`\tilde z` drawn from the law of z given b.

    Args:
        temperature: of the relaxation :math:`\lambda`, positive.
        control: the module that holds :math:`\eta`; trained to reduce the variance of the gradient, in the backward
            pass of the loss, by a node that ignores the loss's own gradient. Give `parameters()` to an optimiser;
            `control.eval()` keeps it as it is.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli and OneHotCategorical variables and `Independent` products of
        them; unbiased, at every order; three evaluations, of a cost that is differentiable and defined between the
        values. In a program the three points get an axis of their own, and the strength is not trained.

    Errors:
        `InvalidArgument` for another family, `probs` on the boundary and infinite logits. `UnsupportedTransform` where
        `control` is to be trained inside `torch.compile` or `torch.func`.

    References:
        Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein, REBAR: Low-Variance, Unbiased Gradient Estimates for Discrete
        Latent Variable Models, NeurIPS 2017.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> estimator, dist = rp.REBAR(temperature=0.5), torch.distributions.Bernoulli(logits=logits)
        >>> rp.expect(lambda b: (b - 0.45) ** 2, dist, estimator).sum().backward()
        >>> logits.grad.shape, next(estimator.parameters()).grad.shape
        (torch.Size([5]), torch.Size([]))
    """

    unbiased: ClassVar[bool] = True
    coupled: ClassVar[bool] = True
    temperature: float = 0.5
    control: nn.Module = dataclasses.field(default_factory=Strength, kw_only=True)

    def __post_init__(self) -> None:
        require_positive("REBAR", self.temperature)
        require_module("REBAR", self.control)

    def evaluations(self, dist: Distribution) -> int:
        """The value and its two relaxations."""
        return 3

    def draw(self, dist: Distribution, noise: NoiseSource) -> RelaxedDraw:
        """The hard point, the relaxed point, and the relaxed point given the hard one."""
        relaxed = relax(dist, noise, "REBAR")
        box = hard_weights(dist, relaxed)
        return with_relaxed_points(dist, relaxed, box, self.control(box).detach().expand(box.shape), self.temperature)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """The weighted sum; its backward pass also moves the strength towards less variance."""
        total = (draw.weights * costs).sum(0)
        assert isinstance(draw, RelaxedDraw)
        logits, parameters = draw.relaxed.logits, trainable(self.control)
        if not parameters or not logits.requires_grad:
            return total
        # The gradient is linear in the strength: where it stands, and what one more unit would add.
        (now,) = torch.autograd.grad(total.sum(), logits, retain_graph=True)
        (more,) = torch.autograd.grad((costs[1] - draw.box[0] * costs[2]).sum(), logits, retain_graph=True)
        eta = self.control(draw.box)
        gradient = now.detach() + (eta - eta.detach()) * more.detach()
        return descend(total, gradient.square().sum() / max(total.numel(), 1), parameters)


def hard_weights(dist: Distribution, relaxed: Relaxed) -> Tensor:
    """Those of the hard points: the magic box of one, leave-one-out's of several."""
    ratio, count = log_ratio(dist, relaxed.hard), len(relaxed.hard)
    if ratio is None:
        return relaxed.logits.new_full((count, *dist.batch_shape), 1 / count)
    return particle_weights(count, ratio, None, 0) if count == 1 else particle_weights(count, None, ratio, 0)


def with_relaxed_points(
    dist: Distribution, relaxed: Relaxed, box: Tensor, strength: Tensor, temperature: float
) -> RelaxedDraw:
    """The hard points, and `strength` times the cost at the relaxed ones as the control variate."""
    if relaxed.soften is None:
        raise InvalidArgument(
            "a relaxation evaluates the cost between the values, and between category numbers there is nothing",
            received=f"{dist}",
            instead="OneHotCategorical, or rp.RELAX(), whose control variate is a network of its own",
        )
    soft = [relaxed.soften(z, temperature) for z in (relaxed.free, relaxed.given)]
    even = strength / len(box)
    return RelaxedDraw(torch.cat([relaxed.hard, *soft]), torch.cat([box, even, -strength * box]), relaxed, box)


def require_positive(name: str, temperature: float) -> None:
    """Raise unless a temperature is one."""
    if not isinstance(temperature, (int, float)) or isinstance(temperature, bool) or not 0 < temperature < math.inf:
        raise InvalidArgument(
            "the temperature of a relaxation must be positive and finite",
            received=f"temperature = {temperature!r}",
            instead=f"rp.{name}(temperature=0.5)",
        )
