"""A variational autoencoder, trained through the reparameterization trick.

A decoder p(x | z) paints an image x from a latent z with a simple prior p(z); an encoder q(z | x) guesses the latent
back from the image. Both learn by raising one number, the evidence lower bound:

    log p(x)  >=  ELBO(x)  =  E_{q(z|x)}[ log p(x | z) ]  -  KL( q(z | x) || p(z) )

The expectation is over z drawn from the encoder's own output, so its gradient must pass through a random sample. That
is what `rp.objectives.elbo` does: it draws z = loc + scale * eps, and the chain rule runs from the decoder through z
into loc and scale, and so into every weight of the encoder. That is the formula of the default, a normal latent; for
the other kinds in `latents.py`, on a sphere, positive, bounded or of several modes, z moves by a formula of its own.

Run it with `reparam train vae`; read it from top to bottom: what can be chosen, the model, the objective, the loop,
the figures and pictures that are left behind.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes, ICLR.
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders, ICLR (`objective=iwae`, the NLL).
    Salakhutdinov, Murray (2008), On the Quantitative Analysis of Deep Belief Networks, ICML (dynamic binarisation).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.distributions import Distribution

import reparam as rp
from reparam.errors import InvalidArgument
from reparam.recipes import pictures
from reparam.recipes.data import Dataset, load
from reparam.recipes.latents import LATENTS, FamilyName, LatentFamily
from reparam.recipes.runs import CONFIG, WEIGHTS, RunFolder, load_weights, read_config

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """Train a variational autoencoder on images."""

    data: str = "digits"
    """digits (embedded), fashion-mnist, mnist, or the path of a folder of IDX or .npy files."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    family: FamilyName = "normal"
    """What a latent is: a normal, a point on a sphere, positive (gamma), in (0, 1) (beta), or of several modes."""
    objective: Literal["elbo", "iwae"] = "elbo"
    """The bound to raise: elbo, or iwae, which is tighter with more samples."""
    k: int = 1
    """Latent samples per image and step."""
    stick_the_landing: bool = False
    """elbo: drop the score term of the posterior, whose mean is zero; quieter close to the optimum."""
    doubly_reparameterized: bool = False
    """iwae: the doubly reparameterized gradient, which does not fade as k grows."""
    hidden: int | None = None
    """Hidden units of encoder and of decoder; by default 64 for images up to 8x8, else 400."""
    latent: int | None = None
    """Dimensions of the latent; by default 8 for images up to 8x8, else 20."""
    epochs: int = 100
    """Passes over the training images."""
    batch: int = 100
    """Images per step."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    nll_samples: int = 100
    """Importance samples per test image for the final negative log-likelihood."""
    seed: int = 0
    """Everything random (weights, order, binarisation, latents) follows from this number."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, ..."""
    threads: int | None = None
    """Threads of the CPU; by default 1 for images up to 8x8, whose threads would only wait for each other."""


# --- the model --------------------------------------------------------------------------------------------------------


SMALL, LARGE = (64, 8), (400, 20)  # hidden units and latent dimensions
SMALL_PIXELS = 64


class VAE(nn.Module):
    """Encoder and decoder, each with one hidden layer; pixels are on or off.

    Args:
        pixels: pixels of an image.
        hidden: hidden units of each network.
        latent: dimensions of z.
        family: a row of `LATENTS`: what the encoder emits, how that becomes q(z | x), and p(z).
    """

    zeros: Tensor

    def __init__(self, pixels: int, hidden: int, latent: int, family: LatentFamily = LATENTS["normal"]) -> None:
        super().__init__()
        self.family = family
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, family.outputs(latent)))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))
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


def build(config: Config, dataset: Dataset) -> VAE:
    """The untrained model, its weights drawn from the seed; sizes that are left open follow the images."""
    pixels = math.prod(dataset.image_shape)
    hidden, latent = SMALL if pixels <= SMALL_PIXELS else LARGE
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        model = VAE(pixels, config.hidden or hidden, config.latent or latent, LATENTS[config.family])
    return model.to(config.device)


# --- the objective ----------------------------------------------------------------------------------------------------


def bound(model: VAE, prior: Distribution, images: Tensor, config: Config, noise: torch.Generator) -> Tensor:
    """The bound on log p(x) that the run raises, one number per image."""

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


