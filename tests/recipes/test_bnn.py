"""The Bayesian network: three ways to spend the randomness that agree in law, calibration, and what a run leaves."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch.distributions import Categorical, Normal

from reparam import testing
from reparam.errors import DataError, InvalidArgument
from reparam.noise import Philox
from reparam.recipes.bnn import Config, Linear, Network, Noise, predict, train
from reparam.recipes.calibration import calibration, quality
from reparam.recipes.examples import examples

QUIET = Console(quiet=True)
DRAWS = 4000
WAYS = ["weights", "local", "flipout"]


def noise(step: int = 0, rows: int = 0) -> Noise:
    """Noise shared by all rows, and of each of `DRAWS` draws of them its own."""
    own = Philox(1, step, torch.arange(DRAWS * rows).view(DRAWS, rows)) if rows else Philox(1, step)
    return Noise(Philox(0, step), own)


@pytest.fixture
def layer() -> Linear:
    layer = Linear(3, 2, prior_scale=1.0, initial_scale=0.5, place=0).double()
    with torch.no_grad():
        layer.log_scale.add_(0.3 * torch.randn_like(layer.log_scale))
    return layer


@pytest.mark.parametrize("way", WAYS)
def test_every_way_has_the_mean_and_the_variance_of_the_law(layer, way):
    x = torch.randn(5, 3, dtype=torch.float64)
    y = layer(x.expand(DRAWS, 5, 3), way, noise(rows=5)).detach()
    ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    mean, variance = ones @ layer.loc, ones.square() @ (2 * layer.log_scale).exp()
    assert testing.z_test(y, mean).passed
    assert testing.z_test((y - mean).square(), variance).passed


@pytest.mark.parametrize(("way", "correlated"), [("weights", True), ("local", False), ("flipout", False)])
def test_examples_share_a_draw_of_the_weights_or_do_not(layer, way, correlated):
    same = torch.ones(2, 3, dtype=torch.float64)
    y = layer(same.expand(DRAWS, 2, 3), way, noise(rows=2)).detach()
    centred = y - y.mean(0)
    assert testing.z_test(centred[:, 0] * centred[:, 1], 0.0).passed is not correlated


@pytest.mark.parametrize("way", WAYS)
def test_gradients_agree_with_the_exact_ones(layer, way):
    """E[sum y^2] over the weights is known: the squared mean and the variance."""
    x = torch.randn(4, 3, dtype=torch.float64)
    ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    exact = (ones @ layer.loc).square().sum() + (ones.square() @ (2 * layer.log_scale).exp()).sum()
    parameters = (layer.loc, layer.log_scale)
    wanted = torch.cat(torch.autograd.grad(exact, parameters))

    def estimate(step: int) -> Tensor:
        own = Philox(1, step, torch.arange(40).view(10, 4))
        y = layer(x.expand(10, 4, 3), way, Noise(Philox(0, step), own))
        return torch.cat(torch.autograd.grad(y.square().sum() / 10, parameters))

    assert testing.z_test(torch.stack([estimate(step) for step in range(150)]), wanted).passed


def test_divergence_is_that_of_all_weights(layer):
    prior = Normal(torch.zeros(4, 1), layer.prior_scale.double())
    expected = torch.distributions.kl_divergence(Normal(layer.loc, layer.log_scale.exp()), prior).sum()
    torch.testing.assert_close(layer.kl(), expected)


def test_predictions_average_over_whole_networks():
    network = Network(1, 0, Config(hidden=4))
    one, other = (predict(network, torch.zeros(3, 1), 2, Philox(0, step)).mean for step in (0, 1))
    assert one.shape == (2, 3)
    assert torch.equal(one[:, 0], one[:, 1])
    assert not torch.isclose(one[:, 0], other[:, 0]).any()


def test_a_calibrated_classifier_is_calibrated_and_a_sure_one_is_not():
    probs = torch.tensor([0.75, 0.25]).expand(1, 400, 2)
    y = (torch.arange(400) % 4 == 0).long()
    said, seen, weight = calibration(Categorical(probs=probs), y)
    assert (said.item(), seen.item(), weight.item()) == pytest.approx((0.75, 0.75, 1.0), abs=1e-4)
    sure = quality(Categorical(probs=torch.tensor([0.999, 0.001]).expand(1, 400, 2)), y)
    assert sure["test_calibration_error"] == pytest.approx(0.249, abs=1e-4)
    assert sure["test_accuracy"] == 0.75


def test_a_calibrated_regression_is_calibrated_and_a_sure_one_is_not():
    y = Normal(0.0, 1.0).icdf((torch.arange(1000) + 0.5) / 1000)
    right, sure = (quality(Normal(torch.zeros(1, 1000), scale), y) for scale in (1.0, 0.2))
    assert right["test_calibration_error"] < 2e-3
    assert sure["test_calibration_error"] > 0.3
    assert right["test_nll"] < sure["test_nll"]
    assert right["test_rmse"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("posterior", ["local", "none"])
def test_run_learns_the_digits(tmp_path, posterior):
    config = Config(epochs=2, posterior=posterior, hidden=32, predictions=10)
    summary = train(config, tmp_path, console=QUIET)
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert saved["test_accuracy"] > 0.6
    assert {"calibration.png", "loss.png", "report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_run_on_the_curve_draws_its_beliefs(tmp_path):
    summary = train(Config(data="wave", epochs=40, k=2, predictions=10), tmp_path, console=QUIET)
    assert summary["test_rmse"] < 0.55  # the standard deviation of the curve is 0.75
    assert (tmp_path / "regression.png").read_bytes().startswith(b"\x89PNG")


def test_images_without_labels(tmp_path):
    import numpy as np

    np.save(tmp_path / "images.npy", np.zeros((10, 4, 4), np.uint8))
    with pytest.raises(DataError, match="no labels"):
        examples(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [{"hidden": 0}, {"k": 0}, {"prior_scale": 0.0}, {"kl_weight": math.inf}, {"posterior": "laplace"}],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert not (tmp_path / "run").exists()
