r"""A Bayesian neural network: a distribution over weights instead of one value for each.

Every weight has a normal law of its own, q(w) = N(loc, scale^2), and all together raise the evidence lower bound

    log p(y | x)  >=  E_{q(w)}[ log p(y | x, w) ]  -  KL( q(w) || p(w) )

whose expectation is over a draw of the whole network. Its gradient must pass through that draw, w = loc + scale * eps,
and there are three ways to spend the randomness, all exact in the mean (`--posterior`):

* `weights`: one draw of the weights for a batch. `rp.rsample` with counter-based noise makes eps anew in backward
  instead of storing as many numbers as there are weights. All examples share the draw: their gradients are correlated.
* `local`: the local reparameterization. A sum of normal weights is normal, so each example draws pre-activations of its
  own, y ~ N(x loc, x^2 scale^2): independent examples, quieter gradients, two matrix products.
* `flipout`: one draw for a batch, and for each example its signs turned by s and r: y = x loc + ((x s)(scale eps)) r.
  Nearly independent examples too, and it needs no more of the law of weights than symmetry.

`none` is the ordinary network of the same size, for comparison. Run it with `reparam train bnn` (digits, classified) or
`reparam train bnn --data wave` (a curve with a gap, regressed).

References:
    Blundell, Cornebise, Kavukcuoglu, Wierstra (2015), Weight Uncertainty in Neural Networks, ICML.
    Kingma, Salimans, Welling (2015), Variational Dropout and the Local Reparameterization Trick, NeurIPS.
    Wen, Vicol, Ba, Tran, Grosse (2018), Flipout: Efficient Pseudo-Independent Weight Perturbations, ICLR.
    Wenzel et al. (2020), How Good is the Bayes Posterior in Deep Neural Networks Really?, ICML (`kl_weight`).
    Foong, Burt, Li, Turner (2020), On the Expressiveness of Approximate Inference in Bayesian Neural Networks, NeurIPS
    (why a factorised posterior is too sure between two clusters of data).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Normal, Uniform, kl_divergence

import reparam as rp
from reparam.noise import Philox
from reparam.recipes import engine, pictures
from reparam.recipes.calibration import draw_calibration, quality
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.examples import Examples, examples, wave
from reparam.recipes.keyed import Order, Share

Posterior: TypeAlias = Literal["weights", "local", "flipout", "none"]

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a network with a normal posterior over each of its weights."""

    data: str = "digits"
    """wave (a curve, to regress), or images to classify: digits (embedded), fashion-mnist, mnist, or a folder."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    posterior: Posterior = "local"
    """How the weights' randomness is drawn in training: weights, local or flipout; none trains an ordinary network."""
    hidden: int = 64
    """Units of each of the two hidden layers."""
    prior_scale: float = 1.0
    """Standard deviation of the prior of a weight, times the square root of the units that feed it."""
    initial_scale: float = 0.3
    """That of the posterior at the start, in the same unit."""
    kl_weight: float = 0.1
    """Weight of the divergence from the prior: 1 is Bayes' rule; less makes the posterior colder, and often better."""
    k: int = 1
    """Draws of the network per step."""
    epochs: int = 100
    """Passes over the training data."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch: int = 100
    """Examples per step, over all processes."""
    learning_rate: float = 1e-2
    """Step size of Adam."""
    predictions: int = 100
    """Draws of the network that a prediction is averaged over."""


# --- the model --------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """A linear layer whose weights and biases are independent normals.

    Args:
        inputs, outputs: how many.
        prior_scale: the prior's standard deviation of a bias, and of a weight times sqrt(inputs).
        initial_scale: that of the posterior at the start.
        place: which random variable of a step this layer is.
    """

    prior_scale: Tensor

    def __init__(self, inputs: int, outputs: int, prior_scale: float, initial_scale: float, place: int) -> None:
        super().__init__()
        self.place = place
        # The last row holds the biases, whose input is always one.
        unit = torch.full((inputs + 1, 1), inputs**-0.5)
        unit[-1] = 1.0
        self.register_buffer("prior_scale", prior_scale * unit, persistent=False)
        loc = torch.randn(inputs + 1, outputs) * inputs**-0.5
        loc[-1] = 0.0
        self.loc = nn.Parameter(loc)
        self.log_scale = nn.Parameter((initial_scale * unit).log().expand_as(loc).clone())

    def law(self) -> Normal:
        """q(w)."""
        return Normal(self.loc, self.log_scale.exp(), validate_args=False)

    def kl(self) -> Tensor:
        """The divergence KL(q || p) of all weights, in nats."""
        prior = Normal(torch.zeros_like(self.prior_scale), self.prior_scale, validate_args=False)
        return kl_divergence(self.law(), prior).sum()

    def forward(self, x: Tensor, posterior: Posterior, noise: Noise) -> Tensor:
        """From (draws, examples, inputs) to (draws, examples, outputs), under one draw of the weights each."""
        x = nn.functional.pad(x, (0, 1), value=1.0)
        if posterior == "none":
            return x @ self.loc
        if posterior == "local":
            variance = x.square() @ (2 * self.log_scale).exp()
            return rp.rsample(Normal(x @ self.loc, variance.sqrt(), validate_args=False), noise=noise.each(self.place))
        if posterior == "weights":
            return x @ rp.rsample(self.law(), (len(x),), noise=noise.all(self.place))
        centred = Normal(torch.zeros_like(self.loc), self.log_scale.exp(), validate_args=False)
        signs = rp.rsample(_signs(x, x.shape[-1] + self.loc.shape[-1]), noise=noise.each(self.place)).sign()
        before, after = signs.split([x.shape[-1], self.loc.shape[-1]], -1)
        return x @ self.loc + (x * before) @ rp.rsample(centred, (len(x),), noise=noise.all(self.place)) * after


def _signs(x: Tensor, count: int) -> Uniform:
    """A law whose sign is fair, `count` of them for each row of x."""
    one = x.new_ones(()).expand(*x.shape[:-1], count)
    return Uniform(-one, one, validate_args=False)


class Noise(NamedTuple):
    """The randomness of a step: for what all examples share, and for each example its own."""

    shared: Philox
    own: Philox

    def all(self, place: int) -> Philox:
        """The same on every process; the variables of the second kind come after those of the first."""
        return self.shared.at(self.shared.step, variable=place)

    def each(self, place: int) -> Philox:
        """Keyed by the place of each example over all processes."""
        return self.own.at(self.own.step, variable=LAYERS + place)


LAYERS = 3


class Network(nn.Module):
    """Two hidden layers; what comes out are the logits of classes, or the mean of a normal with a learnt scale.

    Args:
        features: inputs.
        classes: outputs; 0 for a value.
        config: sizes and scales.
    """

    def __init__(self, features: int, classes: int, config: Config) -> None:
        super().__init__()
        self.classes = classes
        widths = [features, config.hidden, config.hidden, classes or 1]
        self.layers = nn.ModuleList(
            Linear(inputs, outputs, config.prior_scale, config.initial_scale, place)
            for place, (inputs, outputs) in enumerate(pairwise(widths))
        )
        if not classes:
            self.log_noise = nn.Parameter(torch.tensor(-1.0))

    def forward(self, x: Tensor, k: int, posterior: Posterior, noise: Noise) -> Distribution:
        """p(y | x, w) under `k` draws, of batch shape (k, examples)."""
        h = x.expand(k, *x.shape)
        for layer in self.layers:
            h = layer(torch.relu(h) if layer is not self.layers[0] else h, posterior, noise)
        if self.classes:
            return Categorical(logits=h, validate_args=False)
        return Normal(h.squeeze(-1), self.log_noise.exp(), validate_args=False)

    def kl(self) -> Tensor:
        """KL(q || p) of the whole network, in nats."""
        return torch.stack([layer.kl() for layer in self.modules() if isinstance(layer, Linear)]).sum()


def build(config: Config, data: Examples) -> Network:
    """The untrained network, its weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        network = Network(data.x.shape[1], data.classes, config)
    if config.posterior == "none":
        for layer in network.layers:
            layer.log_scale.requires_grad_(False)
    return network


