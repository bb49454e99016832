"""The VAE: where its gradient goes, what a run leaves behind, and that a seed fixes it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

import reparam as rp
from reparam.errors import DataError, InvalidArgument
from reparam.recipes.data import load
from reparam.recipes.vae import VAE, Config, bound, build, held_out, restore, train

QUIET = Console(quiet=True)
OBJECTIVES = {
    "elbo": Config(),
    "elbo, k": Config(k=3),
    "stick the landing": Config(k=3, stick_the_landing=True),
    "iwae": Config(objective="iwae", k=3),
    "doubly reparameterized": Config(objective="iwae", k=3, doubly_reparameterized=True),
}


@pytest.fixture
def model() -> VAE:
    return build(Config(), load("digits"))


@pytest.fixture
def images() -> Tensor:
    noise = torch.Generator().manual_seed(0)
    return torch.bernoulli(load("digits").train_images[:50].flatten(1), generator=noise)


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("config", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_gradient_reaches_every_weight(model, images, config):
    objective = bound(model, model.prior(), images, config, noise())
    assert objective.shape == (50,)
    objective.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def reconstruction(model: VAE, images: Tensor, sample: Any) -> None:
    z = sample(model.posterior(images))
    model.log_likelihood(images, z).mean().backward()


def test_reconstruction_teaches_the_encoder_only_through_the_trick(model, images):
    reconstruction(model, images, lambda q: rp.rsample(q, noise=noise()))
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "sample", [lambda q: q.sample(), lambda q: rp.rsample(q, noise=noise()).detach()], ids=["sample", "detach"]
)
def test_without_the_trick_no_gradient_reaches_the_encoder(model, images, sample):
    reconstruction(model, images, sample)
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.decoder.parameters())


def test_bounds_are_ordered_and_close_in(model):
    images = load("digits").test_images.flatten(1)
    elbo, few, many = (held_out(model, images, *bound) for bound in (("elbo", 8), ("iwae", 8), ("iwae", 64)))
    assert elbo < few < many < 0


def test_likelihood_of_a_silent_decoder(model, images):
    """With logits 0 every pixel is a fair coin, so each bound is log p(x) = -64 log 2 when q is the prior."""
    torch.nn.init.zeros_(model.decoder[-1].weight)
    torch.nn.init.zeros_(model.decoder[-1].bias)
    torch.nn.init.zeros_(model.encoder[-1].weight)
    torch.nn.init.zeros_(model.encoder[-1].bias)
    for config in OBJECTIVES.values():
        value = bound(model, model.prior(), images, config, noise())
        torch.testing.assert_close(value, torch.full((50,), -64 * math.log(2)), rtol=1e-5, atol=1e-5)


def test_run_leaves_everything_behind(tmp_path):
    summary = train(Config(epochs=2), tmp_path, console=QUIET)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("events.")) == [
        "checkpoints",
        "config.toml",
        "loss.png",
        "metrics.jsonl",
        "reconstructions.png",
        "report.html",
        "samples.png",
        "summary.json",
        "weights.safetensors",
    ]
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[0]["test_elbo"] < lines[1]["test_elbo"] < -25
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert -saved["test_nll"] > saved["test_elbo"]
    assert saved["cpu_seconds"] > 0


def test_threads_are_given_back_after_an_error(tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(InvalidArgument, match="diverged"):
        train(Config(epochs=2, learning_rate=1e6, threads=before + 1), tmp_path, console=QUIET)
    assert torch.get_num_threads() == before


def test_thirty_epochs_learn_the_digits(tmp_path):
    summary = train(Config(epochs=30, learning_rate=3e-3), tmp_path, console=QUIET)
    assert summary["test_elbo"] > -24.5


def test_restored_model_is_the_trained_one(tmp_path):
    summary = train(Config(epochs=1, hidden=16, latent=3), tmp_path, console=QUIET)
    model, dataset, config = restore(tmp_path)
    assert (config.hidden, config.latent) == (16, 3)
    assert held_out(model, dataset.test_images.flatten(1), "elbo", 16) == summary["test_elbo"]


def test_restore_refuses_damaged_weights(tmp_path):
    train(Config(epochs=1), tmp_path, console=QUIET)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DataError, match="cannot read the weights"):
        restore(tmp_path)


@pytest.mark.parametrize("config", [Config(epochs=2), Config(epochs=2, objective="iwae", k=4)], ids=["elbo", "iwae"])
def test_seed_fixes_the_run_and_nothing_else_moves(tmp_path, config):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(config, tmp_path / "a", console=QUIET)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second = train(config, tmp_path / "b", console=QUIET)
    third = train(replace(config, seed=1), tmp_path / "c", console=QUIET)
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert first["test_elbo"] == second["test_elbo"] != third["test_elbo"]


@pytest.mark.parametrize(
    "change",
    [
        {"k": 0},
        {"hidden": 0},
        {"latent": -1},
        {"epochs": 0},
        {"batch": 0},
        {"nll_samples": 0},
        {"seed": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"objective": "elob"},
        {"stick_the_landing": True, "objective": "iwae"},
        {"doubly_reparameterized": True},
        {"accelerator": "abacus"},
        {"threads": 0},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert caught.value.instead
    assert not (tmp_path / "run").exists()


def test_divergence_is_an_error(tmp_path):
    with pytest.raises(InvalidArgument, match="diverged") as caught:
        train(Config(epochs=3, learning_rate=1e6), tmp_path, console=QUIET)
    assert "learning rate" in caught.value.instead


def test_unknown_data_leaves_no_folder(tmp_path):
    with pytest.raises(DataError, match="unknown data set"):
        train(Config(data="nothing"), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()
