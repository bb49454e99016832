"""The discrete VAE: every family under estimators that serve it, their gradients, and what a run leaves behind."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import Tensor

import reparam as rp
from reparam import testing
from reparam.errors import InvalidArgument
from reparam.recipes.data import load
from reparam.recipes.discrete_vae import Config, DiscreteVAE, build, held_out, restore, train
from reparam.recipes.estimator_names import estimator_named
from reparam.recipes.keyed import Share

QUIET = Console(quiet=True)
SERVED = [
    ("bernoulli", "DisARM"),
    ("bernoulli", "ARMS(3)"),
    ("bernoulli", "ReinMax"),
    ("categorical", "LeaveOneOut(2)"),
    ("categorical", "GumbelSoftmax(0.5)"),
    ("binomial", "MeasureValued"),
    ("poisson", "MeasureValued"),
    ("poisson", "Fini(2)"),
    ("truncated-poisson", "ReinMax"),
]


def tiny(family: str, estimator: str, **options) -> DiscreteVAE:
    config = Config(family=family, estimator=estimator, latent=2, levels=3, network="linear", **options)
    return build(config, load("digits"))


ESTIMATED = [
    *SERVED,
    ("bernoulli", "ARM"),
    ("bernoulli", "REBAR"),
    ("bernoulli", "RELAX(2)"),
    ("bernoulli", "RODEO"),
    ("bernoulli", "Unordered(3)"),
    ("bernoulli", "SumAndSample(3)"),
    ("categorical", "ARMS(3)"),
    ("categorical", "GumbelRao(0.5, samples=3)"),
    ("poisson", "LeaveOneOut(2)"),
]


@pytest.mark.parametrize(("family", "estimator"), ESTIMATED)
def test_three_processes_see_the_noise_of_one(family, estimator):
    """Whatever noise an estimator asks for: bounds and gradients of the parts of a batch are those of the whole."""
    model = tiny(family, estimator)
    images = load("digits").train_images[:7].flatten(1).round()

    def trained(processes: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(7).tensor_split(processes)
        shares = [Share(part, int(part[0]), total=7, step=3, seed=5) for part in rows]
        bounds = torch.cat([model.bound(images[share.rows], share.particles()) for share in shares])
        return bounds, torch.autograd.grad(bounds.sum(), first(model).weight)[0]

    for one, three in zip(trained(1), trained(3), strict=True):
        torch.testing.assert_close(three, one, rtol=1e-5, atol=1e-4)


def first(model: DiscreteVAE) -> torch.nn.Linear:
    layer = model.encoder[0]
    assert isinstance(layer, torch.nn.Linear)
    return layer


@pytest.fixture
def images() -> Tensor:
    return load("digits").train_images[:3].flatten(1).round()


@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
@pytest.mark.parametrize(("family", "estimator"), SERVED)
def test_gradient_reaches_every_weight(family, estimator, kl, images):
    model = tiny(family, estimator, kl=kl)
    bound = model.bound(images, torch.Generator().manual_seed(0))
    assert bound.shape == (3,)
    bound.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    slope = first(model).weight.grad
    assert slope is not None
    assert slope.abs().max() > 0


def encoder_gradient(model: DiscreteVAE, images: Tensor) -> Tensor:
    return torch.autograd.grad(model.bound(images).sum(), first(model).bias)[0]


@pytest.mark.parametrize("estimator", ["DisARM", "LeaveOneOut(2)", "ARMS(3)", "MeasureValued"])
def test_unbiased_estimators_agree_with_enumeration(estimator, images):
    """Two coins have four values, so the exact gradient is a sum."""
    exact = encoder_gradient(tiny("bernoulli", "Enumerate"), images)
    model = tiny("bernoulli", estimator)
    gradients = torch.stack([encoder_gradient(model, images) for _ in range(150)])
    assert testing.z_test(gradients, exact).passed


def test_truncated_poisson_is_a_poisson_given_that_it_is_small():
    model = tiny("truncated-poisson", "ReinMax")
    probability = torch.softmax(model.prior().base_dist.logits, -1)
    small = torch.distributions.Poisson(1.0).log_prob(torch.arange(4.0)).exp()
    torch.testing.assert_close(probability, (small / small.sum()).expand(2, 4))


def test_held_out_bound_is_below_the_likelihood(images):
    elbo, nll = held_out(tiny("bernoulli", "DisARM"), load("digits").test_images.flatten(1), 16)
    assert elbo < -nll < 0


def test_estimators_by_name():
    assert estimator_named("LeaveOneOut(4)") == rp.LeaveOneOut(4)
    assert estimator_named("GumbelRao(0.5, inner=3)") == rp.GumbelRao(0.5, inner=3)


@pytest.mark.parametrize(
    "text", ["Disarm", "DisARM(", "rp.DisARM()", "DisARM(n)", "DisARM(3, 4, 5)", "expect", "1", ""]
)
def test_what_names_no_estimator(text):
    with pytest.raises(InvalidArgument, match="does not name") as caught:
        estimator_named(text)
    assert "LeaveOneOut" in caught.value.instead


def test_an_estimator_may_refuse_its_arguments():
    with pytest.raises(InvalidArgument, match="even"):
        estimator_named("DisARM(3)")


def test_run_leaves_everything_behind_and_is_restored(tmp_path):
    summary = train(Config(epochs=2, estimator="DisARM", nll_samples=10), tmp_path, console=QUIET)
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert saved["unbiased"] is True
    assert saved["evaluations"] == 2
    assert -45 < saved["test_elbo"] < -saved["test_nll"]
    assert {"reconstructions.png", "samples.png", "loss.png", "report.html"} <= {p.name for p in tmp_path.iterdir()}
    model, dataset, _ = restore(tmp_path)
    assert held_out(model, dataset.test_images.flatten(1), 10)[0] == pytest.approx(saved["test_elbo"], rel=1e-5)


def test_seed_fixes_the_run(tmp_path):
    config = Config(steps=5, estimator="DisARM", nll_samples=2)
    for run in "ab":
        train(config, tmp_path / run, console=QUIET)
    one, other = ((tmp_path / run / "weights.safetensors").read_bytes() for run in "ab")
    assert one == other


@pytest.mark.parametrize(
    "change",
    [
        {"levels": 0},
        {"levels": 1, "family": "categorical"},
        {"family": "gamma"},
        {"estimator": "Magic"},
        {"kl": "none"},
        {"learning_rate": math.inf},
        {"compile": True},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert not (tmp_path / "run").exists()


def test_estimator_that_cannot_serve_leaves_no_folder(tmp_path):
    with pytest.raises(InvalidArgument, match="DisARM"):
        train(Config(family="poisson", estimator="DisARM"), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()