@torch.no_grad()
def predict(network: Network, x: Tensor, draws: int, noise: Philox) -> Distribution:
    """p(y | x, w) under each of several draws of the weights, of batch shape (draws, examples)."""
    return network(x, draws, "weights", Noise(noise, noise))


# --- the training -----------------------------------------------------------------------------------------------------

EVALUATION_SEED = 1763


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/bnn-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or the bound is no longer finite.
        DataError: the data cannot be read, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> summary = train(Config(epochs=3), tempfile.mkdtemp(), console=Console(quiet=True))
        >>> summary["test_accuracy"] > 0.5
        True
    """
    return engine.run("bnn", config, Training, out, **how)


class Training(engine.Training):
    """Raise the bound with Adam; one line of metrics per epoch."""

    headline = "test_nll"

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.data = examples(config.data, config.data_root)
        self.x, self.y = self.data.x.to(machine.device), self.data.y.to(machine.device)
        self.test_x, self.test_y = self.data.test_x.to(machine.device), self.data.test_y.to(machine.device)
        self.order = Order(len(self.x), config.batch, config.seed, machine)
        self.weights = self.network = build(config, self.data)
        optimizer = torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=config.learning_rate)
        self.learner = machine.learner(self.network, self._loss, optimizer)
        self.state = {"learner": self.learner}
        self.steps = config.steps or config.epochs * self.order.steps_per_epoch
        self.log_every = self.order.steps_per_epoch
        self.threads = 1 if self.x.shape[1] <= 64 else None  # the threads of a small model would wait for each other

    def _loss(self, network: Network, x: Tensor, y: Tensor, noise: Noise) -> Tensor:
        config = self.config
        fit = network(x, config.k, config.posterior, noise).log_prob(y).mean(0)
        # The divergence is of all the data, so that each example bears its part.
        return -fit if config.posterior == "none" else config.kl_weight * network.kl() / len(self.x) - fit

    def step(self, step: int) -> Figures:
        """One global batch."""
        share = self.order.share(step)
        noise = Noise(Philox(self.config.seed, _as_data(share)), share.noise(self.config.k))
        losses = self.learner.step(self.x[share.rows], self.y[share.rows], noise, of=share.total)
        return {"train_objective": -losses}

    def evaluate(self, step: int) -> Figures:
        """The likelihood of the test examples under a few draws of the network."""
        quality = self._quality(min(10, self.config.predictions))
        epoch = math.ceil(step / self.order.steps_per_epoch)
        return {"epoch": epoch, "test_nll": quality["test_nll"]}

    def _quality(self, draws: int) -> dict[str, float]:
        return quality(self._predictions(draws), self.test_y)

    def _predictions(self, draws: int) -> Distribution:
        """Of the test examples; those of an ordinary network are all alike, so one is enough."""
        noise = Philox(EVALUATION_SEED)
        if self.config.posterior == "none":
            with torch.no_grad():
                return self.network(self.test_x, 1, "none", Noise(noise, noise))
        return predict(self.network, self.test_x, draws, noise)

    @torch.no_grad()
    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final figures, beside those of the network whose weights stand at their means, and the pictures."""
        noise = Philox(EVALUATION_SEED)
        averaged = self._predictions(self.config.predictions)
        plugged = self.network(self.test_x, 1, "none", Noise(noise, noise))
        draw_pictures(self, {"weights averaged": averaged, "weights at their means": plugged}, folder)
        at_means = {f"{name}_at_means": value for name, value in quality(plugged, self.test_y).items()}
        return {
            "data": self.config.data,
            "posterior": self.config.posterior,
            "epochs": self.config.epochs,
            **quality(averaged, self.test_y),
            **at_means,
            "kl": self.network.kl().item(),
            "attribution": self.data.attribution,
        }