# --- the loop ---------------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, console: Console | None = None) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/vae-<number>`.
        console: where the progress bar goes; by default standard error.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or the bound is no longer finite.
        DataError: the data cannot be read, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> out = tempfile.mkdtemp()
        >>> summary = train(Config(epochs=2), out, Console(quiet=True))
        >>> -45 < summary["test_elbo"] < -30
        True
    """
    started = time.perf_counter(), time.process_time()
    _check(config)
    dataset = load(config.data, config.data_root)
    folder = RunFolder(out, config, "vae")
    with _threads(config, dataset):
        model = build(config, dataset)
        history = fit(model, dataset, config, folder, console or Console(stderr=True))
        folder.save_weights(model)
        draw_pictures(model, dataset, history, config, folder)
        test_images = _flat(dataset.test_images, config.device)
        test_elbo = held_out(model, test_images, "elbo", EVALUATION_SAMPLES)
        test_nll = -held_out(model, test_images, "iwae", config.nll_samples)
    summary = {
        "recipe": "vae",
        "data": config.data,
        "family": config.family,
        "objective": config.objective,
        "seed": config.seed,
        "epochs": config.epochs,
        "test_elbo": test_elbo,
        "test_nll": test_nll,
        "nll_samples": config.nll_samples,
        "wall_seconds": round(time.perf_counter() - started[0], 3),
        "cpu_seconds": round(time.process_time() - started[1], 3),
        "torch": torch.__version__,
        "reparam": rp.__version__,
        "attribution": dataset.attribution,
    }
    folder.save_summary(summary)
    return {**summary, "folder": str(folder.path)}


@contextmanager
def _threads(config: Config, dataset: Dataset) -> Iterator[None]:
    before = torch.get_num_threads()
    small = math.prod(dataset.image_shape) <= SMALL_PIXELS
    torch.set_num_threads(config.threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(model: VAE, dataset: Dataset, config: Config, folder: RunFolder, console: Console) -> list[dict[str, float]]:
    """Raise the bound with Adam; one line of metrics per epoch."""
    images = _flat(dataset.train_images, config.device)
    test_images = _flat(dataset.test_images, config.device)
    noise = torch.Generator(config.device).manual_seed(config.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    prior = model.prior()
    started = time.process_time()
    history = []
    with _progress(console) as progress:
        task = progress.add_task("ELBO", total=config.epochs * math.ceil(len(images) / config.batch), elbo="")
        for epoch in range(1, config.epochs + 1):
            total = torch.zeros((), device=config.device)
            for rows in torch.randperm(len(images), generator=noise, device=config.device).split(config.batch):
                batch = torch.bernoulli(images[rows], generator=noise)
                objective = bound(model, prior, batch, config, noise)
                optimizer.zero_grad()
                (-objective.mean()).backward()
                optimizer.step()
                total += objective.detach().sum()
                progress.advance(task)
            metrics = {
                "epoch": epoch,
                f"train_{config.objective}": _finite(total.item() / len(images), epoch, config),
                "test_elbo": held_out(model, test_images, "elbo", 1),
                "cpu_seconds": round(time.process_time() - started, 3),
            }
            folder.log(**metrics)
            history.append(metrics)
            progress.update(task, elbo=f"{metrics['test_elbo']:.2f} nats")
    return history


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("test ELBO {task.fields[elbo]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def _finite(value: float, epoch: int, config: Config) -> float:
    if math.isfinite(value):
        return value
    raise InvalidArgument(
        "the training diverged: the bound is no longer finite",
        received=f"{config.objective} = {value} in epoch {epoch}, learning rate {config.learning_rate}",
        instead=f"a smaller learning rate, such as {config.learning_rate / 10:.1g}",
    )


def _check(config: Config) -> None:
    for name in ("k", "hidden", "latent", "epochs", "batch", "nll_samples", "threads"):
        value = getattr(config, name)
        _require(value is None or value >= 1, name, value, "a whole number of at least 1")
    _require(0 <= config.seed < 2**63, "seed", config.seed, "a whole number from 0 to 2**63 - 1")
    _require(
        0 < config.learning_rate < math.inf,
        "learning_rate",
        config.learning_rate,
        "a positive number, such as 1e-3",
    )
    _require(config.family in LATENTS, "family", config.family, f"one of {', '.join(LATENTS)}")
    least = LATENTS[config.family].least
    fits = config.latent is None or config.latent >= least
    _require(fits, "latent", config.latent, f"at least {least} dimensions for family {config.family}")
    _require(config.objective in ("elbo", "iwae"), "objective", config.objective, "elbo or iwae")
    if config.stick_the_landing:
        _require(config.objective == "elbo", "stick_the_landing", True, "objective elbo with it")
    if config.doubly_reparameterized:
        _require(config.objective == "iwae", "doubly_reparameterized", True, "objective iwae with it")
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidArgument(
            "this torch cannot use the device",
            received=f"device = {config.device!r} ({str(error).splitlines()[0]})",
            instead="device cpu, or cuda on a machine that has it",
        ) from error


def _require(condition: bool, name: str, value: object, instead: str) -> None:
    if not condition:
        raise InvalidArgument(
            f"{name} has a value that cannot train a VAE", received=f"{name} = {value!r}", instead=instead
        )


def _flat(images: Tensor, device: str) -> Tensor:
    return images.flatten(1).to(device)


# --- what is left behind ----------------------------------------------------------------------------------------------


@torch.no_grad()
def draw_pictures(
    model: VAE, dataset: Dataset, history: list[dict[str, float]], config: Config, folder: RunFolder
) -> None:
    """Reconstructions of test images beside their originals, images painted from the prior, and the loss curve."""
    noise = torch.Generator(config.device).manual_seed(EVALUATION_SEED)
    originals = dataset.test_images[:36]
    z = rp.rsample(model.posterior(_flat(originals, config.device)), noise=noise)
    pictures.save_pairs(folder.path / "reconstructions.png", originals, model.paint(z).view_as(originals))
    z = rp.rsample(model.prior(), (96,), noise=noise)
    pictures.save_grid(folder.path / "samples.png", model.paint(z).unflatten(-1, dataset.image_shape))
    trained = "ELBO" if config.objective == "elbo" else f"IWAE-{config.k}"
    curves = {
        f"training {trained}": [-row[f"train_{config.objective}"] for row in history],
        "test ELBO": [-row["test_elbo"] for row in history],
    }
    pictures.save_curve(folder.path / "loss.png", curves, ylabel="loss: negative bound, nats per image")


def restore(folder: str | Path) -> tuple[VAE, Dataset, Config]:
    """The trained model of a run folder, with its data and its configuration.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those of the configuration.
    """
    config = replace(read_config(Path(folder) / CONFIG, Config), device="cpu")
    dataset = load(config.data, config.data_root)
    model = build(config, dataset)
    load_weights(model, Path(folder) / WEIGHTS)
    return model, dataset, config
