"""The pictures of a run: reconstructions beside their originals, samples, and the loss curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from reparam.recipes.files import replacing

DPI = 200
BETWEEN = 0.12  # the gap between two images, in image widths
COLORS = ("#4477aa", "#cc6633")
EDGE = 0.01  # white around the images, in figure widths
FEW = 12  # fewer points than this are marked on a curve


def save_pairs(path: Path, originals: Tensor, reconstructions: Tensor, *, columns: int = 12) -> None:
    """Two rows of images, or several pairs of rows: each original above its reconstruction.

    Args:
        path: the PNG file.
        originals: values in [0, 1], shape (images, height, width).
        reconstructions: as many, of the same shape.
        columns: images in a row.
    """
    pairs = [
        row
        for above, below in zip(originals.split(columns), reconstructions.split(columns), strict=True)
        for row in (above, below)
    ]
    _save_rows(path, pairs, labels=["data", "model"] * (len(pairs) // 2), group=2)


def save_grid(path: Path, images: Tensor, *, columns: int = 12) -> None:
    """Images in [0, 1], shape (images, height, width), in rows of `columns`."""
    _save_rows(path, images.split(columns), labels=[], group=1)


def _save_rows(path: Path, rows: Sequence[Tensor], labels: Sequence[str], group: int) -> None:
    height, width = rows[0].shape[1:]
    gap = max(1, round(BETWEEN * width))
    columns = max(len(row) for row in rows)
    tops = [i * (height + gap) + (i // group) * gap * (group > 1) for i in range(len(rows))]
    canvas = torch.full((tops[-1] + height, columns * (width + gap) - gap), torch.nan)
    for row, top in zip(rows, tops, strict=True):
        for column, image in enumerate(row.cpu()):
            left = column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    figure = Figure(figsize=(6.0, 6.0 * canvas.shape[0] / canvas.shape[1]))
    margin = 0.07 if labels else 0.0
    axes = figure.add_axes((margin + EDGE, EDGE, 1.0 - margin - 2 * EDGE, 1.0 - 2 * EDGE))
    axes.imshow(canvas.numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for label, top in zip(labels, tops, strict=False):
        axes.text(-gap, top + height / 2, label, ha="right", va="center", fontsize=8)
    save_figure(path, figure)


def save_curve(
    path: Path,
    curves: Mapping[str, Sequence[float]],
    ylabel: str,
    *,
    xlabel: str = "epoch",
    places: Sequence[float] | None = None,
) -> None:
    """Figures over the epochs, or over `places`, one line each, with the value each ends at."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, values) in zip(COLORS, curves.items(), strict=False):
        marker = "o" if len(values) < FEW else None
        axes.plot(
            range(1, len(values) + 1) if places is None else places,
            values,
            color=color,
            marker=marker,
            markersize=3,
            linewidth=1.4,
            label=f"{name}: {values[-1]:.2f}",
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.legend(frameon=False)
    save_figure(path, figure)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG, whole or not at all."""
    # A canvas of its own: pyplot would choose a backend and keep the figure for the whole process.
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
