r"""A variational autoencoder whose latents are discrete: coins, categories or counts.

The bound is that of every VAE,

    log p(x)  >=  ELBO(x)  =  E_{q(z|x)}[ log p(x | z) ]  -  KL( q(z | x) || p(z) )

but z is drawn from a discrete law, so it cannot move when the encoder's output moves: the trick of `vae.py` has nothing
to differentiate. What moves is the expectation, and an estimator says how. Any of the library's serves, by the name it
has in Python: `--estimator DisARM`, `--estimator "LeaveOneOut(4)"`, `--estimator "ReinMax(1.1)"`. Unbiased ones
evaluate the decoder several times; surrogates evaluate it once and are biased (`summary.json` says which it was). The
one line that differs from `vae.py` is the `estimator=` in `bound`.

Run it with `reparam train discrete-vae`. The networks and the protocol are those of the papers on binary VAEs: one
linear layer, or two hidden ones of leaky rectifiers; inputs centred on their mean; a fixed prior; dynamic binarisation.

References:
    Dong, Mnih, Tucker (2020), DisARM: An Antithetic Gradient Estimator for Binary Latent Variables, NeurIPS (protocol).
    Jang, Gu, Poole (2017), Categorical Reparameterization with Gumbel-Softmax, ICLR (categorical latents).
    Vafaii, Galor, Yates (2024), Poisson Variational Autoencoder, NeurIPS (counts).
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders, ICLR (the negative log-likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Binomial, Distribution, Independent, OneHotCategorical, Poisson

import reparam as rp
from reparam.noise import Noise
from reparam.recipes import engine, pictures
from reparam.recipes.data import Dataset, load
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.estimator_names import estimator_named
from reparam.recipes.keyed import Order
from reparam.recipes.latents import positive
from reparam.recipes.runs import CONFIG, WEIGHTS, load_weights, read_config

FamilyName: TypeAlias = Literal["bernoulli", "categorical", "binomial", "poisson", "truncated-poisson"]

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a variational autoencoder with discrete latents on images."""

    data: str = "digits"
    """digits (embedded), fashion-mnist, mnist, or the path of a folder of IDX or .npy files."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    family: FamilyName = "bernoulli"
    """What a latent is: a coin, one of several categories, or a count: binomial, poisson, or poisson cut off."""
    estimator: str = "LeaveOneOut(4)"
    """How the gradient is estimated, as in Python: DisARM, ARMS(4), ReinMax(1.1), MeasureValued, Fini(2), ..."""
    levels: int = 8
    """Of a categorical its categories, of a binomial its trials, of a truncated poisson its largest count."""
    network: Literal["linear", "nonlinear"] = "nonlinear"
    """Encoder and decoder: one linear layer, or two hidden layers of leaky rectifiers."""
    kl: Literal["analytic", "monte-carlo"] = "analytic"
    """The divergence from the prior in closed form, or by the same draws as the rest, as in the papers' protocol."""
    hidden: int | None = None
    """Units of each hidden layer; by default 64 for images up to 8x8, else 200."""
    latent: int | None = None
    """Number of latents; by default 20 for images up to 8x8, else 200."""
    epochs: int = 100
    """Passes over the training images."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch: int = 100
    """Images per step, over all processes."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    control_learning_rate: float = 1e-3
    """Step size of Adam for what the estimator trains of its own, as in the papers."""
    nll_samples: int = 100
    """Importance samples per test image for the final negative log-likelihood."""


# --- the kinds of latent ----------------------------------------------------------------------------------------------


class DiscreteFamily(NamedTuple):
    """A kind of latent, of a number of `levels` where it needs one."""

    numbers: Callable[[int], int]
    """How many numbers the encoder emits for a latent, from the levels."""
    law: Callable[[Tensor, int], Distribution]
    """From those numbers, shape (..., latents, numbers), to a law over all latents; zeros make the prior."""
    features: Callable[[Tensor, int], Tensor]
    """From z to what the decoder takes, shape (..., features)."""


