"""RODEO: leave-one-out with Stein control variates built from the gradient of the cost."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import Distribution

from reparam.checks import innermost
from reparam.errors import InvalidArgument, UnsupportedTransform
from reparam.estimators.base import Cost, Draw, require_samples
from reparam.estimators.score import LeaveOneOut
from reparam.estimators.slope import slope
from reparam.estimators.training import Controlled, descend, require_module, trainable
from reparam.kernels.implicit import watched
from reparam.noise import NoiseSource


class Extrapolation(nn.Module):
    r"""How far the cost at y is from the cost f at x, guessed from the slope at x: parts of what it says.

    .. math:: H(f, d, e) = d\, n_1(f, d, e) + e\, n_2(f, d, e), \qquad d = \nabla f(x)^\top (y - x), \quad
              e = \nabla f(x)^\top (y - E[x])

    It starts as the Taylor polynomial, n = (1, 0). The distance from the mean is there because a slope says less the
    farther from y it was taken. As factors of order one its parameters need not grow with the size of the costs.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        last = nn.Linear(hidden, 2)
        nn.init.zeros_(last.weight)
        last.bias = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.factors = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), last)

    def forward(self, cost: Tensor, change: Tensor, centred: Tensor) -> Tensor:
        """All three broadcast against each other."""
        seen = torch.broadcast_tensors(*(_compressed(x) for x in (cost, change, centred)))
        parts = self.factors(torch.stack(seen, -1))
        return change * parts[..., 0] + centred * parts[..., 1]


def _compressed(x: Tensor) -> Tensor:
    """Costs of any size, on a scale where a network sees them."""
    return x.sign() * x.abs().log1p()


@dataclasses.dataclass(frozen=True)
class CoinDraw(Draw):
    """Points and weights, and the logits of the coins."""

    logits: Tensor


@dataclasses.dataclass(frozen=True)
class RODEO(Controlled):
    r"""Leave-one-out, with discrete Stein operators applied to guesses of the cost from its gradient.

    .. math:: \hat g = \frac1K \sum_k \Big[f(x_k) - \frac{1}{K-1} \sum_{j \ne k} (f + A h_j)(x_j)\Big] s(x_k)
              + \Delta h_k(x_k) - h_k(x_k)\, s(x_k), \qquad
              h_k(y) = \frac{1}{K-1} \sum_{j \ne k} H\big(f(x_j), \nabla f(x_j)^\top (y - x_j),
              \nabla f(x_j)^\top (y - p)\big) - m_j

    with s the score, and :math:`m_j` what draw j guesses the mean of H to be.
    :math:`A h(x) = \sum_i (E_{x_i}[h] - h(x))`, and in coordinate i
    :math:`\Delta h = p_i (1 - p_i) (h|_{x_i = 1} - h|_{x_i = 0})`, the expectation over that coordinate of
    :math:`h\, s_i`: both resample one site given the others, and add nothing on average. With H the second of its
    arguments this is the double control variate.

    Args:
        samples: the number of draws K, at least two.
        control: the module H, of three tensors that broadcast: the cost at a draw, its first-order change from there,
            and from the mean. It starts as the linear guess and is trained to reduce the variance of the gradient, in
            the backward pass of the loss, by a node that ignores the loss's own gradient. Give `parameters()` to an
            optimiser; `control.eval()` keeps it as it is.

    Gradient:
        With respect to `logits` or `probs` of Bernoulli variables and `Independent` products of them; unbiased, at
        every order (from the second on it is that of `LeaveOneOut`); K evaluations of a cost that is differentiable in
        its points, and one more backward pass through them. Not for programs, where a variable's own cost is not known.

    Errors:
        `InvalidArgument` for fewer than two draws, another family, `probs` on the boundary, and a cost that carries no
        gradient back to its points. `UnsupportedTransform` inside `torch.compile` and `torch.func`.

    References:
        Shi, Zhou, Hwang, Titsias and Mackey, Gradient Estimation with Discrete Stein Operators, NeurIPS 2022. Titsias
        and Shi, Double Control Variates for Gradient Estimation in Discrete Latent Variable Models, AISTATS 2022.

    Example:
        >>> import torch, reparam as rp
        >>> logits = torch.zeros(5, requires_grad=True)
        >>> dist = torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1)
        >>> rp.expect(lambda b: 3 * b.sum(-1), dist, rp.RODEO(2)).backward()
        >>> logits.grad
        tensor([0.7500, 0.7500, 0.7500, 0.7500, 0.7500])
    """

    unbiased: ClassVar[bool] = True
    samples: int = 2
    control: nn.Module = dataclasses.field(default_factory=Extrapolation)

    def __post_init__(self) -> None:
        require_samples("RODEO", self.samples, 2)
        require_module("RODEO", self.control)

    @property
    def weighs(self) -> bool:
        """False: the control variate needs the costs."""
        return False

    def evaluations(self, dist: Distribution) -> int:
        """One for each draw."""
        return self.samples

    def draw(self, dist: Distribution, noise: NoiseSource) -> CoinDraw:
        """Independent draws, at which the gradient of the cost will be asked for."""
        base = innermost(dist)
        if type(base) is not td.Bernoulli:
            raise InvalidArgument(
                "rp.RODEO flips coins: Bernoulli, and Independent of it",
                received=f"{dist}",
                instead="rp.LeaveOneOut(4), rp.ARMS(4) for categories, or rp.MeasureValued() for counts",
            )
        plain = LeaveOneOut(self.samples).draw(dist, noise)
        if watched([base.logits]):
            _refuse_transforms()
            plain.points.requires_grad_()
        return CoinDraw(plain.points, plain.weights, base.logits)

    def combine(self, draw: Draw, costs: Tensor, f: Cost) -> Tensor:
        """Leave-one-out and a slope; the backward pass also trains the guess."""
        assert isinstance(draw, CoinDraw)
        total = (draw.weights * costs).sum(0)
        if not draw.points.requires_grad:
            return total
        (change,) = torch.autograd.grad(costs.sum(), draw.points, retain_graph=True)
        coins = _Coins(costs.detach(), draw, change)
        correction = coins.correction(self.control)
        added = slope(draw.logits, correction.detach().reshape(draw.logits.shape))
        total = total + added.unsqueeze(-1).flatten(total.dim()).sum(-1)
        parameters = trainable(self.control)
        if not parameters:
            return total
        objective = (coins.leave_one_out() + correction).square().sum() / max(total.numel(), 1)
        return descend(total, objective, parameters)


