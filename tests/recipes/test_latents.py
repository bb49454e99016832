"""Each kind of latent: its gradient reaches every weight, a run ends with finite figures, parameters stay in range."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

import reparam as rp
from reparam.errors import DataError, InvalidArgument
from reparam.recipes.data import load
from reparam.recipes.latents import LATENTS, FamilyName, positive
from reparam.recipes.networks import dense
from reparam.recipes.runs import read_config
from reparam.recipes.vae import VAE, Config, bound, held_out, restore, train

QUIET = Console(quiet=True)
TINY = Config(epochs=2, hidden=16, latent=3, batch=500, nll_samples=4)
FAMILIES = pytest.mark.parametrize("family", LATENTS)
OBJECTIVES = {
    "elbo": Config(),
    "stick the landing": Config(stick_the_landing=True),
    "doubly reparameterized": Config(objective="iwae", k=2, doubly_reparameterized=True),
}


def small(latent: int, family: FamilyName) -> VAE:
    return VAE(dense((8, 8), 16, latent, LATENTS[family].outputs(latent)), latent, LATENTS[family])


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parameters(dist: Distribution) -> list[Tensor]:
    """The parameters of a posterior, however deep."""
    held = [value for value in vars(dist).values() if isinstance(value, Tensor)]
    inner = [value for value in vars(dist).values() if isinstance(value, Distribution)]
    return held + [tensor for value in inner for tensor in parameters(value)]


def test_the_option_offers_what_the_table_has():
    assert get_args(FamilyName) == tuple(LATENTS)


@FAMILIES
@pytest.mark.parametrize("config", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradient_reaches_every_weight(family: FamilyName, config: Config):
    torch.manual_seed(0)
    model = small(3, family)
    images = load("digits").train_images[:50].flatten(1).round()
    objective = bound(model, model.prior(), images, config, noise())
    assert objective.shape == (50,)
    objective.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad.abs().amax(-1) > 0).any(), name


@FAMILIES
def test_gradient_reaches_every_output_of_the_encoder(family: FamilyName):
    """Each number that the encoder emits parameterises the posterior, and the reconstruction alone moves it."""
    torch.manual_seed(0)
    model = small(3, family)
    images = load("digits").train_images[:50].flatten(1).round()
    model.log_likelihood(images, rp.rsample(model.posterior(images), noise=noise())).mean().backward()
    (bias,) = (tensor.grad for name, tensor in model.encoder.named_parameters() if name == "2.bias")
    assert bias is not None
    assert bias.shape == (LATENTS[family].outputs(3),)
    assert (bias.abs() > 0).all()


@FAMILIES
def test_run_ends_with_finite_figures(family: FamilyName, tmp_path):
    config = replace(TINY, family=family)
    summary = train(config, tmp_path, console=QUIET)
    assert summary["family"] == family
    assert -60 < summary["test_elbo"] < -20
    assert -summary["test_nll"] > summary["test_elbo"]
    assert read_config(tmp_path / "config.toml", Config) == config
    model, dataset, _ = restore(tmp_path)
    assert held_out(model, dataset.test_images.flatten(1), "elbo", 16) == summary["test_elbo"]


@pytest.mark.parametrize("family", ["von-mises-fisher", "power-spherical", "gamma", "beta"])
@pytest.mark.parametrize("size", [1.0, 100.0, 1e4], ids=str)
def test_wild_outputs_give_finite_parameters_and_samples(family: FamilyName, size: float):
    output = size * torch.randn(200, LATENTS[family].outputs(3), generator=noise())
    posterior, prior = LATENTS[family].posterior(output), LATENTS[family].prior(torch.zeros(3))
    assert all(value.isfinite().all() for value in parameters(posterior))
    z = rp.rsample(posterior, noise=noise())
    for value in (z, prior.log_prob(z), posterior.log_prob(z), kl_divergence(posterior, prior)):
        assert value.isfinite().all()


@pytest.mark.parametrize("family", ["normal", "gamma", "beta", "mixture"])
def test_a_silent_encoder_says_the_prior(family: FamilyName):
    posterior = LATENTS[family].posterior(torch.zeros(1, LATENTS[family].outputs(3)))
    prior = LATENTS[family].prior(torch.zeros(3))
    z = prior.sample((7, 1))
    torch.testing.assert_close(posterior.log_prob(z), prior.log_prob(z))


def test_positive_is_smooth_and_never_flat():
    output = torch.linspace(-60, 60, 101, dtype=torch.float64, requires_grad=True)
    value = positive(output)
    (slope,) = torch.autograd.grad(value.sum(), output)
    assert (value > 0).all()
    assert (slope > 0).all()
    assert positive(torch.zeros(())).item() == pytest.approx(1)


@pytest.mark.parametrize("family", ["von-mises-fisher", "power-spherical"])
def test_latents_on_the_sphere_are_unit_vectors(family: FamilyName):
    model = small(5, family)
    for law in (model.posterior(torch.rand(4, 64)), model.prior().expand((4,))):
        torch.testing.assert_close(law.sample().norm(dim=-1), torch.ones(4))


@FAMILIES
@torch.no_grad()
def test_closed_forms_are_used_where_there_are_any(family: FamilyName):
    """The divergence of all but the mixture is exact: without a likelihood, two draws give one bound."""
    model = small(3, family)
    posterior = model.posterior(torch.rand(4, 64))

    def bound_of(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return rp.objectives.elbo(lambda z: torch.zeros(z.shape[:-1]), posterior, model.prior(), noise=generator)

    assert torch.equal(bound_of(1), bound_of(2)) == (family != "mixture")


@pytest.mark.parametrize(
    ("change", "what"),
    [({"family": "cauchy"}, "mixture"), ({"family": "von-mises-fisher", "latent": 1}, "at least 2 dimensions")],
    ids=["unknown", "no sphere"],
)
def test_bad_family_is_told_in_three_parts(tmp_path, change, what):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert "cannot train" in caught.value.what
    assert str(list(change.values())[-1]) in caught.value.received
    assert what in caught.value.instead
    assert not (tmp_path / "run").exists()


def test_bad_family_in_a_file(tmp_path):
    (tmp_path / "config.toml").write_text('family = "cauchy"\n')
    with pytest.raises(DataError) as caught:
        read_config(tmp_path / "config.toml", Config)
    assert "family = 'cauchy'" in caught.value.received
    assert "power-spherical" in caught.value.instead
