"""Pictures of an episode: a film of it, and one page with some of its frames above what was done and earned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from reparam.recipes.environments import Recording
from reparam.recipes.files import replacing
from reparam.recipes.pictures import COLORS, save_curve, save_figure
from reparam.recipes.runs import RunFolder

SIDE = 160  # pixels, of a frame of the film
SHOWN = 8  # frames on the page


def save_episode(folder: Path, recording: Recording) -> str:
    """Write `episode.png` and, where there are frames, `episode.gif`; returns what there is to see."""
    save_page(folder / "episode.png", recording)
    if recording.unseen is not None:
        return f"episode.png, without frames: {recording.unseen}"
    save_film(folder / "episode.gif", recording.frames)
    return "episode.gif, episode.png"


def save_film(path: Path, frames: list[np.ndarray]) -> None:
    """Every other frame, as a GIF that repeats."""
    images = [Image.fromarray(frame) for frame in frames[::2]]
    for image in images:
        image.thumbnail((SIDE, SIDE))
    with replacing(path) as temporary:
        images[0].save(temporary, format="GIF", save_all=True, append_images=images[1:], duration=60, loop=0)


def save_page(path: Path, recording: Recording) -> None:
    """Frames at equal distances in time, above the actions and the rewards."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 2.4)) if recording.frames else (None, figure)
    if upper is not None:
        places = np.linspace(0, len(recording.frames) - 1, min(SHOWN, len(recording.frames))).round().astype(int)
        for axes, place in zip(np.atleast_1d(upper.subplots(1, len(places))), places, strict=True):
            axes.imshow(recording.frames[place])
            axes.set_axis_off()
            axes.set_title(f"step {place}", fontsize=7)
    for axes, color, name in zip(lower.subplots(2, 1, sharex=True), COLORS, ("actions", "rewards"), strict=True):
        values = getattr(recording, name).reshape(len(recording.rewards), -1)
        axes.step(torch.arange(len(values)), values, color=color, linewidth=1.0, where="mid")
        axes.set_ylabel(name.removesuffix("s"))
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("step")
    save_figure(path, figure)


def save_returns(folder: RunFolder, place: str, xlabel: str) -> None:
    """Write `returns.png`: the returns in training and of the agent at its best, over the figure named `place`."""
    history = folder.history()
    names = [name for name in ("train_return", "eval_return") if all(name in row for row in history)]
    curves = {name.replace("_", " "): [row[name] for row in history] for name in names}
    save_curve(folder.path / "returns.png", curves, "return", xlabel=xlabel, places=[row[place] for row in history])
