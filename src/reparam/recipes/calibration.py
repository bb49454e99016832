"""How good a probabilistic prediction is, and whether what it says of its own certainty is true.

A prediction is a distribution of batch shape (draws, examples): under each of several draws of the weights one, whose
mean over the draws, as a density, is what is judged.

References:
    Guo, Pleiss, Sun, Weinberger (2017), On Calibration of Modern Neural Networks, ICML (the expected error).
    Kuleshov, Fenner, Ermon (2018), Accurate Uncertainties for Deep Learning Using Calibrated Regression, ICML.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Categorical, Distribution

from reparam.recipes import pictures

BINS = 10


def quality(predictions: Distribution, y: Tensor) -> dict[str, float]:
    """What is said of a prediction p(y | x) = mean over the draws of p(y | x, w).

    `test_nll` in nats; for classes `test_accuracy`, for values `test_rmse`; `test_calibration_error`, the mean distance
    of the calibration curve from the diagonal, weighted for classes by the examples in each bin (the ECE).
    """
    log_prob = predictions.log_prob(y)
    nll = (math.log(len(log_prob)) - log_prob.logsumexp(0)).mean().item()
    said, seen, weight = calibration(predictions, y)
    figures = {"test_nll": nll, "test_calibration_error": (weight * (said - seen).abs()).sum().item()}
    if isinstance(predictions, Categorical):
        right = predictions.probs.mean(0).argmax(-1) == y
        return {**figures, "test_accuracy": right.float().mean().item()}
    return {**figures, "test_rmse": (predictions.mean.mean(0) - y).square().mean().sqrt().item()}


def calibration(predictions: Distribution, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What was said, what was seen, and the weight of each point of the calibration curve.

    For classes: in ten bins of confidence, the mean confidence and the accuracy, weighted by their share of the
    examples. For values: the probability of a central interval, and how many values fall into it.
    """
    if not isinstance(predictions, Categorical):
        # The probability integral transform of a calibrated prediction is uniform.
        central = (2 * predictions.cdf(y).mean(0) - 1).abs()
        said = torch.linspace(0.05, 0.95, 19, device=y.device)
        seen = (central <= said.unsqueeze(-1)).float().mean(-1)
        return said, seen, torch.full_like(said, 1 / len(said))
    confidence, guess = predictions.probs.mean(0).max(-1)
    bins = (confidence * BINS).long().clamp(max=BINS - 1)
    count = torch.bincount(bins, minlength=BINS)
    said = torch.bincount(bins, confidence, minlength=BINS) / count
    seen = torch.bincount(bins, (guess == y).float(), minlength=BINS) / count
    held = count > 0
    return said[held], seen[held], (count / len(y))[held]


def draw_calibration(predictions: dict[str, Distribution], y: Tensor, path: Path) -> None:
    """What was said against what was seen; on the diagonal a prediction is calibrated."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for color, (name, prediction) in zip(pictures.COLORS, predictions.items(), strict=True):
        said, seen, weight = (values.cpu() for values in calibration(prediction, y))
        error = quality(prediction, y)["test_calibration_error"]
        axes.plot(said, seen, color=color, linewidth=1.2, label=f"{name}: error {error:.3f}")
        axes.scatter(said, seen, s=8 + 120 * weight, color=color, linewidths=0)
    classes = all(isinstance(prediction, Categorical) for prediction in predictions.values())
    axes.set_xlabel("confidence" if classes else "probability of a central interval")
    axes.set_ylabel("accuracy" if classes else "test points inside")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    pictures.save_figure(path, figure)
