"""Convolutions and the second layer of latents: where their gradients go, what they reach, what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from reparam.errors import InvalidArgument
from reparam.noise import Philox
from reparam.recipes.data import load
from reparam.recipes.networks import NETWORKS
from reparam.recipes.vae import Config, TwoLayerVAE, bound, build, held_out, restore, train

QUIET = Console(quiet=True)
MODELS = {
    "conv": Config(network="conv", hidden=16, latent=3),
    "two layers": Config(layers=2, hidden=16, latent=4),
    "conv, two layers, iwae": Config(network="conv", layers=2, objective="iwae", k=3, hidden=16, latent=4),
    "conv, doubly reparameterized": Config(
        network="conv", objective="iwae", k=3, doubly_reparameterized=True, hidden=16, latent=3
    ),
}
EACH = pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)


def digits(count: int = 50) -> Tensor:
    return load("digits").train_images[:count].flatten(1).round()


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 7), (1, 1), (2, 9)], ids=str)
def test_networks_take_images_of_any_size(name, shape):
    encoder, decoder = NETWORKS[name](shape, 6, 3, 4)
    pixels = math.prod(shape)
    assert encoder(torch.rand(5, pixels)).shape == (5, 4)
    assert decoder(torch.rand(2, 5, 3)).shape == (2, 5, pixels)
    assert decoder(torch.rand(2, 0, 3)).shape == (2, 0, pixels)


@EACH
def test_gradient_reaches_every_weight(config):
    model = build(config, load("digits"))
    objective = bound(model, model.prior(), digits(), config, noise())
    assert objective.shape == (50,)
    objective.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("config", [MODELS["conv"], MODELS["two layers"]], ids=["conv", "two layers"])
def test_a_run_ends_with_figures_that_come_back(tmp_path, config):
    config = replace(config, epochs=2, batch=750, nll_samples=2)
    summary = train(config, tmp_path, console=QUIET)
    assert -70 < summary["test_elbo"] < -20
    assert -summary["test_nll"] > summary["test_elbo"]
    model, dataset, again = restore(tmp_path)
    assert again == config
    assert held_out(model, dataset.test_images.flatten(1), "elbo", 16) == summary["test_elbo"]


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_two_layers_that_know_nothing_give_fair_coins(objective):
    """With every output layer zero, posteriors are priors and each pixel is a fair coin, whatever is drawn."""
    config = Config(layers=2, objective=objective, k=3)
    model = build(config, load("digits"))
    assert isinstance(model, TwoLayerVAE)
    for network in (model.encoder, model.decoder, model.up, model.down):
        assert isinstance(network, nn.Sequential)
        last = network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    value = bound(model, model.prior(), digits(), config, noise())
    torch.testing.assert_close(value, torch.full((50,), -64 * math.log(2)), rtol=1e-5, atol=1e-5)


def test_the_latents_of_two_layers_have_noise_of_their_own():
    """Were both drawn from one variable of a `Philox`, equal dimensions would see equal noise."""
    model = build(Config(layers=2, latent=1), load("digits"))
    assert isinstance(model, TwoLayerVAE)
    drawn: list[Tensor] = []
    model.up.register_forward_hook(lambda _, inputs, __: drawn.append(inputs[0]))
    model.down.register_forward_hook(lambda _, inputs, __: drawn.append(inputs[0]))
    for network in (model.encoder, model.up):
        assert isinstance(network, nn.Sequential)
        last = network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    index = torch.arange(50).expand(1, 50)
    model.log_weight(digits(), 1, Philox(0, index=index))
    z, above = drawn
    assert z.shape == above.shape == (1, 50, 1)
    assert not torch.allclose(z, above)


@torch.no_grad()
def test_bounds_of_two_layers_are_ordered():
    model = build(Config(layers=2), load("digits"))
    images = load("digits").test_images[:100].flatten(1)
    elbo, few, many = (held_out(model, images, *bound) for bound in (("elbo", 8), ("iwae", 8), ("iwae", 64)))
    assert elbo < few < many < 0


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 3},
        {"layers": 2, "family": "gamma"},
        {"layers": 2, "stick_the_landing": True},
        {"layers": 2, "objective": "iwae", "doubly_reparameterized": True},
        {"network": "transformer"},
        {"steps": 0},
        {"compile": True, "objective": "iwae", "doubly_reparameterized": True},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert not (tmp_path / "run").exists()
