"""The figure of a diagnosis: how each estimator's gradient is spread, and what its variance costs."""

from __future__ import annotations

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


def draw(diagnosis: Diagnosis, path: Path) -> None:
    """Draw both panels into a file."""
    rows = diagnosis.rows
    figure = Figure(figsize=(8.4, 1.5 + 0.5 * max(len(rows), 3)), layout="constrained")
    # A canvas of its own: pyplot would choose a backend and keep the figure for the whole process.
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _distributions(left, diagnosis)
    _costs(right, rows)
    figure.savefig(path, dpi=DPI)


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
    axes.set_yticks([len(values) - 1 - i + 0.3 for i in range(len(values))], [_name(row) for row in diagnosis.rows])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_xlim(*span)
    axes.set_ylim(-0.15, len(values))
    axes.set_xlabel(_what(diagnosis))
    axes.spines[["top", "right", "left"]].set_visible(False)


def _costs(axes: Axes, rows: tuple[Row, ...]) -> None:
    """Variance against evaluations, with lines of equal product."""
    positive = [row.variance for row in rows if row.variance > 0]
    top = max(positive, default=1.0)
    floor = min([v for v in positive if v > 1e-9 * top], default=top) / 10
    for row in rows:
        exact = row.variance < floor
        y = floor if exact else row.variance
        color = RED if row.biased else BLUE
        axes.plot(row.evaluations, y, "v" if exact else "o", color=color, markersize=6)
        label = f"{_name(row)} (exact)" if exact and not row.biased else _name(row)
        axes.annotate(label, (row.evaluations, y), (6, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    counts = [row.evaluations for row in rows]
    edges = (min(counts) / 1.5, max(counts) * 3.5)
    axes.set_xlim(*edges)
    axes.set_ylim(floor / 2, top * 4)
    axes.set_xticks(sorted(set(counts)), [str(n) for n in sorted(set(counts))])
    axes.minorticks_off()
    for row in rows:
        if row.variance >= floor and not row.biased:
            axes.plot(edges, [row.work / edge for edge in edges], color="0.85", linewidth=0.7, zorder=0)
    axes.set_xlabel("evaluations of the cost")
    axes.set_ylabel("variance of one estimate")
    axes.set_title("on a grey line, variance x evaluations is constant", fontsize=8, color=GREY, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


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
    return f"component of the gradient in {names} along the reference"


def _name(row: Row) -> str:
    return repr(row.estimator).replace("samples=", "")
