r"""Adversarial training: a generator pushes noise through a network, and a critic tells what it makes from the data.

    generator:  x = G(z), z ~ N(0, 1)         lowers  E[ softplus(-D(G(z))) ]      (the non-saturating loss)
    critic:     D(x), a logit of "real"       lowers  E[ softplus(-D(x)) ] + E[ softplus(D(G(z))) ]

This is the trick without a density: a sample is a function of noise that does not depend on the weights, so the
gradient of what the critic says runs through the sample into every weight of G, and nobody needs to know the law of x.

`--model avb` uses the same freedom for an encoder: adversarial variational Bayes. An implicit posterior z = E(x, eps)
has no density, so the divergence in the bound is left to a critic T(x, z), whose optimum is log q(z | x) - log p(z):

    encoder, decoder:  raise  E[ log p(x | E(x, eps)) - T(x, E(x, eps)) ]
    critic:            lowers E[ softplus(-T(x, E(x, eps))) ] + E[ softplus(T(x, z)) ],  z ~ p(z)

Run it with `reparam train gan`. What is made is judged by a classifier (`quality.py`), beside real images.

References:
    Goodfellow et al. (2014), Generative Adversarial Nets, NeurIPS.
    Miyato, Kataoka, Koyama, Yoshida (2018), Spectral Normalization for Generative Adversarial Networks, ICLR.
    Mescheder, Geiger, Nowozin (2018), Which Training Methods for GANs do actually Converge?, ICML (R1).
    Mescheder, Nowozin, Geiger (2017), Adversarial Variational Bayes, ICML.
    Yazici et al. (2019), The Unusual Effectiveness of Averaging in GAN Training, ICLR.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn.utils.parametrizations import spectral_norm

import reparam as rp
from reparam.recipes import engine, pictures
from reparam.recipes.data import load
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.keyed import Order
from reparam.recipes.quality import Judge

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a generator, or an implicit encoder, against a critic on images."""

    data: str = "digits"
    """digits (embedded), fashion-mnist, mnist, or the path of a folder of IDX or .npy files, with labels."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    model: Literal["gan", "avb"] = "gan"
    """A generator of images, or adversarial variational Bayes: an autoencoder whose posterior has no density."""
    regularizer: Literal["r1", "spectral"] = "r1"
    """How the critic is kept smooth: R1, the squared slope at real data, or spectral normalisation of its layers."""
    r1_weight: float = 0.1
    """r1: weight of half the squared slope."""
    hidden: int | None = None
    """Units of the two hidden layers of each network; by default 128 for images up to 8x8, else 512."""
    latent: int | None = None
    """Dimensions of the noise; by default 16 for images up to 8x8, else 64."""
    average: float = 0.995
    """The generator that is kept is a running average of the trained one, with this decay; 0 keeps the last."""
    epochs: int = 300
    """Passes over the training images."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch: int = 100
    """Images per step, over all processes."""
    learning_rate: float = 1e-3
    """Step size of Adam, for both players."""
    groups: int = 5
    """The final figures are means over so many groups of generated images, each as large as the test set."""


SMALL, LARGE = (128, 16), (512, 64)  # hidden units and dimensions of the noise
SMALL_PIXELS = 64

# --- the players ------------------------------------------------------------------------------------------------------