def _as_data(share: Share) -> Tensor:
    """The step as a tensor, which is data to a compiled step, where an int would compile it anew."""
    return torch.full((), share.step, device=share.rows.device)


def _check(config: Config) -> None:
    for name in ("hidden", "k", "epochs", "steps", "batch", "predictions"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    for name, example in (("learning_rate", 1e-2), ("prior_scale", 1.0), ("initial_scale", 0.3), ("kl_weight", 0.1)):
        value = getattr(config, name)
        require(0 < value < math.inf, name, value, f"a positive number, such as {example}")
    names = ("weights", "local", "flipout", "none")
    require(config.posterior in names, "posterior", config.posterior, f"one of {', '.join(names)}")


# --- what is left behind ----------------------------------------------------------------------------------------------


def draw_pictures(training: Training, predictions: dict[str, Distribution], folder: RunFolder) -> None:
    """The loss, the calibration curve, and for the curve with a gap what the network believes."""
    history = folder.history()
    curves = {
        "training bound": [-row["train_objective"] for row in history],
        "test likelihood": [row["test_nll"] for row in history],
    }
    pictures.save_curve(folder.path / "loss.png", curves, ylabel="loss, nats per example")
    draw_calibration(predictions, training.test_y, folder.path / "calibration.png")
    if training.config.data == "wave":
        draw_beliefs(training, folder.path / "regression.png")


@torch.no_grad()
def draw_beliefs(training: Training, path: Path) -> None:
    """The mean of the curve, two standard deviations of it about it, and those with the noise of an observation."""
    x = torch.linspace(-1.6, 1.5, 300, device=training.x.device).unsqueeze(1)
    predictions = predict(training.network, x, training.config.predictions, Philox(EVALUATION_SEED))
    mean, spread = predictions.mean.mean(0), predictions.mean.std(0)
    total = (spread.square() + predictions.variance.mean(0)).sqrt()
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    at, middle = x.squeeze(1).cpu(), mean.cpu()
    for width, shade, name in ((total.cpu(), 0.18, "with noise"), (spread.cpu(), 0.35, "of the curve")):
        color = pictures.COLORS[0]
        label = f"two standard deviations {name}"
        axes.fill_between(
            at, middle - 2 * width, middle + 2 * width, color=color, alpha=shade, linewidth=0, label=label
        )
    axes.plot(at, middle, color=pictures.COLORS[0], linewidth=1.4, label="mean")
    axes.plot(at, wave(at), color=pictures.COLORS[1], linewidth=1.0, linestyle="--", label="truth")
    axes.scatter(training.x.squeeze(1).cpu(), training.y.cpu(), s=4, color="0.3", linewidths=0, label="training data")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    figure.legend(frameon=False, fontsize=7, loc="outside right upper")
    pictures.save_figure(path, figure)
