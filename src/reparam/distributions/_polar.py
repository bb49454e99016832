r"""The polar law of the von Mises-Fisher distribution: its quantile, and how the quantile moves with the concentration.

With :math:`w = \langle\mu, x\rangle`, the density of w is proportional to :math:`(1 - w^2)^{(d-3)/2} e^{\kappa w}`.
Everything here lives in :math:`s = \operatorname{logit} \tfrac{1+w}2`, so that :math:`w = \tanh(s/2)` and
:math:`\sqrt{1 - w^2} = \operatorname{sech}(s/2)` keep their digits at both poles. There the density is

.. math:: p(s) \propto \exp\bigl(a \log(1 - w^2) - \kappa (1 - w)\bigr), \qquad a = (d - 1) / 2,

unimodal, with mode :math:`\operatorname{asinh}(\kappa/a)` and a width near :math:`a^{-1/2}` whatever the concentration.
One composite Gauss-Legendre rule laid out around that mode therefore serves every dimension and concentration: its
total and its mean agree with the Bessel functions to 4e-13 for d from 2 to 1,000 and kappa from 0 to 1e5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from reparam.special._quadrature import gauss_legendre

# Built at import: the compiler would trace the cached function's arithmetic into every graph.
_NODES, _WEIGHTS = gauss_legendre(12)
_PANELS = 32
_TAIL = 39.0  # exp(-39) is below the spacing of float64 in (0, 1): no uniform number reaches further
_NEWTON_STEPS = 6


def polar_quantile(u: Tensor, concentration: Tensor, dimension: int) -> Tensor:
    r"""The quantile s of the polar law at `u`, differentiable in the concentration (see `polar_slope`).

    Args:
        u: probabilities in (0, 1), float64, of the shape of `concentration` behind any leading sample dimensions.
        concentration: kappa >= 0, float64.
        dimension: d >= 2.
    """
    if torch.compiler.is_compiling():
        return _midpoint(u, concentration, dimension)
    return _PolarQuantile.apply(u, concentration, dimension)  # type: ignore[return-value]  # apply is not annotated


def _midpoint(u: Tensor, concentration: Tensor, dimension: int) -> Tensor:
    # The compiler takes no custom function with a forward mode, and differentiates one without it once at most. One
    # midpoint step of ds = slope dkappa, of length zero, has the right first and second derivatives.
    fixed = concentration.detach()
    s, step = _quantile(u, fixed, dimension), concentration - fixed
    halfway = s + 0.5 * step * polar_slope(s, fixed, dimension)
    return s + step * polar_slope(halfway, fixed + 0.5 * step, dimension)


class _PolarQuantile(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, concentration: Tensor, dimension: int) -> Tensor:
        return _quantile(u, concentration, dimension)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        _, concentration, ctx.dimension = inputs
        ctx.save_for_backward(concentration, output)
        ctx.save_for_forward(concentration, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, None]:
        if not ctx.needs_input_grad[1]:
            return None, None, None
        concentration, s = ctx.saved_tensors
        pulled = grad * polar_slope(s, concentration, ctx.dimension)
        return None, pulled.sum_to_size(concentration.shape), None

    @staticmethod
    def jvp(ctx: Any, _: Any, moved: Tensor | None, __: Any) -> Tensor:
        concentration, s = ctx.saved_tensors
        return torch.zeros_like(s) if moved is None else moved * polar_slope(s, concentration, ctx.dimension)


class _PolarLaw(NamedTuple):
    """The unnormalised law of s for a batch of concentrations, on panels that are constants to every derivative."""

    half: float  # a = (d - 1) / 2
    concentration: Tensor
    mode: Tensor
    edges: Tensor  # (*batch, panels + 1)

    @classmethod
    def of(cls, concentration: Tensor, dimension: int) -> _PolarLaw:
        half = (dimension - 1) / 2
        kappa = concentration.detach()
        root = torch.hypot(kappa, torch.full_like(kappa, half))
        mode = torch.asinh(kappa / half)
        step = 2 * ((half + root) / (half * root)).sqrt()
        # Even steps near the mode, where the width is the scale, growing towards the exponential tails.
        reach = torch.asinh(4.5 + _TAIL / (half * step))
        grid = torch.linspace(-1, 1, _PANELS + 1, dtype=kappa.dtype, device=kappa.device)
        edges = mode.unsqueeze(-1) + step.unsqueeze(-1) * torch.sinh(reach.unsqueeze(-1) * grid)
        return cls(half, concentration, mode, edges)

    def kernel(self, s: Tensor, extra: int = 0) -> Tensor:
        """The density over its value at the mode, for `s` with `extra` dimensions behind the batch's."""
        mode, kappa = (_trailed(value, extra) for value in (self.mode, self.concentration))
        # Differences of like terms, each small where the mass is: numbers of the size of kappa are never subtracted.
        shape = s - mode + 2 * (softplus(-s) - softplus(-mode))
        return torch.exp(-self.half * shape - 2 * kappa * (torch.sigmoid(-s) - torch.sigmoid(-mode)))

    def panels(self) -> tuple[Tensor, Tensor]:
        """Nodes of every panel, and the kernel there times the weights: both (*batch, panels, nodes)."""
        nodes, weights = _rule(self.edges[..., :-1], self.edges[..., 1:])
        return nodes, weights * self.kernel(nodes, extra=2)


