"""Pictures of an episode: a film of it, and one page with some of its frames above what was done and earned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
    """The frames as a GIF that repeats."""
    images = [_small(frame) for frame in frames]
    with replacing(path) as temporary:
        images[0].save(temporary, format="GIF", save_all=True, append_images=images[1:], duration=60, loop=0)


def _small(frame: np.ndarray) -> Image.Image:
    image = Image.fromarray(frame)
    image.thumbnail((SIDE, SIDE))
    return image


def save_page(path: Path, recording: Recording) -> None:
    """Frames at equal distances in time, above the actions and the rewards."""
    figure = Figure(figsize=(6.4, 3.6))
    top = 0.70 if recording.frames else 0.97
    places = np.linspace(0, len(recording.frames) - 1, min(SHOWN, len(recording.frames))).round().astype(int)
    for column, place in enumerate(places):
        axes = figure.add_axes((0.01 + 0.98 * column / len(places), 0.74, 0.96 / len(places), 0.20))
        axes.imshow(_small(recording.frames[place]))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
        axes.set_title(f"step {2 * place}", fontsize=7)
    lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"left": 0.12, "right": 0.98, "bottom": 0.13, "top": top})
    for axes, color, name in zip(lower, COLORS, ("actions", "rewards"), strict=True):
        values = getattr(recording, name).reshape(len(recording.rewards), -1)
        # Steps from choice to choice would be one block of colour.
        drawn = {"drawstyle": "steps-mid"} if values.is_floating_point() else {"linestyle": "", "marker": "|"}
        axes.plot(values, color=color, linewidth=1.0, **drawn)
        axes.set_ylabel(name.removesuffix("s"))
        axes.spines[["top", "right"]].set_visible(False)
    lower[-1].set_xlabel("step")
    save_figure(path, figure)


def save_returns(folder: RunFolder, place: str, xlabel: str) -> None:
    """Write `returns.png`: the returns in training and of the agent at its best, over the figure named `place`."""
    history = folder.history()
    names = [name for name in ("train_return", "eval_return") if all(name in row for row in history)]
    curves = {name.replace("_", " "): [row[name] for row in history] for name in names}
    save_curve(folder.path / "returns.png", curves, "return", xlabel=xlabel, places=[row[place] for row in history])