def _refuse_transforms() -> None:
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        raise UnsupportedTransform(
            "rp.RODEO asks for the gradient of the cost by a backward pass of its own",
            received="torch.compile or a torch.func transform",
            instead="rp.DisARM() or rp.LeaveOneOut(4) there",
        )


class _Coins:
    """What the control variates are made of, all without gradient, sites flattened to D.

    Attributes:
        f: costs, of shape `(K, *batch_shape)`.
        x: coins, of shape `(K, *batch_shape, D)`, and in the same shape:
        slope: the gradient of the cost;
        score: of each coin, in its logit;
        flip: the probability of its other side;
        turn: what turning it over adds to it.
        mean and variance: of each coin, of shape `(*batch_shape, D)`.
    """

    def __init__(self, costs: Tensor, draw: CoinDraw, change: Tensor) -> None:
        def flat(x: Tensor, batch: int) -> Tensor:
            return x.detach().unsqueeze(-1).flatten(batch)

        logits = flat(draw.logits, costs.dim() - 1)
        up, down = torch.sigmoid(logits), torch.sigmoid(-logits)
        self.f, self.x, self.slope = costs, flat(draw.points, costs.dim()), flat(change, costs.dim())
        self.score = torch.where(self.x > 0, down, -up)
        self.flip = torch.where(self.x > 0, down, up)
        self.turn = 1 - 2 * self.x
        self.mean, self.variance = up, up * down

    def leave_one_out(self) -> Tensor:
        """The gradient without control variates."""
        centred = (self.f - self.f.mean(0)) / (len(self.f) - 1)
        return (centred.unsqueeze(-1) * self.score).sum(0)

    def correction(self, control: nn.Module) -> Tensor:
        """What the control variates add to the gradient, of shape `(*batch_shape, D)`: zero on average."""
        here, gain = self._guesses(control)
        # Row k, column j, from here on: what draw j guesses of the cost near draw k.
        stein = (self.flip.unsqueeze(1) * gain).sum(-1)
        # A guess's mean, from what is known where it is made: the diagonal.
        mean = torch.diagonal(here + stein).movedim(-1, 0)
        guess = self._others(here - mean)
        gain, stein = self._others(gain), self._others(stein)
        baseline = (stein.sum(0) - stein) / (len(self.f) - 1)
        local = self.variance * self.turn * gain
        return (local - (guess + baseline).unsqueeze(-1) * self.score).mean(0)

    def _others(self, table: Tensor) -> Tensor:
        """The mean of each row without the diagonal: of what all the others guess."""
        count = len(self.f)
        share = (1 - torch.eye(count, dtype=table.dtype, device=table.device)) / (count - 1)
        return torch.einsum("kj,kj...->k...", share, table)

    def _guesses(self, control: nn.Module) -> tuple[Tensor, Tensor]:
        """How draw j guesses the cost at draw k, of shape `(K, K, *batch_shape)`, and what turning each coin adds."""
        change = ((self.x.unsqueeze(1) - self.x) * self.slope).sum(-1)
        centred = ((self.x.unsqueeze(1) - self.mean) * self.slope).sum(-1)
        turn = self.slope * self.turn.unsqueeze(1)
        like: Any = next(control.parameters(), self.f)

        def guess(*seen: Tensor) -> Tensor:
            return control(*(x.to(like.dtype) for x in seen)).to(self.f.dtype)

        here = guess(self.f, change, centred)
        turned = guess(self.f.unsqueeze(-1), change.unsqueeze(-1) + turn, centred.unsqueeze(-1) + turn)
        return here, turned - here.unsqueeze(-1)