# Not validated: parameters are in range by construction, and the loop stops where the bound is no longer finite.


def _coins(output: Tensor, _: int) -> Distribution:
    return Independent(Bernoulli(logits=output.squeeze(-1), validate_args=False), 1, validate_args=False)


def _categories(output: Tensor, _: int) -> Distribution:
    return Independent(OneHotCategorical(logits=output, validate_args=False), 1, validate_args=False)


def _trials(output: Tensor, levels: int) -> Distribution:
    return Independent(Binomial(levels, logits=output.squeeze(-1), validate_args=False), 1, validate_args=False)


def _counts(output: Tensor, _: int) -> Distribution:
    return Independent(Poisson(positive(output.squeeze(-1)), validate_args=False), 1, validate_args=False)


def _few_counts(output: Tensor, levels: int) -> Distribution:
    """A Poisson given that it is at most `levels`, as a choice among its values, for what needs finitely many."""
    count = torch.arange(levels + 1, dtype=output.dtype, device=output.device)
    return _categories(count * positive(output).log() - torch.lgamma(count + 1), levels)


def _value(z: Tensor, levels: int) -> Tensor:
    return z @ torch.arange(levels + 1, dtype=z.dtype, device=z.device)


FAMILIES: dict[FamilyName, DiscreteFamily] = {
    "bernoulli": DiscreteFamily(lambda _: 1, _coins, lambda z, _: z),
    "categorical": DiscreteFamily(lambda levels: levels, _categories, lambda z, _: z.flatten(-2)),
    "binomial": DiscreteFamily(lambda _: 1, _trials, lambda z, levels: z / levels),
    "poisson": DiscreteFamily(lambda _: 1, _counts, lambda z, _: z),
    "truncated-poisson": DiscreteFamily(lambda _: 1, _few_counts, _value),
}


# --- the model --------------------------------------------------------------------------------------------------------

SMALL, LARGE = (64, 20), (200, 200)  # hidden units and number of latents
SMALL_PIXELS = 64
SLOPE = 0.3  # of the leaky rectifiers


class DiscreteVAE(nn.Module):
    """Encoder and decoder, and what the estimator trains of its own; pixels are on or off.

    Args:
        config: family, sizes and estimator.
        mean: the mean training image, which inputs are centred on and the decoder begins at.
    """

    mean: Tensor
    zeros: Tensor

    def __init__(self, config: Config, mean: Tensor) -> None:
        super().__init__()
        self.family, self.levels = FAMILIES[config.family], config.levels
        self.kl: Literal["analytic", "monte-carlo"] = config.kl
        default = SMALL if len(mean) <= SMALL_PIXELS else LARGE
        hidden, latent = config.hidden or default[0], config.latent or default[1]
        self.numbers = self.family.numbers(config.levels)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("zeros", torch.zeros(latent, self.numbers), persistent=False)
        layers = [hidden, hidden] if config.network == "nonlinear" else []
        self.encoder = _network([len(mean), *layers, latent * self.numbers])
        features = self.family.features(self.prior().sample(), self.levels).shape[-1]
        self.decoder = _network([features, *layers, len(mean)])
        self.decoder[-1].bias = nn.Parameter(mean.clamp(0.001, 0.999).logit())
        self.estimator = estimator_named(config.estimator)
        self.controls = nn.ModuleList(v for v in vars(self.estimator).values() if isinstance(v, nn.Module))

    def posterior(self, images: Tensor) -> Distribution:
        """q(z | x), of batch shape (batch,), for images of shape (batch, pixels)."""
        return self.family.law(self.encoder(images - self.mean).unflatten(-1, (-1, self.numbers)), self.levels)

    def prior(self) -> Distribution:
        """p(z): fair coins, equal categories, binomials of a fair coin, or Poisson laws of rate one."""
        return self.family.law(self.zeros, self.levels)

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """The log-likelihood log p(x | z) in nats, shape (samples, batch), for z of shape (samples, batch, ...)."""
        logits = self.decoder(self.family.features(z, self.levels))
        return -nn.functional.binary_cross_entropy_with_logits(logits, images.expand_as(logits), reduction="none").sum(
            -1
        )

    def bound(self, images: Tensor, noise: Noise = None) -> Tensor:
        """The bound, one number for each image, with the gradient that the estimator makes."""
        posterior = self.posterior(images)
        return rp.objectives.elbo(
            lambda z: self.log_likelihood(images, z),
            posterior,
            self.prior().expand(posterior.batch_shape),  # torch's divergence of Bernoullis does not broadcast
            kl=self.kl,
            estimator=self.estimator,
            noise=noise,
        )

    def paint(self, z: Tensor) -> Tensor:
        """The probability of each pixel to be on, shape (..., pixels)."""
        return self.decoder(self.family.features(z, self.levels)).sigmoid()