def _quantile(u: Tensor, concentration: Tensor, dimension: int) -> Tensor:
    law = _PolarLaw.of(concentration.detach(), dimension)
    mass = law.panels()[1].sum(-1)
    upto = pad(mass.cumsum(-1), (1, 0))
    target = u * upto[..., -1]
    panel = (upto[..., 1:-1] < target.unsqueeze(-1)).sum(-1)
    left, right, below = _pick(law.edges, panel), _pick(law.edges, panel + 1), _pick(upto, panel)
    fraction = ((target - below) / _pick(mass, panel)).clamp(0, 1)
    s = left + (right - left) * _exponential_quantile(fraction, law.kernel(right).log() - law.kernel(left).log())
    for _ in range(_NEWTON_STEPS):
        nodes, weights = _rule(left, s)
        excess = below + (weights * law.kernel(nodes, extra=1)).sum(-1) - target
        s = (s - excess / law.kernel(s).clamp_min(torch.finfo(s.dtype).tiny)).clamp(left, right)
    return s


def polar_slope(s: Tensor, concentration: Tensor, dimension: int) -> Tensor:
    r"""The derivative of s in the concentration at fixed probability.

    .. math:: \frac{ds}{d\kappa} = -\frac1{p(s)} \int_{-\infty}^s (w(t) - E w)\, p(t)\, dt
                                 = \frac1{p(s)} \int_s^\infty (w(t) - E w)\, p(t)\, dt

    taken over the side on which the integrand keeps its sign, so that nothing cancels.
    """
    law = _PolarLaw.of(concentration, dimension)
    nodes, mass = law.panels()
    # 1 - w and its mean, because w itself has no digits left near a concentrated mode.
    mean = (_complement(nodes) * mass).sum((-1, -2)) / mass.sum((-1, -2))
    score = ((_trailed(mean, 2) - _complement(nodes)) * mass).sum(-1)
    upto, beyond = pad(score.cumsum(-1), (1, 0)), pad(score.flip(-1).cumsum(-1), (1, 0)).flip(-1)
    panel = (law.edges[..., 1:-1] < s.detach().unsqueeze(-1)).sum(-1)
    lower = mean < _complement(s)
    edge = torch.where(lower, _pick(law.edges, panel), _pick(law.edges, panel + 1))
    outside = torch.where(lower, -_pick(upto, panel), _pick(beyond, panel + 1))
    nodes, weights = _rule(edge, s)
    inside = ((mean.unsqueeze(-1) - _complement(nodes)) * weights * law.kernel(nodes, extra=1)).sum(-1)
    return (outside - inside) / law.kernel(s)


def _complement(s: Tensor) -> Tensor:
    """1 - w."""
    return 2 * torch.sigmoid(-s)


def _rule(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    half = 0.5 * (high - low).unsqueeze(-1)
    return low.unsqueeze(-1) + half * (1 + _NODES.to(low)), half * _WEIGHTS.to(low)


def _pick(table: Tensor, index: Tensor) -> Tensor:
    return table.expand(*index.shape, -1).gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _trailed(value: Tensor, extra: int) -> Tensor:
    return value.reshape(value.shape + (1,) * extra)


def _exponential_quantile(fraction: Tensor, log_ratio: Tensor) -> Tensor:
    """The quantile on (0, 1) of a density proportional to exp(log_ratio t): where Newton's method starts."""
    rate = log_ratio.abs().clamp_min(1e-6)
    from_heavy_end = torch.where(log_ratio < 0, fraction, 1 - fraction)
    distance = (-torch.log1p(from_heavy_end * torch.expm1(-rate)) / rate).clamp(0, 1)
    return torch.where(log_ratio < 0, distance, 1 - distance)
