"""Probes of a cost: what estimators take for granted about it, tried on a few points."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.diagnosis.measure import Cost
from reparam.noise import TorchStream
from reparam.pathwise.sampling import sample

_ELEMENTS, _OTHERS = 8, 16
_CANDIDATES, _HALVINGS = 64, 10
_LOST = 0.25


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that the user should know.

    Attributes:
        kind: "cross-talk", "random-cost", "discontinuous", "lost-gradient", "biased" or "excluded".
        message: what was seen, and what to do about it.
    """

    kind: str
    message: str


_LOST_GRADIENT = Finding(
    "lost-gradient",
    "the gradient of the cost does not explain how the cost changes between draws (a detach, a rounding, a custom "
    "backward?), so estimators that differentiate it are biased here; rp.LeaveOneOut is not",
)


def probe(f: Cost, dist: Distribution) -> list[Finding]:
    """Whether each cost depends on its own draw alone, and on nothing else."""
    with torch.no_grad():
        x = sample(dist, torch.Size((1 + _OTHERS,)), TorchStream())
        if _differ(f(x), f(x)):
            return [
                Finding(
                    "random-cost",
                    "the cost of the same points differs from call to call: its own noise is part of every variance "
                    "here, and cross-talk cannot be probed",
                )
            ]
        return [*_draws_apart(f, x), *_elements_apart(f, dist, x)]


def _draws_apart(f: Cost, x: Tensor) -> list[Finding]:
    if not _differ(f(x)[:1], f(x[:1])):
        return []
    return [
        Finding(
            "cross-talk",
            "the cost of a draw changes with the other draws of the call (normalised over them?), so no weighted draw "
            "estimates its expectation: compute each cost from its own draw",
        )
    ]


def _elements_apart(f: Cost, dist: Distribution, x: Tensor) -> list[Finding]:
    """Replace the draw of one batch element at a time, all replacements in one call."""
    n, event = dist.batch_shape.numel(), dist.event_shape
    if n < 2:
        return []
    flat = x.reshape(x.shape[0], n, *event)
    elements = torch.linspace(0, n - 1, min(n, _ELEMENTS)).long().tolist()
    replaced = flat[:1].repeat(len(elements), *[1] * (flat.dim() - 1))
    for row, element in zip(replaced, elements, strict=True):
        others = flat[1:, element]
        changed = (others != flat[0, element]).flatten(1).any(1) if event else others != flat[0, element]
        row[element] = others[changed.to(torch.int8).argmax()]
    costs = f(torch.cat([flat[:1], replaced]).reshape(1 + len(elements), *x.shape[1:])).reshape(-1, n)
    moved = (costs[1:] - costs[:1]).abs() > _tolerance(costs)
    moved[torch.arange(len(elements)), elements] = False
    if not moved.any():
        return []
    row, victim = moved.nonzero()[0].tolist()
    return [
        Finding(
            "cross-talk",
            f"the cost of batch element {victim} changes with the draw of element {elements[row]} (batch "
            "normalisation, attention?), but expect credits each element with its own cost: wrap the batch, "
            "Independent(dist, n), and sum the cost over it",
        )
    ]


