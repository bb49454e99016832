"""A variational autoencoder, trained through the reparameterization trick.

A decoder p(x | z) paints an image x from a latent z with a simple prior p(z); an encoder q(z | x) guesses the latent
back from the image. Both learn by raising one number, the evidence lower bound:

    log p(x)  >=  ELBO(x)  =  E_{q(z|x)}[ log p(x | z) ]  -  KL( q(z | x) || p(z) )

The expectation is over z drawn from the encoder's own output, so its gradient must pass through a random sample. That
is what `rp.objectives.elbo` does: it draws z = loc + scale * eps, and the chain rule runs from the decoder through z
into loc and scale, and so into every weight of the encoder. That is the formula of the default, a normal latent; for
the other kinds in `latents.py`, on a sphere, positive, bounded or of several modes, z moves by a formula of its own.

Run it with `reparam train vae`; read it from top to bottom: what can be chosen, the model, the objective, the training,
the figures and pictures that are left behind. The loop, the files and the processes are in `engine.py`.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes, ICLR.
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders, ICLR (`objective=iwae`, the NLL, two layers).
    Salakhutdinov, Murray (2008), On the Quantitative Analysis of Deep Belief Networks, ICML (dynamic binarisation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import reparam as rp
from reparam.noise import Philox
from reparam.recipes import engine, pictures
from reparam.recipes.data import Dataset, load
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.keyed import Order
from reparam.recipes.latents import LATENTS, FamilyName, LatentFamily, normal_posterior
from reparam.recipes.networks import NETWORKS, NetworkName, Networks
from reparam.recipes.runs import CONFIG, WEIGHTS, load_weights, read_config

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a variational autoencoder on images."""

    data: str = "digits"
    """digits (embedded), fashion-mnist, mnist, or the path of a folder of IDX or .npy files."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    family: FamilyName = "normal"
    """What a latent is: a normal, a point on a sphere, positive (gamma), in (0, 1) (beta), or of several modes."""
    network: NetworkName = "dense"
    """Encoder and decoder: dense, with one hidden layer, or conv, with two convolutions besides."""
    layers: Literal[1, 2] = 1
    """Layers of normal latents: 2 puts one of half the dimensions above, so that the prior of the lower is learnt."""
    objective: Literal["elbo", "iwae"] = "elbo"
    """The bound to raise: elbo, or iwae, which is tighter with more samples."""
    k: int = 1
    """Latent samples per image and step."""
    stick_the_landing: bool = False
    """elbo: drop the score term of the posterior, whose mean is zero; quieter close to the optimum."""
    doubly_reparameterized: bool = False
    """iwae: the doubly reparameterized gradient (DReG), which does not fade as k grows."""
    hidden: int | None = None
    """Hidden units of encoder and of decoder; by default 64 for images up to 8x8, else 400."""
    latent: int | None = None
    """Dimensions of the latent; by default 8 for images up to 8x8, else 20."""
    epochs: int = 100
    """Passes over the training images."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch: int = 100
    """Images per step, over all processes."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    nll_samples: int = 100
    """Importance samples per test image for the final negative log-likelihood."""


# --- the model --------------------------------------------------------------------------------------------------------


SMALL, LARGE = (64, 8), (400, 20)  # hidden units and latent dimensions
SMALL_PIXELS = 64


class VAE(nn.Module):
    """Encoder and decoder; pixels are on or off.

    Args:
        networks: from images to what the family asks for, and from z to the logits of the pixels.
        latent: dimensions of z.
        family: a row of `LATENTS`: how the encoder's output becomes q(z | x), and p(z).
    """

    zeros: Tensor

    def __init__(self, networks: Networks, latent: int, family: LatentFamily = LATENTS["normal"]) -> None:
        super().__init__()
        self.family = family
        self.encoder, self.decoder = networks
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def posterior(self, images: Tensor) -> Distribution:
        """q(z | x), of batch shape (batch,), for images of shape (batch, pixels)."""
        return self.family.posterior(self.encoder(images))

    def prior(self) -> Distribution:
        """p(z)."""
        return self.family.prior(self.zeros)

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """The log-likelihood log p(x | z) in nats, shape (samples, batch), for z of shape (samples, batch, latent)."""
        logits = self.decoder(z)
        return -nn.functional.binary_cross_entropy_with_logits(logits, images.expand_as(logits), reduction="none").sum(
            -1
        )

    def paint(self, z: Tensor) -> Tensor:
        """The probability of each pixel to be on, shape (..., pixels)."""
        return self.decoder(z).sigmoid()

    def dream(self, count: int, noise: torch.Generator) -> Tensor:
        """Latents of images that are not there."""
        return rp.rsample(self.prior(), (count,), noise=noise)


class TwoLayerVAE(VAE):
    """A second latent above the first: q(z | x) q(above | z) against p(x | z) p(z | above) p(above), all normal."""

    def __init__(self, networks: Networks, hidden: int, latent: int) -> None:
        super().__init__(networks, latent)
        top = max(1, latent // 2)
        self.up = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, 2 * top))
        self.down = nn.Sequential(nn.Linear(top, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.top_zeros = nn.Buffer(torch.zeros(top), persistent=False)

    def prior(self) -> Distribution:
        """p(above)."""
        return self.family.prior(self.top_zeros)

    def log_weight(self, images: Tensor, samples: int, noise: Noise) -> Tensor:
        """The log-weight log p(x, z, above) - log q(z, above | x) of each sample, shape (samples, batch)."""
        posterior = self.posterior(images)
        z = rp.rsample(posterior, (samples,), noise=noise)
        higher = normal_posterior(self.up(z))
        above = rp.rsample(higher, noise=noise.at(noise.step, variable=1) if isinstance(noise, Philox) else noise)
        joint = self.log_likelihood(images, z) + normal_posterior(self.down(above)).log_prob(z)
        return joint + self.prior().log_prob(above) - posterior.log_prob(z) - higher.log_prob(above)

    def dream(self, count: int, noise: torch.Generator) -> Tensor:
        """Latents of images that are not there."""
        return rp.rsample(normal_posterior(self.down(super().dream(count, noise))), noise=noise)


Noise: TypeAlias = "torch.Generator | Philox"


def build(config: Config, dataset: Dataset) -> VAE:
    """The untrained model, its weights drawn from the seed; sizes that are left open follow the images."""
    default = SMALL if math.prod(dataset.image_shape) <= SMALL_PIXELS else LARGE
    hidden, latent = config.hidden or default[0], config.latent or default[1]
    family = LATENTS[config.family]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        networks = NETWORKS[config.network](dataset.image_shape, hidden, latent, family.outputs(latent))
        return VAE(networks, latent, family) if config.layers == 1 else TwoLayerVAE(networks, hidden, latent)


# --- the objective ----------------------------------------------------------------------------------------------------


def bound(model: VAE, prior: Distribution, images: Tensor, config: Config, noise: Noise) -> Tensor:
    """The bound on log p(x) that the run raises, one number per image."""
    if isinstance(model, TwoLayerVAE):
        log_weight = model.log_weight(images, config.k, noise)
        return log_weight.mean(0) if config.objective == "elbo" else log_weight.logsumexp(0) - math.log(config.k)

    def log_likelihood(z: Tensor) -> Tensor:
        return model.log_likelihood(images, z)

    posterior = model.posterior(images)
    if config.objective == "iwae":
        return rp.objectives.iwae(
            log_likelihood,
            posterior,
            prior,
            samples=config.k,
            doubly_reparameterized=config.doubly_reparameterized,
            noise=noise,
        )
    return rp.objectives.elbo(
        log_likelihood,
        posterior,
        prior,
        samples=config.k,
        stick_the_landing=config.stick_the_landing,
        noise=noise,
    )


@torch.no_grad()
def held_out(model: VAE, images: Tensor, objective: Literal["elbo", "iwae"], samples: int) -> float:
    """The mean bound of images that were not trained on, in nats, always with the same binarisation and noise.

    With `iwae` and many samples this is the importance-sampled log-likelihood, log mean_s p(x, z_s) / q(z_s | x).
    """
    noise = torch.Generator(images.device).manual_seed(EVALUATION_SEED)
    figures = Config(objective=objective, k=samples)
    rows = max(1, CHUNK // (samples * images.shape[-1]))
    binary = torch.bernoulli(images, generator=noise)
    bounds = [bound(model, model.prior(), chunk, figures, noise) for chunk in binary.split(rows)]
    return torch.cat(bounds).mean().item()


EVALUATION_SEED = 1797  # a constant, so that runs of any seed are measured on the same binary images
EVALUATION_SAMPLES = 16
CHUNK = 2**23  # pixels decoded at once in an evaluation: 32 MiB


# --- the training -----------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/vae-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or the bound is no longer finite.
        DataError: the data cannot be read, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> summary = train(Config(epochs=2), tempfile.mkdtemp(), console=Console(quiet=True))
        >>> -45 < summary["test_elbo"] < -30
        True
    """
    return engine.run("vae", config, Training, out, **how)


