"""Two pictures of the Gamma derivative for the README, from the results of `gamma_accuracy` and `derivative_speed`.

python benchmarks/pictures.py        # writes docs/images/gamma_accuracy.png and docs/images/gamma_speed.png
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

HERE = pathlib.Path(__file__).resolve().parent
IMAGES = HERE.parent / "docs" / "images"
OURS, TORCH = "#1b7f5c", "#c2553d"
STYLES = {"float64": "-", "float32": "--"}


def accuracy(results: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for dtype, style in STYLES.items():
        for who, colour in (("ours", OURS), ("torch", TORCH)):
            name = "reparam" if who == "ours" else "torch"
            axes.loglog(
                results[dtype]["concentration"], results[dtype][who], style, color=colour, label=f"{name}, {dtype}"
            )
    axes.set(
        xlabel="concentration a",
        ylabel="worst relative error",
        title="dx/da of x ~ Gamma(a, 1), between the quantiles at 1e-12 and 1 - 1e-12",
        ylim=(1e-16, 1),
    )
    axes.legend(loc=(0.68, 0.16))
    figure.savefig(IMAGES / "gamma_accuracy.png", dpi=150)


def speed(results: dict[str, Any]) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    for axes, dtype in zip(panels, STYLES, strict=True):
        rows = results[f"gamma {dtype}"]
        places = range(len(rows))
        for shift, who, colour in ((-0.2, "ours", OURS), (0.2, "peer", TORCH)):
            nanoseconds = [row[who] / results["elements"] * 1e9 for row in rows.values()]
            label = "reparam" if who == "ours" else "torch"
            axes.barh([place + shift for place in places], nanoseconds, 0.4, color=colour, label=label)
        axes.set(yticks=places, yticklabels=rows, xlabel="nanoseconds an element, one thread", title=dtype)
    panels[0].invert_yaxis()
    panels[0].set_ylabel("concentration")
    panels[1].legend(loc="lower right")
    figure.savefig(IMAGES / "gamma_speed.png", dpi=150)


def main() -> None:
    mpl.use("Agg")
    IMAGES.mkdir(parents=True, exist_ok=True)
    accuracy(json.loads((HERE / "results" / "gamma_accuracy.json").read_text()))
    speed(json.loads((HERE / "results" / "derivative_speed.json").read_text()))


if __name__ == "__main__":
    main()