def network(*widths: int, spectral: bool = False) -> nn.Sequential:
    """Linear layers with leaky rectifiers between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        layers += [spectral_norm(layer) if spectral else layer, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class Players(nn.Module):
    """A generator, its critic, and the running average of the generator.

    Args:
        config: sizes and the critic's regularizer.
        pixels: of an image.
    """

    zeros: Tensor
    made: nn.Module
    critic: nn.Module

    def __init__(self, config: Config, pixels: int) -> None:
        super().__init__()
        default = SMALL if pixels <= SMALL_PIXELS else LARGE
        hidden, latent = config.hidden or default[0], config.latent or default[1]
        self.r1_weight = config.r1_weight if config.regularizer == "r1" else 0.0
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)
        self._make(pixels, hidden, latent, config.regularizer == "spectral")
        self.kept = copy.deepcopy(self.made).requires_grad_(False)

    def _make(self, pixels: int, hidden: int, latent: int, spectral: bool) -> None:
        self.made = network(latent, hidden, hidden, pixels)
        self.critic = network(pixels, hidden, hidden, 1, spectral=spectral)

    def prior(self) -> Distribution:
        """The law of the noise."""
        return Independent(Normal(self.zeros, torch.ones_like(self.zeros)), 1)

    def made_loss(self, made: nn.Module, x: Tensor, z: Tensor) -> Tensor:
        """What the generator lowers, one number for each row; it does not look at the data x."""
        return nn.functional.softplus(-self.critic(made(z).sigmoid())).squeeze(-1)

    def critic_loss(self, critic: nn.Module, x: Tensor, eps: Tensor, z: Tensor) -> Tensor:
        """What the critic lowers, one number for each row."""
        with torch.no_grad():
            forged = self.made(eps).sigmoid()
        return self._told_apart(critic, x, forged)

    def _told_apart(self, critic: nn.Module, real: Tensor, forged: Tensor) -> Tensor:
        if self.r1_weight:
            real = real.detach().requires_grad_()
        said = critic(real)
        loss = (nn.functional.softplus(-said) + nn.functional.softplus(critic(forged))).squeeze(-1)
        if not self.r1_weight:
            return loss
        (slope,) = torch.autograd.grad(said.sum(), real, create_graph=True)
        return loss + 0.5 * self.r1_weight * slope.square().sum(-1)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the kept generator towards the trained one."""
        for kept, made in zip(self.kept.parameters(), self.made.parameters(), strict=True):
            kept.lerp_(made, 1 - decay)

    @torch.no_grad()
    def dream(self, count: int, noise: torch.Generator) -> Tensor:
        """Images from the kept generator, shape (count, pixels)."""
        return self._decode(rp.rsample(self.prior(), (count,), noise=noise))

    def _decode(self, z: Tensor) -> Tensor:
        return self.kept(z).sigmoid()


class Bayes(Players):
    """An implicit encoder with its decoder, and a critic of pairs (x, z)."""

    def _make(self, pixels: int, hidden: int, latent: int, spectral: bool) -> None:
        encoder = network(pixels + latent, hidden, hidden, latent)
        decoder = network(latent, hidden, hidden, pixels)
        self.made = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        self.critic = network(pixels + latent, hidden, hidden, 1, spectral=spectral)

    def encode(self, made: nn.Module, x: Tensor, eps: Tensor) -> Tensor:
        """A draw of z given x: a function of both, whose law has no formula."""
        return made.get_submodule("encoder")(torch.cat([x, eps], -1))

    def made_loss(self, made: nn.Module, x: Tensor, z: Tensor) -> Tensor:
        """The negative bound, its divergence as the critic sees it."""
        drawn = self.encode(made, x, z)
        logits = made.get_submodule("decoder")(drawn)
        misfit = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return misfit + self.critic(torch.cat([x, drawn], -1)).squeeze(-1)

    def critic_loss(self, critic: nn.Module, x: Tensor, eps: Tensor, z: Tensor) -> Tensor:
        """The same as of images, between the encoder's pairs and those with a z from the prior."""
        with torch.no_grad():
            drawn = self.encode(self.made, x, eps)
        return self._told_apart(critic, torch.cat([x, drawn], -1), torch.cat([x, z], -1))

    def _decode(self, z: Tensor) -> Tensor:
        return self.kept.get_submodule("decoder")(z).sigmoid()


def build(config: Config, pixels: int) -> Players:
    """The untrained players, their weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return (Players if config.model == "gan" else Bayes)(config, pixels)


# --- the training -----------------------------------------------------------------------------------------------------

EVALUATION_SEED = 2014
LINES = 30  # of metrics, each with an evaluation


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/gan-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or a loss is no longer finite.
        DataError: the data cannot be read or has no labels, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> summary = train(Config(steps=30), tempfile.mkdtemp(), console=Console(quiet=True))
        >>> summary["frechet_distance"] > summary["frechet_distance_real"]
        True
    """
    return engine.run("gan", config, Training, out, **how)


