r"""How good generated images are, by the eyes of a classifier trained on the real ones.

The classifier's last hidden layer gives each image a few features. Three figures compare a set of images with real ones
there:

* `frechet_distance`, between normals fitted to both sets,
  :math:`|m - m'|^2 + \operatorname{tr}(S + S' - 2 (S S')^{1/2})`: the FID with this classifier in the place of the
  Inception network. It depends on the classifier and on the number of images: compare only figures of one data set.
* `coverage`, the share of real images with a generated one nearer than their fifth real neighbour.
* `modes`, how many classes get at least a third of their share.

References:
    Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017), GANs Trained by a Two Time-Scale Update Rule, NeurIPS.
    Naeem, Oh, Uh, Choi, Yoo (2020), Reliable Fidelity and Diversity Metrics for Generative Models, ICML (coverage).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.errors import DataError
from reparam.recipes.data import Dataset

SEED = 2017
HIDDEN, FEATURES = 128, 16
STEPS, BATCH = 800, 100
MOST = 2000  # images compared at once
NEIGHBOUR = 5


class Judge:
    """A classifier and what it sees in real images.

    Args:
        dataset: the real images, with labels.

    Raises:
        DataError: the images have no labels.
    """

    def __init__(self, dataset: Dataset) -> None:
        if dataset.train_labels is None:
            raise DataError(
                "quality is measured by a classifier, and these images have no labels to train one",
                received=repr(dataset.name),
                instead="digits, fashion-mnist, mnist, or a folder with labels beside its images",
            )
        images, labels = dataset.train_images.flatten(1), dataset.train_labels
        self.count = min(len(dataset.test_images), MOST)
        self.features, self.head = _classifier(images, labels)
        stream = torch.Generator().manual_seed(SEED)
        self.reference = self._seen(images)
        self.some = self.reference[torch.randperm(len(images), generator=stream)[: self.count]]
        near = min(NEIGHBOUR + 1, len(self.some))  # an image is its own nearest
        self.radius = torch.cdist(self.some, self.some).kthvalue(near, 1).values
        self.share = torch.bincount(labels) / len(labels)

    @torch.no_grad()
    def _seen(self, images: Tensor) -> Tensor:
        return self.features(images)

    def measure(self, images: Tensor) -> dict[str, float]:
        """The figures of images of shape (images, height, width), as means over groups of `count`."""
        groups = [self._measured(group) for group in images.flatten(1).cpu().split(self.count)]
        return {name: sum(group[name] for group in groups) / len(groups) for name in groups[0]}

    def _measured(self, images: Tensor) -> dict[str, float]:
        seen = self._seen(images)
        covered = (torch.cdist(self.some, seen).amin(1) <= self.radius).float().mean()
        with torch.no_grad():
            share = torch.bincount(self.head(seen).argmax(1), minlength=len(self.share)) / len(seen)
        present = (share >= self.share / 3) & (self.share > 0)
        return {
            "frechet_distance": frechet_distance(seen, self.reference),
            "coverage": covered.item(),
            "modes": float(present.sum()),
        }


def _classifier(images: Tensor, labels: Tensor) -> tuple[nn.Module, nn.Module]:
    """Features and head, always the same for the same data: the seeds are constants."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        features = nn.Sequential(
            *(nn.Linear(images.shape[1], HIDDEN), nn.ReLU()), *(nn.Linear(HIDDEN, FEATURES), nn.Tanh())
        )
        head = nn.Linear(FEATURES, int(labels.max()) + 1)
        parameters = [*features.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=2e-3)
        for _ in range(STEPS):
            rows = torch.randint(len(images), (BATCH,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features(images[rows])), labels[rows]).backward()
            optimizer.step()
    return features, head


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """The squared 2-Wasserstein distance of the normals fitted to two sets of vectors, shapes (n, d) and (m, d).

    Example:
        >>> x = torch.randn(50, 3)
        >>> round(frechet_distance(x, x + 2), 6)
        12.0
    """
    x, y = x.double(), y.double()
    one, other = x.T.cov(), y.T.cov()
    # The eigenvalues of a product of two positive matrices are real and not negative, up to rounding.
    root = torch.linalg.eigvals(one @ other).real.clamp(min=0).sqrt().sum()
    return ((x.mean(0) - y.mean(0)).square().sum() + one.trace() + other.trace() - 2 * root).item()