def _network(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def build(config: Config, dataset: Dataset) -> DiscreteVAE:
    """The untrained model, its weights drawn from the seed; sizes that are left open follow the images."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return DiscreteVAE(config, dataset.train_images.flatten(1).mean(0))


@torch.no_grad()
def held_out(model: DiscreteVAE, images: Tensor, samples: int) -> tuple[float, float]:
    """The mean bound of images, and their importance-sampled NLL, in nats, always with the same binary images."""
    noise = torch.Generator(images.device).manual_seed(EVALUATION_SEED)
    binary = torch.bernoulli(images, generator=noise)
    bounds, likelihoods = [], []
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(EVALUATION_SEED)
        for chunk in binary.split(max(1, CHUNK // (samples * images.shape[-1]))):
            posterior = model.posterior(chunk)
            z = posterior.sample(torch.Size((samples,)))
            log_weight = model.log_likelihood(chunk, z) + model.prior().log_prob(z) - posterior.log_prob(z)
            bounds.append(log_weight.mean(0))
            likelihoods.append(log_weight.logsumexp(0) - math.log(samples))
    return torch.cat(bounds).mean().item(), -torch.cat(likelihoods).mean().item()


EVALUATION_SEED = 1797  # a constant, so that runs of any seed are measured on the same binary images
CHUNK = 2**23  # pixels decoded at once in an evaluation: 32 MiB


# --- the training -----------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/discrete-vae-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, the estimator cannot serve the latents, or the bound is no
            longer finite.
        DataError: the data cannot be read, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> config = Config(epochs=2, estimator="DisARM")
        >>> summary = train(config, tempfile.mkdtemp(), console=Console(quiet=True))
        >>> -45 < summary["test_elbo"] < -25
        True
    """
    return engine.run("discrete-vae", config, Training, out, **how)


class Training(engine.Training):
    """Raise the bound with Adam; one line of metrics per epoch."""

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.dataset = load(config.data, config.data_root)
        self.images = self.dataset.train_images.flatten(1).to(machine.device)
        self.test_images = self.dataset.test_images.flatten(1).to(machine.device)
        self.order = Order(len(self.images), config.batch, config.seed, machine)
        self.world, self.part = machine.world, 1.0
        self.weights = self.model = build(config, self.dataset)
        # An estimator that cannot serve these latents says so here, before a folder is made.
        self.model.bound(self.dataset.train_images[:2].flatten(1).round(), torch.Generator().manual_seed(0))
        controls = {"params": list(self.model.controls.parameters()), "lr": config.control_learning_rate}
        networks = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        optimizer = torch.optim.Adam([{"params": networks}, controls], lr=config.learning_rate)
        self.learner = machine.learner(self.model, self._loss, optimizer)
        for parameter in self.model.controls.parameters():
            parameter.register_post_accumulate_grad_hook(self._as_of_the_whole)
        self.state = {"learner": self.learner}
        self.steps = config.steps or config.epochs * self.order.steps_per_epoch
        self.log_every = self.order.steps_per_epoch
        # The threads of a small model would only wait for each other.
        self.threads = 1 if self.images.shape[1] <= SMALL_PIXELS else None

    def _loss(self, model: DiscreteVAE, images: Tensor, noise: Noise) -> Tensor:
        return -model.bound(images, noise)

    def _as_of_the_whole(self, parameter: Tensor) -> None:
        """A control variate learns from the mean over the rows here; how many they are counts in that over all."""
        if parameter.grad is not None:
            parameter.grad *= self.part

    def step(self, step: int) -> Figures:
        """One global batch, binarised anew."""
        share = self.order.share(step)
        images = share.bernoulli(self.images[share.rows])
        self.part = self.world * len(share.rows) / share.total
        return {"train_elbo": -self.learner.step(images, share.particles(), of=share.total)}

    def evaluate(self, step: int) -> Figures:
        """The bound of the test images, from one sample each."""
        epoch = math.ceil(step / self.order.steps_per_epoch)
        return {"epoch": epoch, "test_elbo": held_out(self.model, self.test_images, 1)[0]}

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final bound and likelihood, and the pictures."""
        config, history = self.config, folder.history()
        draw_pictures(self.model, self.dataset, history, folder.path)
        test_elbo, test_nll = held_out(self.model, self.test_images, config.nll_samples)
        return {
            "data": config.data,
            "family": config.family,
            "estimator": repr(self.model.estimator),
            "unbiased": self.model.estimator.unbiased,
            "evaluations": self.model.estimator.evaluations(self.model.prior()),
            "train_elbo": history[-1]["train_elbo"],
            "test_elbo": test_elbo,
            "test_nll": test_nll,
            "nll_samples": config.nll_samples,
            "attribution": self.dataset.attribution,
        }


def _check(config: Config) -> None:
    for name in ("levels", "hidden", "latent", "epochs", "steps", "batch", "nll_samples"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    for name in ("learning_rate", "control_learning_rate"):
        rate = getattr(config, name)
        require(0 < rate < math.inf, name, rate, "a positive number, such as 1e-3")
    words = {"family": tuple(FAMILIES), "network": ("linear", "nonlinear"), "kl": ("analytic", "monte-carlo")}
    for name, known in words.items():
        require(getattr(config, name) in known, name, getattr(config, name), f"one of {', '.join(known)}")
    require(config.family != "categorical" or config.levels > 1, "levels", config.levels, "at least 2 categories")
    require(not config.compile, "compile", True, "no compilation: torch cannot trace a generator that draws")


# --- what is left behind ----------------------------------------------------------------------------------------------


@torch.no_grad()
def draw_pictures(model: DiscreteVAE, dataset: Dataset, history: list[dict[str, float]], folder: Path) -> None:
    """Reconstructions of test images beside their originals, images painted from the prior, and the loss curve."""
    originals = dataset.test_images[:36]
    with torch.random.fork_rng(devices=[model.zeros.device] if model.zeros.is_cuda else []):
        torch.manual_seed(EVALUATION_SEED)
        z = model.posterior(originals.flatten(1).to(model.zeros.device)).sample()
        dreamt = model.prior().sample(torch.Size((96,)))
    pictures.save_pairs(folder / "reconstructions.png", originals, model.paint(z).view_as(originals))
    pictures.save_grid(folder / "samples.png", model.paint(dreamt).unflatten(-1, dataset.image_shape))
    curves = {
        "training ELBO": [-row["train_elbo"] for row in history],
        "test ELBO": [-row["test_elbo"] for row in history],
    }
    pictures.save_curve(folder / "loss.png", curves, ylabel="loss: negative bound, nats per image")


def restore(folder: str | Path) -> tuple[DiscreteVAE, Dataset, Config]:
    """The trained model of a run folder, with its data and its configuration.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those of the configuration.
    """
    config = replace(read_config(Path(folder) / CONFIG, Config), accelerator="cpu")
    dataset = load(config.data, config.data_root)
    model = build(config, dataset)
    load_weights(model, Path(folder) / WEIGHTS)
    return model, dataset, config
