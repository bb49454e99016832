"""The figure of a diagnosis: how each estimator's gradient is spread, and what its variance costs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reparam.diagnosis.report import Diagnosis, Row

DPI = 200
BLUE, RED, GREY = "#4477aa", "#cc3311", "0.45"
_BINS = 60
_LINE = 9  # the height of a label, in points


def draw(diagnosis: Diagnosis, path: Path) -> None:
    """Draw both panels into a file."""
    rows = diagnosis.rows
    figure = Figure(figsize=(8.4, _height(len(rows))), layout="constrained")
    # A canvas of its own: pyplot would choose a backend and keep the figure for the whole process.
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _distributions(left, diagnosis)
    _costs(right, rows)
    figure.savefig(path, dpi=DPI)


def _height(rows: int) -> float:
    """Of the figure, in inches."""
    return 1.5 + 0.5 * max(rows, 3)


def _distributions(axes: Axes, diagnosis: Diagnosis) -> None:
    """A ridge for each estimator: the middle 98 % of its estimates, the mean marked."""
    values = [_projected(row.estimates, diagnosis) for row in diagnosis.rows]
    # Heavy tails would leave everyone else a line.
    low = min(torch.quantile(v, 0.01).item() for v in values)
    high = max(torch.quantile(v, 0.99).item() for v in values)
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    span = (low - margin, high + margin)
    for place, (row, value) in enumerate(zip(diagnosis.rows, values, strict=True)):
        color, base = RED if row.biased else BLUE, len(values) - 1 - place
        counts = torch.histc(value, _BINS, *span)
        heights = 0.8 * counts / counts.max().clamp(min=1)
        axes.stairs(heights + base, torch.linspace(*span, _BINS + 1), baseline=base, fill=True, color=color, alpha=0.45)
        axes.axhline(base, color="0.85", linewidth=0.6, zorder=0)
        axes.plot([value.mean()], [base], marker="|", markersize=9, markeredgewidth=1.6, color=color, clip_on=False)
    if diagnosis.reference is not None:
        exact = _projected(diagnosis.reference.gradient.unsqueeze(0), diagnosis).item()
        axes.axvline(exact, color="black", linewidth=1.0, label=f"reference, {exact:.4g}")
        axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    repeats = max(len(value) for value in values)
    axes.set_title(f"{repeats:,} estimates, their mean marked", fontsize=8, color=GREY, loc="left")
    axes.set_yticks([len(values) - 1 - i + 0.3 for i in range(len(values))], [row.name for row in diagnosis.rows])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_xlim(*span)
    axes.set_ylim(-0.15, len(values))
    axes.set_xlabel(_what(diagnosis))
    axes.spines[["top", "right", "left"]].set_visible(False)


def _costs(axes: Axes, rows: tuple[Row, ...]) -> None:
    """Variance against evaluations, with lines of equal product; what has no variance stands on the floor."""
    positive = [row.variance for row in rows if row.variance > 0]
    top = max(positive, default=1.0)
    floor = min([row.variance for row in rows if not row.exact], default=top) / 10
    counts = sorted({row.evaluations for row in rows})
    edges = (counts[0] / 1.5, counts[-1] * 6)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(*edges)
    axes.set_ylim(floor / 2, top * 4)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    for row in rows:
        y = max(row.variance, floor)
        axes.plot(row.evaluations, y, "v" if row.exact else "o", color=RED if row.biased else BLUE, markersize=6)
        if not (row.exact or row.biased):
            axes.plot(edges, [row.work / edge for edge in edges], color="0.85", linewidth=0.7, zorder=0)
    _label(axes, [(row.evaluations, max(row.variance, floor), _label_of(row)) for row in rows])
    axes.set_xlabel("evaluations of the cost")
    axes.set_ylabel("variance of one estimate")
    axes.set_title("on a grey line, variance x evaluations is constant", fontsize=8, color=GREY, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _label(axes: Axes, labels: list[tuple[int, float, str]]) -> None:
    """A name beside each point, moved up where the one below it in the same column stands too close."""
    low, high = axes.get_ylim()
    points = 0.8 * _height(len(labels)) * 72
    height: dict[int, float] = {}
    for x, y, name in sorted(labels, key=lambda label: label[1]):
        at = points * math.log(y / low) / math.log(high / low)
        placed = max(at, height.get(x, -math.inf) + _LINE)
        height[x] = placed
        axes.annotate(name, (x, y), (7, placed - at - 3), textcoords="offset points", fontsize=7)


def _label_of(row: Row) -> str:
    if row.biased:
        return f"{row.name}, biased"
    return f"{row.name}, exact" if row.exact else row.name


def _projected(estimates: Tensor, diagnosis: Diagnosis) -> Tensor:
    """A number for each estimate: itself, or its component along the reference or mean gradient."""
    estimates = estimates.double().cpu()
    if estimates.shape[1] == 1:
        return estimates[:, 0]
    reference = diagnosis.reference
    along = diagnosis.rows[0].gradient.flatten() if reference is None else reference.gradient
    along = along.double().cpu()
    return estimates @ (along / along.norm().clamp(min=1e-300))


def _what(diagnosis: Diagnosis) -> str:
    names = ", ".join(diagnosis.parameters)
    if diagnosis.rows[0].estimates.shape[1] == 1:
        return f"estimate of the gradient in {names}"
    return f"gradient in {names}, along the reference"
