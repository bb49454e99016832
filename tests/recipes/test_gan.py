"""Adversarial training: what each player lowers, how images are judged, and what a run leaves behind."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn

from reparam.errors import DataError, InvalidArgument
from reparam.recipes.data import Dataset, load
from reparam.recipes.gan import Config, Players, build, train
from reparam.recipes.quality import Judge, frechet_distance

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(load("digits"))


def players(**options) -> Players:
    return build(Config(hidden=8, latent=3, **options), 64)


class Constant(nn.Module):
    """A critic that has made up its mind, but for a slope along the first pixel."""

    def __init__(self, value: float, slope: float) -> None:
        super().__init__()
        self.value, self.slope = value, slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value + self.slope * (x[..., :1] - x[..., :1].detach())


def test_losses_at_equilibrium_and_the_slope_that_r1_charges():
    x, z = torch.rand(5, 64), torch.randn(5, 3)
    undecided = Constant(0.0, 3.0)
    game = players(r1_weight=2.0)
    plain = players(regularizer="spectral")
    plain.critic = undecided
    torch.testing.assert_close(plain.made_loss(plain.made, x, z), torch.full((5,), math.log(2)))
    torch.testing.assert_close(plain.critic_loss(undecided, x, z, z), torch.full((5,), 2 * math.log(2)))
    torch.testing.assert_close(game.critic_loss(undecided, x, z, z), torch.full((5,), 2 * math.log(2) + 9.0))


@pytest.mark.parametrize("model", ["gan", "avb"])
@pytest.mark.parametrize("regularizer", ["r1", "spectral"])
def test_each_player_learns_from_its_own_loss(model, regularizer):
    game = players(model=model, regularizer=regularizer)
    x, eps, z = torch.rand(6, 64).round(), torch.randn(6, 3), torch.randn(6, 3)
    game.made_loss(game.made, x, z).mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in game.made.parameters())
    game.zero_grad()
    game.critic_loss(game.critic, x, eps, z).mean().backward()
    assert all(p.grad is None for p in game.made.parameters())
    slopes = [p.grad.abs().max() for p in game.critic.parameters() if p.grad is not None]
    assert len(slopes) == len(list(game.critic.parameters()))
    assert all(slope > 0 for slope in slopes[:-1])  # the last bias adds the same to both


def test_an_optimal_critic_makes_the_divergence_of_normals():
    """With q = N(1, 1) and p = N(0, 1) the optimum is T = log q - log p, whose mean under q is KL(q || p)."""
    game = players(model="avb", regularizer="spectral")

    class Optimal(nn.Module):
        def forward(self, pair: torch.Tensor) -> torch.Tensor:
            return (pair[..., -3:] - 0.5).sum(-1, keepdim=True)

    class Shift(nn.Module):
        def forward(self, pair: torch.Tensor) -> torch.Tensor:
            return pair[..., -3:] + 1

    game.critic = Optimal()
    game.made = nn.ModuleDict({"encoder": Shift(), "decoder": nn.Linear(3, 64)})
    nn.init.zeros_(game.made["decoder"].weight)
    nn.init.zeros_(game.made["decoder"].bias)
    z = torch.randn(4000, 3)
    loss = game.made_loss(game.made, torch.ones(4000, 64), z).mean()
    expected = 64 * math.log(2) + 1.5 + z.mean(0).sum()  # the last term is what this draw adds
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_kept_generator_is_a_running_average():
    game = players()
    before = [p.clone() for p in game.kept.parameters()]
    with torch.no_grad():
        for parameter in game.made.parameters():
            parameter.add_(1.0)
    game.follow(0.75)
    for kept, old in zip(game.kept.parameters(), before, strict=True):
        torch.testing.assert_close(kept, old + 0.25)


def test_frechet_distance_of_normals_that_are_known():
    x = torch.randn(40, 2, dtype=torch.float64)
    white = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    scaled = white * torch.tensor([2.0, 3.0], dtype=torch.float64) + 1
    assert frechet_distance(white, scaled) == pytest.approx(2 + 1 + 4, abs=1e-9)


def test_real_images_are_judged_better_than_noise_and_than_one_class(judge):
    digits = load("digits")
    assert digits.train_labels is not None
    real = judge.measure(digits.test_images)
    fives = judge.measure(digits.train_images[digits.train_labels == 5])
    noise = judge.measure(torch.rand(297, 8, 8))
    assert real["modes"] == 10
    assert fives["modes"] == 1
    assert real["coverage"] > 0.6 > 0.2 > max(fives["coverage"], noise["coverage"])
    assert 3 * real["frechet_distance"] < min(fives["frechet_distance"], noise["frechet_distance"])


def test_images_without_labels_cannot_be_judged():
    images = torch.rand(20, 4, 4)
    with pytest.raises(DataError, match="no labels"):
        Judge(Dataset("mine", images, images, None, None, "nobody"))


@pytest.mark.parametrize("model", ["gan", "avb"])
def test_run_leaves_everything_behind(tmp_path, model):
    summary = train(Config(steps=20, model=model, hidden=16, groups=1), tmp_path, console=QUIET)
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert 0 < saved["frechet_distance_real"] < saved["frechet_distance"] < 50
    assert {"samples.png", "loss.png", "quality.png", "report.html"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "change",
    [{"latent": 0}, {"average": 1.0}, {"r1_weight": 0.0}, {"model": "flow"}, {"regularizer": "none"}],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert not (tmp_path / "run").exists()
