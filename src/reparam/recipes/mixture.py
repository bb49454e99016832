r"""A mixture of Gaussians, fitted by gradient: the latent-variable model whose sum can be carried out.

A point x comes from one of C Gaussians, and which one, c, is not seen:

    log p(x)  =  log sum_c  pi_c N(x | mu_c, Sigma_c)  >=  E_{q(c|x)}[ log N(x | mu_c, Sigma_c) ]  -  KL( q(c|x) || pi )

The left side is the likelihood, every component enumerated. Its gradient is that of the right side at q = p(c | x)
(Fisher's identity), which is what a step of the EM algorithm climbs. The right side is the bound of every other
latent-variable model, with a network for q. `rp.objectives.elbo` enumerates c there too, since a Categorical has few
values, so its gradient is exact: nothing in this recipe is noisy but the choice of the batch.

Run it with `reparam train mixture`. What gradients add to EM is that they need nothing but the density: no closed-form
M-step, so the covariance can have a floor, the batch can be small, and the mixture can be a part of something larger.

References:
    Dempster, Laird, Rubin (1977), Maximum Likelihood from Incomplete Data via the EM Algorithm, JRSS B.
    Salakhutdinov, Roweis, Ghahramani (2003), Optimization with EM and Expectation-Conjugate-Gradient, ICML.
    Arthur, Vassilvitskii (2007), k-means++, SODA (the starting points).
    Johnson, Duvenaud, Wiltschko, Datta, Adams (2016), Composing Graphical Models with Neural Networks, NeurIPS
    (the pinwheel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import Categorical

import reparam as rp
from reparam.noise import Philox
from reparam.recipes import engine, pictures
from reparam.recipes.data import Dataset, load
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.keyed import Order

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Fit a mixture of Gaussians with full covariances."""

    data: str = "digits"
    """pinwheel (points of the plane), digits (embedded), fashion-mnist, mnist, or a folder of IDX or .npy files."""
    data_root: str | None = None
    """Folder where the files of fashion-mnist or mnist are looked for first."""
    dimensions: int = 8
    """Of images, the first so many principal components, each scaled to variance one."""
    components: int = 10
    """How many Gaussians."""
    objective: Literal["likelihood", "elbo"] = "likelihood"
    """What to raise: the likelihood, or its bound with a network that guesses the component."""
    hidden: int = 64
    """elbo: hidden units of that network."""
    floor: float = 0.05
    """The least scale of a component in any direction of its Cholesky factor, so that none collapses onto a point."""
    epochs: int = 40
    """Passes over the training points."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch: int = 100
    """Points per step, over all processes."""
    learning_rate: float = 0.03
    """Step size of Adam at the start; it falls to zero along a cosine."""


# --- the data ---------------------------------------------------------------------------------------------------------


class Points(NamedTuple):
    """Points, and the way back to images where they come from images."""

    train: Tensor
    """Shape (points, dimensions)."""
    test: Tensor
    """Shape (points, dimensions), never trained on."""
    attribution: str
    images: Coordinates | None


class Coordinates(NamedTuple):
    """Principal components of images, scaled to variance one."""

    mean: Tensor
    axes: Tensor
    """Shape (dimensions, pixels): each a direction times the standard deviation along it."""
    shape: tuple[int, int]

    def image(self, points: Tensor) -> Tensor:
        """The image that a point stands for, shape (..., height, width)."""
        return (self.mean + points @ self.axes).clamp(0, 1).unflatten(-1, self.shape)


ARMS, ARM_POINTS, PINWHEEL_SEED = 5, 400, 5


def points(config: Config) -> Points:
    """The points that a configuration names."""
    if config.data == "pinwheel":
        return _pinwheel()
    return _principal(load(config.data, config.data_root), config.dimensions)


def _principal(dataset: Dataset, dimensions: int) -> Points:
    train, test = dataset.train_images.flatten(1), dataset.test_images.flatten(1)
    most = min(train.shape)
    require(1 <= dimensions <= most, "dimensions", dimensions, f"from 1 to {most} for this data")
    mean = train.mean(0)
    _, spread, directions = torch.linalg.svd(train - mean, full_matrices=False)
    # A singular vector has no sign of its own; fixed here, so that a run does not depend on the linear algebra library.
    directions = directions[:dimensions] * directions[:dimensions].sum(1, keepdim=True).sign()
    spread = spread[:dimensions, None] / math.sqrt(len(train))
    varies = bool((spread > 1e-5 * spread[0]).all())
    require(varies, "dimensions", dimensions, "fewer, as the images vary in fewer directions")
    project = (directions / spread).mT
    coordinates = Coordinates(mean, directions * spread, dataset.image_shape)
    return Points((train - mean) @ project, (test - mean) @ project, dataset.attribution, coordinates)


def _pinwheel() -> Points:
    noise = torch.Generator().manual_seed(PINWHEEL_SEED)
    radial = 1 + 0.3 * torch.randn(ARMS, ARM_POINTS, generator=noise)
    across = 0.1 * torch.randn(ARMS, ARM_POINTS, generator=noise)
    turn = 2 * math.pi / ARMS * torch.arange(ARMS).unsqueeze(1) + 0.5 * radial.exp()
    x = radial * turn.cos() - across * turn.sin()
    y = radial * turn.sin() + across * turn.cos()
    everything = torch.stack([x, y], -1).flatten(0, 1)
    shuffled = everything[torch.randperm(len(everything), generator=noise)]
    return Points(shuffled[:1500], shuffled[1500:], "the pinwheel of Johnson et al. (2016), made here", None)


# --- the model --------------------------------------------------------------------------------------------------------


class Mixture(nn.Module):
    """C Gaussians with weights, means and covariances L L'.

    Args:
        starts: the means to begin with, shape (components, dimensions).
        floor: the least diagonal entry of a Cholesky factor L.
        hidden: hidden units of the network for q(c | x); None makes no network.
    """

    def __init__(self, starts: Tensor, floor: float, hidden: int | None = None) -> None:
        super().__init__()
        components, dimensions = starts.shape
        self.floor = floor
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(starts.clone())
        self.raw = nn.Parameter(torch.zeros(components, dimensions, dimensions))
        if hidden is not None:
            self.encoder = nn.Sequential(nn.Linear(dimensions, hidden), nn.ReLU(), nn.Linear(hidden, components))

    def prior(self) -> Categorical:
        """p(c)."""
        return Categorical(logits=self.logits)

    def scale_tril(self) -> Tensor:
        """The Cholesky factor of each covariance, shape (components, dimensions, dimensions)."""
        diagonal = self.floor + nn.functional.softplus(self.raw.diagonal(dim1=-2, dim2=-1))
        return self.raw.tril(-1) + diagonal.diag_embed()

    def log_conditional(self, x: Tensor) -> Tensor:
        """The log-density log p(x | c) for every c, shape (components, points), for x of shape (points, dimensions)."""
        scale = self.scale_tril()
        residual = (x - self.loc.unsqueeze(1)).mT
        white = torch.linalg.solve_triangular(scale, residual, upper=False)
        log_det = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        return -0.5 * white.square().sum(1) - log_det - 0.5 * x.shape[-1] * math.log(2 * math.pi)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density log p(x), shape (points,): the component is enumerated."""
        return (self.log_conditional(x) + self.logits.log_softmax(-1).unsqueeze(-1)).logsumexp(0)

    def elbo(self, x: Tensor, noise: Philox | None = None) -> Tensor:
        """The bound on log p(x) with the network's guess, shape (points,); its expectation is enumerated too."""
        conditional = self.log_conditional(x)
        posterior = Categorical(logits=self.encoder(x))
        return rp.objectives.elbo(lambda c: conditional.gather(0, c), posterior, self.prior(), noise=noise)

    @torch.no_grad()
    def sample(self, count: int, noise: torch.Generator) -> Tensor:
        """Points from the mixture, shape (count, dimensions)."""
        c = torch.multinomial(self.logits.softmax(-1), count, replacement=True, generator=noise)
        white = torch.randn(count, self.loc.shape[1], 1, generator=noise, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc[c] + (self.scale_tril()[c] @ white).squeeze(-1)


def build(config: Config, train: Tensor) -> Mixture:
    """The mixture to begin with: its means are points of the data, far from each other."""
    noise = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        hidden = config.hidden if config.objective == "elbo" else None
        return Mixture(_far_apart(train, config.components, noise), config.floor, hidden)


def _far_apart(x: Tensor, count: int, noise: torch.Generator) -> Tensor:
    """k-means++: each next point with probability proportional to its squared distance to the nearest one so far."""
    chosen = x[torch.randint(len(x), (1,), generator=noise)]
    while len(chosen) < count:
        distance = torch.cdist(x, chosen).amin(1).square()
        chosen = torch.cat([chosen, x[torch.multinomial(distance, 1, generator=noise)]])
    return chosen


# --- the training -----------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/mixture-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or the likelihood is no longer finite.
        DataError: the data cannot be read, or the output folder is not free. Nothing is overwritten.

    Example:
        >>> import tempfile
        >>> from rich.console import Console
        >>> config = Config(data="pinwheel", components=10, epochs=4)
        >>> summary = train(config, tempfile.mkdtemp(), console=Console(quiet=True))
        >>> -2.2 < summary["test_log_likelihood"] < -1.5
        True
    """
    return engine.run("mixture", config, Training, out, **how)


class Training(engine.Training):
    """Raise the likelihood or its bound with Adam; one line of metrics per epoch."""

    headline = "test_log_likelihood"
    threads = 1  # a step is small, and threads would only wait for each other

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.points = points(config)
        distinct = len(self.points.train.unique(dim=0))
        fits = config.components <= distinct
        require(fits, "components", config.components, f"at most {distinct}, the different points of this data")
        self.data, self.test = (x.to(machine.device) for x in (self.points.train, self.points.test))
        self.order = Order(len(self.data), config.batch, config.seed, machine)
        self.weights = self.model = build(config, self.points.train)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        self.learner = machine.learner(self.model, self._loss, optimizer)
        self.state = {"learner": self.learner}
        self.steps = config.steps or config.epochs * self.order.steps_per_epoch
        self.log_every = self.order.steps_per_epoch

    def _loss(self, model: Mixture, x: Tensor, noise: Philox) -> Tensor:
        return -model.log_prob(x) if self.config.objective == "likelihood" else -model.elbo(x, noise)

    def step(self, step: int) -> Figures:
        """One global batch, at a step size that depends on the step alone."""
        for group in self.learner.optimizer.param_groups:
            group["lr"] = 0.5 * self.config.learning_rate * (1 + math.cos(math.pi * step / self.steps))
        share = self.order.share(step)
        losses = self.learner.step(self.data[share.rows], share.noise(), of=share.total)
        return {f"train_{self.config.objective}": -losses}

    @torch.no_grad()
    def evaluate(self, step: int) -> Figures:
        """The likelihood of the test points, and its bound where that is what was raised."""
        epoch = math.ceil(step / self.order.steps_per_epoch)
        figures = {"epoch": epoch, "test_log_likelihood": self.model.log_prob(self.test).mean().item()}
        return figures if self.config.objective == "likelihood" else {**figures, "test_elbo": self._test_elbo()}

    @torch.no_grad()
    def _test_elbo(self) -> float:
        return self.model.elbo(self.test).mean().item()

    @torch.no_grad()
    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final likelihood, and the pictures."""
        draw_pictures(self.model.cpu(), self.points, folder)
        figures = {
            "data": self.config.data,
            "objective": self.config.objective,
            "components": self.config.components,
            "effective_components": self.model.prior().entropy().exp().item(),
            "train_log_likelihood": self.model.log_prob(self.points.train).mean().item(),
            "test_log_likelihood": self.model.log_prob(self.points.test).mean().item(),
            "attribution": self.points.attribution,
        }
        if self.config.objective == "elbo":
            self.test = self.points.test
            figures["test_elbo"] = self._test_elbo()
        return figures


def _check(config: Config) -> None:
    for name in ("dimensions", "components", "hidden", "epochs", "steps", "batch"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    for name, example in (("learning_rate", 0.03), ("floor", 0.05)):
        value = getattr(config, name)
        require(0 < value < math.inf, name, value, f"a positive number, such as {example}")
    require(config.objective in ("likelihood", "elbo"), "objective", config.objective, "likelihood or elbo")


# --- what is left behind ----------------------------------------------------------------------------------------------

PICTURE_SEED = 1977
SHOWN = 1500
EMPTY = 1e-3  # components of less weight are not drawn


@torch.no_grad()
def draw_pictures(model: Mixture, data: Points, folder: RunFolder) -> None:
    """The points under the components' ellipses, the loss, and of images the components' means and new samples."""
    history = folder.history()
    name = next(name for name in history[-1] if name.startswith("train_"))
    curves = {
        f"training {name.removeprefix('train_')}": [-row[name] for row in history],
        "test likelihood": [-row["test_log_likelihood"] for row in history],
    }
    pictures.save_curve(folder.path / "loss.png", curves, ylabel="negative log-likelihood, nats per point")
    draw_ellipses(model, data, folder.path / "components.png")
    if data.images is not None:
        heaviest = model.logits.argsort(descending=True)
        pictures.save_grid(folder.path / "means.png", data.images.image(model.loc[heaviest]))
        noise = torch.Generator().manual_seed(PICTURE_SEED)
        pictures.save_grid(folder.path / "samples.png", data.images.image(model.sample(96, noise)))


def draw_ellipses(model: Mixture, data: Points, path: Path) -> None:
    """The first two coordinates: test points, and each component's marginal there at one and two standard deviations.

    A marginal of a Gaussian is the corner of its covariance; the heavier a component, the darker its line.
    """
    if data.test.shape[1] < 2:
        return
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(*data.test[:SHOWN, :2].T.numpy(), s=5, color="0.6", linewidths=0, label="test points")
    angle = torch.linspace(0, 2 * math.pi, 100)
    circle = torch.stack([angle.cos(), angle.sin()])
    weights = model.logits.softmax(-1)
    scales = model.scale_tril()[:, :2, :2]  # the corner of L is the factor of the corner of L L'
    for loc, scale, weight in zip(model.loc[:, :2], scales, weights, strict=True):
        if weight < EMPTY:
            continue
        dark = 0.25 + 0.75 * float(weight / weights.max())
        for radius, width in ((1, 1.4), (2, 0.7)):
            x, y = (loc.unsqueeze(1) + radius * scale @ circle).numpy()
            axes.plot(x, y, color=pictures.COLORS[1], alpha=dark, linewidth=width)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    names = ("x", "y") if data.images is None else ("first principal component", "second principal component")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    pictures.save_figure(path, figure)
