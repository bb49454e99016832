"""The mixture: its likelihood and its bound against torch's own mixture, and what a run leaves behind."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import distributions as td

from reparam import testing
from reparam.errors import InvalidArgument
from reparam.recipes.data import load
from reparam.recipes.mixture import Config, Mixture, build, points, train

QUIET = Console(quiet=True)


@pytest.fixture
def x() -> torch.Tensor:
    return points(Config()).train[:50].double()


@pytest.fixture
def model(x) -> Mixture:
    model = build(Config(components=4, objective="elbo"), x).double()
    with torch.no_grad():
        for parameter in (model.logits, model.raw):
            parameter.copy_(torch.randn_like(parameter))
    return model


def test_likelihood_is_that_of_torch(model, x):
    components = td.MultivariateNormal(model.loc, scale_tril=model.scale_tril())
    expected = td.MixtureSameFamily(td.Categorical(logits=model.logits), components)
    torch.testing.assert_close(model.log_prob(x), expected.log_prob(x))


class Guess(torch.nn.Module):
    """A network that knows."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_bound_with_the_exact_posterior_is_the_likelihood_and_so_is_its_gradient(model, x):
    """Fisher's identity: at q = p(c | x) the bound touches the likelihood, to first order in every parameter."""
    likelihood = model.log_prob(x).sum()
    log_joint = model.log_conditional(x) + model.logits.log_softmax(-1).unsqueeze(-1)
    model.encoder = Guess(log_joint.detach().T)
    bound = model.elbo(x).sum()
    torch.testing.assert_close(bound, likelihood)
    parameters = [model.logits, model.loc, model.raw]
    pairs = zip(*(torch.autograd.grad(value, parameters) for value in (bound, likelihood)), strict=True)
    for gradient, exact in pairs:
        torch.testing.assert_close(gradient, exact)


def test_bound_is_below_the_likelihood_and_teaches_its_network(model, x):
    bound = model.elbo(x)
    assert (bound < model.log_prob(x)).all()
    bound.mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_principal_components_are_white_and_lead_back_to_the_images():
    data = points(Config(dimensions=64 - 3))  # three pixels of the digits are always empty
    covariance = data.train.double().T.cov(correction=0)
    torch.testing.assert_close(covariance, torch.eye(61, dtype=torch.float64), rtol=0, atol=1e-3)
    assert data.images is not None
    torch.testing.assert_close(data.images.image(data.test), load("digits").test_images, rtol=0, atol=1e-2)


def test_samples_have_the_mean_of_the_mixture(model):
    drawn = model.sample(20_000, torch.Generator().manual_seed(0))
    mean = (model.logits.softmax(-1).unsqueeze(-1) * model.loc).sum(0)
    assert testing.z_test(drawn, mean).passed


@pytest.mark.parametrize("objective", ["likelihood", "elbo"])
def test_run_fits_the_pinwheel_and_leaves_everything_behind(tmp_path, objective):
    config = Config(data="pinwheel", components=10, epochs=5, objective=objective, hidden=16)
    summary = train(config, tmp_path, console=QUIET)
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert -2.4 < saved["test_log_likelihood"] < -1.2  # one Gaussian reaches -2.5
    assert saved.get("test_elbo", -math.inf) < saved["test_log_likelihood"]
    assert {"components.png", "loss.png", "report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_images_leave_their_means_and_samples(tmp_path):
    train(Config(steps=3, components=3), tmp_path, console=QUIET)
    for name in ("means.png", "samples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "change",
    [
        {"components": 0},
        {"components": 1501},
        {"dimensions": 65},
        {"dimensions": 64},
        {"floor": 0.0},
        {"learning_rate": math.nan},
        {"objective": "map"},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(Config(), **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert not (tmp_path / "run").exists()