class Training(engine.Training):
    """One step of Adam for the critic, then one for the generator."""

    headline = "frechet_distance"

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.dataset = load(config.data, config.data_root)
        self.judge = Judge(self.dataset)
        self.images = self.dataset.train_images.flatten(1).to(machine.device)
        self.order = Order(len(self.images), config.batch, config.seed, machine)
        self.weights = self.players = build(config, self.images.shape[1]).to(machine.device)
        # Without much momentum: what the other player does changes from step to step.
        made, critic = (
            torch.optim.Adam(part.parameters(), lr=config.learning_rate, betas=(0.5, 0.99))
            for part in (self.players.made, self.players.critic)
        )
        self.made = machine.learner(self.players.made, self.players.made_loss, made)
        self.critic = machine.learner(self.players.critic, self.players.critic_loss, critic)
        self.state = {"generator": self.made, "critic": self.critic}
        self.steps = config.steps or config.epochs * self.order.steps_per_epoch
        self.log_every = max(1, self.steps // LINES)
        # The threads of a small model would only wait for each other.
        self.threads = 1 if self.images.shape[1] <= SMALL_PIXELS else None

    def step(self, step: int) -> Figures:
        """One global batch for both players; each has noise of its own."""
        share, prior = self.order.share(step), self.players.prior()
        x = self.images[share.rows]
        if self.config.model == "avb":
            x = share.bernoulli(x)
        rows = (len(x),)
        eps, z, other = (rp.rsample(prior, rows, noise=share.noise(variable=v)) for v in range(3))
        critic = self.critic.step(x, eps, z, of=share.total)
        made = self.made.step(x, other, of=share.total)
        self.players.follow(self.config.average)
        return {"critic_loss": critic, "generator_loss": made}

    def evaluate(self, step: int) -> Figures:
        """The quality of as many images as there are for testing."""
        return self._quality(1)

    def _quality(self, groups: int) -> dict[str, float]:
        noise = torch.Generator(self.images.device).manual_seed(EVALUATION_SEED)
        return self.judge.measure(self.players.dream(groups * self.judge.count, noise))

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final figures, beside those of real test images, and the pictures."""
        noise = torch.Generator(self.images.device).manual_seed(EVALUATION_SEED)
        made = self.players.dream(96, noise).unflatten(-1, self.dataset.image_shape)
        pictures.save_grid(folder.path / "samples.png", made)
        self._draw_history(folder)
        real = self.judge.measure(self.dataset.test_images[: self.judge.count])
        return {
            "data": self.config.data,
            "model": self.config.model,
            "regularizer": self.config.regularizer,
            **self._quality(self.config.groups),
            **{f"{name}_real": value for name, value in real.items()},
            "images_compared": self.judge.count,
            "attribution": self.dataset.attribution,
        }

    def _draw_history(self, folder: RunFolder) -> None:
        history = folder.history()
        steps = [row["step"] for row in history]
        losses = {name.replace("_", " "): [row[name] for row in history] for name in ("generator_loss", "critic_loss")}
        pictures.save_curve(folder.path / "loss.png", losses, ylabel="loss, nats", xlabel="step", places=steps)
        distance = {"Fréchet distance": [row["frechet_distance"] for row in history]}
        pictures.save_curve(folder.path / "quality.png", distance, ylabel="distance", xlabel="step", places=steps)


def _check(config: Config) -> None:
    for name in ("hidden", "latent", "epochs", "steps", "batch", "groups"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    rate = config.learning_rate
    require(0 < rate < math.inf, "learning_rate", rate, "a positive number, such as 1e-3")
    require(0 <= config.average < 1, "average", config.average, "a decay from 0 to below 1, such as 0.995")
    weight = config.r1_weight
    require(0 < weight < math.inf, "r1_weight", weight, "a positive number, such as 0.1")
    for name, known in {"model": ("gan", "avb"), "regularizer": ("r1", "spectral")}.items():
        require(getattr(config, name) in known, name, getattr(config, name), f"one of {', '.join(known)}")