class Training(engine.Training):
    """Raise the bound with Adam; one line of metrics per epoch."""

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.dataset = load(config.data, config.data_root)
        self.images = self.dataset.train_images.flatten(1).to(machine.device)
        self.test_images = self.dataset.test_images.flatten(1).to(machine.device)
        self.order = Order(len(self.images), config.batch, config.seed, machine)
        self.weights = self.model = build(config, self.dataset)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, fused=True)
        self.learner = machine.learner(self.model, self._loss, optimizer)
        self.state = {"learner": self.learner}
        self.prior = self.model.prior()
        self.steps = config.steps or config.epochs * self.order.steps_per_epoch
        self.log_every = self.order.steps_per_epoch
        # The threads of a small model would only wait for each other.
        self.threads = 1 if self.images.shape[1] <= SMALL_PIXELS else None

    def _loss(self, model: VAE, images: Tensor, noise: Philox) -> Tensor:
        prior = model.prior() if isinstance(model, TwoLayerVAE) else self.prior
        return -bound(model, prior, images, self.config, noise)

    def step(self, step: int) -> Figures:
        """One global batch, binarised anew."""
        share = self.order.share(step)
        images = share.bernoulli(self.images.index_select(0, share.rows))
        losses = self.learner.step(images, share.noise(self.config.k), of=share.total)
        return {f"train_{self.config.objective}": -losses}

    def evaluate(self, step: int) -> Figures:
        """The bound of the test images, from one sample each."""
        epoch = math.ceil(step / self.order.steps_per_epoch)
        return {"epoch": epoch, "test_elbo": held_out(self.model, self.test_images, "elbo", 1)}

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final bound and likelihood, and the pictures."""
        config = self.config
        draw_pictures(self.model, self.dataset, folder.history(), config, folder.path)
        return {
            "data": config.data,
            "family": config.family,
            "objective": config.objective,
            "epochs": config.epochs,
            "test_elbo": held_out(self.model, self.test_images, "elbo", EVALUATION_SAMPLES),
            "test_nll": -held_out(self.model, self.test_images, "iwae", config.nll_samples),
            "nll_samples": config.nll_samples,
            "attribution": self.dataset.attribution,
        }


def _check(config: Config) -> None:
    for name in ("k", "hidden", "latent", "epochs", "steps", "batch", "nll_samples"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    rate = config.learning_rate
    require(0 < rate < math.inf, "learning_rate", rate, "a positive number, such as 1e-3")
    require(config.family in LATENTS, "family", config.family, f"one of {', '.join(LATENTS)}")
    require(config.network in NETWORKS, "network", config.network, f"one of {', '.join(NETWORKS)}")
    least = LATENTS[config.family].least
    fits = config.latent is None or config.latent >= least
    require(fits, "latent", config.latent, f"at least {least} dimensions for family {config.family}")
    require(config.objective in ("elbo", "iwae"), "objective", config.objective, "elbo or iwae")
    if config.stick_the_landing:
        require(config.objective == "elbo", "stick_the_landing", True, "objective elbo with it")
    if config.doubly_reparameterized:
        require(config.objective == "iwae", "doubly_reparameterized", True, "objective iwae with it")
        require(not config.compile, "compile", True, "doubly_reparameterized without it, as it cannot be compiled")
    require(config.layers in (1, 2), "layers", config.layers, "1 or 2")
    if config.layers == 2:
        plain = not (config.stick_the_landing or config.doubly_reparameterized)
        require(plain and config.family == "normal", "layers", 2, "family normal and the plain gradient with it")


# --- what is left behind ----------------------------------------------------------------------------------------------


@torch.no_grad()
def draw_pictures(model: VAE, dataset: Dataset, history: list[dict[str, float]], config: Config, folder: Path) -> None:
    """Reconstructions of test images beside their originals, images painted from the prior, and the loss curve."""
    device = model.zeros.device
    noise = torch.Generator(device).manual_seed(EVALUATION_SEED)
    originals = dataset.test_images[:36]
    z = rp.rsample(model.posterior(originals.flatten(1).to(device)), noise=noise)
    pictures.save_pairs(folder / "reconstructions.png", originals, model.paint(z).view_as(originals))
    painted = model.paint(model.dream(96, noise)).unflatten(-1, dataset.image_shape)
    pictures.save_grid(folder / "samples.png", painted)
    trained = "ELBO" if config.objective == "elbo" else f"IWAE-{config.k}"
    curves = {
        f"training {trained}": [-row[f"train_{config.objective}"] for row in history],
        "test ELBO": [-row["test_elbo"] for row in history],
    }
    pictures.save_curve(folder / "loss.png", curves, ylabel="loss: negative bound, nats per image")


def restore(folder: str | Path) -> tuple[VAE, Dataset, Config]:
    """The trained model of a run folder, with its data and its configuration.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those of the configuration.
    """
    config = replace(read_config(Path(folder) / CONFIG, Config), accelerator="cpu")
    dataset = load(config.data, config.data_root)
    model = build(config, dataset)
    load_weights(model, Path(folder) / WEIGHTS)
    return model, dataset, config