def probe_path(f: Cost, dist: Distribution, cells: int = 256) -> list[Finding]:
    r"""Whether the gradient of the cost explains how the cost changes between draws, as pathwise estimators assume.

    Between two draws :math:`f(b) - f(a) = \int \nabla f \cdot dx` wherever f is continuous. The cell of the segment
    that violates this most is halved again and again: what remains at the end is a jump.
    """
    with torch.no_grad():
        x = sample(dist, torch.Size((_CANDIDATES,)), TorchStream())
    if not x.is_floating_point():
        return []
    a, b = _far_apart(x, len(dist.event_shape))
    t = torch.linspace(0, 1, cells + 1, dtype=x.dtype, device=x.device)
    points = _between(a, b, t.view(-1, *[1] * len(dist.batch_shape)))
    if dist.support is None or not bool(dist.support.check(points).all()):
        return []
    costs, slopes = _along(f, points, b - a, len(dist.event_shape))
    change = costs.diff(dim=0)
    missed = change - (slopes[1:] + slopes[:-1]) / 2 / cells
    worst = missed.abs().argmax(0, keepdim=True)
    path = _halved(f, dist, a, b, (worst / cells).to(x.dtype), 1.0 / cells)
    jump = _jump(dist, costs, missed.gather(0, worst), path[-1], _between(a, b, path[-1].at))
    half_way = path[_HALVINGS // 2]
    widespread = (missed.abs() > _LOST * change.abs()).float().mean(0, keepdim=True) > 0.5
    lost = widespread & (half_way.missed.abs() > _LOST * half_way.change.abs())
    lost &= half_way.change.abs() > _tolerance(costs) / 10
    return [jump] if jump else [_LOST_GRADIENT] * bool(lost.any())


class _Cell(NamedTuple):
    """A cell of the segment, for each batch element: where it begins, and how the cost changes over it."""

    at: Tensor
    change: Tensor
    missed: Tensor


def _halved(f: Cost, dist: Distribution, a: Tensor, b: Tensor, lo: Tensor, width: float) -> list[_Cell]:
    """Ever smaller cells: of each the half whose change the gradient explains least."""
    path: list[_Cell] = []
    for _ in range(_HALVINGS):
        width /= 2
        t = torch.cat([lo, lo + width, lo + 2 * width])
        costs, slopes = _along(f, _between(a, b, t), b - a, len(dist.event_shape))
        change = costs.diff(dim=0)
        missed = change - (slopes[1:] + slopes[:-1]) / 2 * width
        upper = missed[1:].abs() > missed[:1].abs()
        lo = torch.where(upper, lo + width, lo)
        path.append(_Cell(lo, torch.where(upper, change[1:], change[:1]), torch.where(upper, missed[1:], missed[:1])))
    return path


def _jump(dist: Distribution, costs: Tensor, first: Tensor, cell: _Cell, where: Tensor) -> Finding | None:
    span, last = costs.amax(0, keepdim=True) - costs.amin(0, keepdim=True), cell.missed
    jumps = (last.abs() > 0.5 * first.abs()) & (last.abs() > 1e-3 * span) & (last.abs() > _tolerance(costs))
    if not bool(jumps.any()):
        return None
    at = "" if dist.event_shape else f" at x = {where[jumps][0].item():.4g}"
    return Finding(
        "discontinuous",
        f"the cost jumps by {last[jumps][0].item():.3g}{at}: no pathwise gradient sees a jump, so estimators that "
        "differentiate the cost are biased here; rp.LeaveOneOut, and rp.MeasureValued where it serves, are not",
    )


def _far_apart(x: Tensor, event: int) -> tuple[Tensor, Tensor]:
    """For each batch element the two of its draws whose sums over the event differ most, of shape `(1, ...)`."""
    total = x.sum(tuple(range(x.dim() - event, x.dim()))) if event else x

    def pick(index: Tensor) -> Tensor:
        return x.gather(0, index.view(index.shape + (1,) * event).expand(1, *x.shape[1:]))

    return pick(total.argmin(0, keepdim=True)), pick(total.argmax(0, keepdim=True))


def _between(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    t = t.view(t.shape + (1,) * (a.dim() - t.dim()))
    return a + t * (b - a)


def _along(f: Cost, points: Tensor, direction: Tensor, event: int) -> tuple[Tensor, Tensor]:
    """Costs, and their derivatives along a direction."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        costs = f(points)
        (slope,) = torch.autograd.grad(costs.sum(), points) if costs.requires_grad else (torch.zeros_like(points),)
    slope = slope * direction
    return costs.detach(), slope.sum(tuple(range(slope.dim() - event, slope.dim()))) if event else slope


def _differ(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() > _tolerance(a)).any())


def _tolerance(costs: Tensor) -> Tensor:
    dtype = costs.dtype if costs.is_floating_point() else torch.get_default_dtype()
    return 1e3 * torch.finfo(dtype).eps * costs.abs().max()
