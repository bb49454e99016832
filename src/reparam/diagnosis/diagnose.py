"""`diagnose`: bias, variance and cost of estimators on the user's own cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import check_parameters
from reparam.diagnosis.copies import copies
from reparam.diagnosis.measure import Cost, check_estimators, evaluations, gradients, seconds, spread, try_once
from reparam.diagnosis.probes import Finding, probe, probe_path
from reparam.diagnosis.reference import Reference
from reparam.diagnosis.reference import reference as find_reference
from reparam.diagnosis.report import Diagnosis, Row, threshold
from reparam.errors import InvalidArgument
from reparam.estimators import Estimator
from reparam.noise import TorchStream

_TIMED = 15


def diagnose(
    f: Cost,
    dist: Distribution,
    estimators: Sequence[Estimator],
    *,
    repeats: int = 1000,
    reference: Tensor | Estimator | None = None,
) -> Diagnosis:
    r"""Measure estimators of the gradient of :math:`E[f(x)]` side by side: bias, variance and what they cost.

    .. math:: z = \frac{\bar g - g}{\sqrt{s^2 / n + \sigma_g^2}}, \qquad
              \text{work} = \operatorname{Var}(\hat g) \times \text{evaluations}

    Args:
        f: the cost, as `expect` takes it: points of shape `(K, *batch_shape, *event_shape)` to costs of shape
            `(K, *batch_shape)`. It is called with many points at once.
        dist: the distribution. The gradient is measured with respect to those of its own parameters that require grad,
            or all where none does, each batch element's cost crediting its own parameters. What the parameters were
            computed from, and the cost's own parameters, are left out.
        estimators: what to measure.
        repeats: how many estimates n of each, at least 100.
        reference: the gradient that bias is measured against: a tensor, or an estimator to be drawn with a large
            budget. Unless given: enumeration of a finite support, the sum over counts, or many draws by `LeaveOneOut`;
            the table says which.

    Returns:
        A `Diagnosis`: `.rows` with `.estimator .gradient .bias_z .variance .evaluations .seconds`, `.best`,
        `.findings`, `.plot(path)`, `.to_json(path)`; `print` shows the table.

    Gradient:
        None: what is returned is data.

    Errors:
        Those of `expect` for an estimator that cannot serve the distribution, a cost of the wrong shape or one that is
        NaN; `InvalidArgument` for a cost that is not batched, and for a distribution whose parameters cannot be read.

    Findings:
        "cross-talk" where the cost of one draw or batch element changes with another (then no bias is measured: no
        estimator of weighted draws has the gradient of such a cost as its mean), "random-cost" where it changes
        by itself, "discontinuous" and "lost-gradient" where the gradient of the cost does not explain its changes and
        an estimator differentiates it, "biased" for a bias beyond chance (one false alarm in a thousand diagnoses).

    References:
        Mohamed, Rosca, Figurnov and Mnih, Monte Carlo Gradient Estimation in Machine Learning, JMLR 2020.

    Example:
        >>> import torch, reparam as rp
        >>> _ = torch.manual_seed(0)
        >>> dist = torch.distributions.Bernoulli(logits=torch.tensor(0.3))
        >>> report = rp.diagnose(lambda b: (b - 0.45) ** 2, dist, [rp.ScoreFunction(2), rp.LeaveOneOut(2)])
        >>> report.best.estimator, all(abs(row.bias_z) < 5 for row in report.rows)
        (LeaveOneOut(samples=2), True)
    """
    _check(dist, estimators, repeats)
    for estimator in estimators:
        try_once(f, dist, estimator)
    findings = probe(f, dist)
    if any(differentiates(dist, estimator) for estimator in estimators):
        findings += probe_path(f, dist)
    # Where draws or batch elements mix, there is no gradient of E[f] that any of them could be held against.
    mixed = any(finding.kind == "cross-talk" for finding in findings)
    exact = None if mixed else find_reference(f, dist, reference)
    rows = [_measured(f, dist, estimator, repeats, exact, len(estimators)) for estimator in estimators]
    if exact is not None:
        findings += [_bias(row, exact) for row in rows if row.biased]
    return Diagnosis(in_words(dist), parameters(dist), tuple(rows), tuple(findings), exact)


def _check(dist: Distribution, estimators: Sequence[Estimator], repeats: int) -> None:
    if not isinstance(dist, Distribution):
        raise InvalidArgument(
            "dist must be a torch.distributions.Distribution",
            received=f"{type(dist).__name__}",
            instead="rp.diagnose(f, dist, [rp.LeaveOneOut(4)])",
        )
    check_parameters(dist)
    check_estimators("estimators", estimators)
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 100:
        raise InvalidArgument(
            "repeats must be an integer of at least 100, or no z-score means anything",
            received=f"repeats = {repeats!r}",
            instead="repeats=1000",
        )


def _measured(
    f: Cost, dist: Distribution, estimator: Estimator, repeats: int, exact: Reference | None, estimators: int
) -> Row:
    rows = gradients(f, dist, estimator, repeats)
    worst = math.nan if exact is None else exact.worst_z(rows)
    biased = abs(worst) > threshold(rows.shape[1] * estimators)
    return row_of(dist, estimator, rows, seconds(f, dist, estimator, _TIMED), worst, biased)


def row_of(dist: Distribution, estimator: Estimator, rows: Tensor, time: float, z: float, biased: bool) -> Row:
    """A row of the table from the estimates themselves."""
    shapes = list(parameters(dist).values())
    mean = rows.double().mean(0).to(rows.dtype)
    gradient = mean.view(shapes[0]) if len(shapes) == 1 else mean
    return Row(estimator, gradient, z, spread(rows).variance, evaluations(dist, estimator), time, rows, biased)


def _bias(row: Row, exact: Reference) -> Finding:
    off = (row.gradient.double().flatten() - exact.gradient).norm() / exact.gradient.norm().clamp(min=1e-300)
    said = "though its assumptions would make it unbiased" if row.estimator.unbiased else "as it says of itself"
    return Finding(
        "biased", f"{row.estimator!r} is off by {off:.2g} of the gradient ({row.bias_z:+.1f} errors), {said}"
    )


def differentiates(dist: Distribution, estimator: Estimator) -> bool:
    """Whether an estimator takes the gradient of the cost at its points, and not only its value."""
    with torch.enable_grad():
        return estimator.draw(copies(dist, 1).dist, TorchStream()).points.requires_grad


def parameters(dist: Distribution) -> dict[str, tuple[int, ...]]:
    """The measured parameters and their shapes."""
    return {name: tuple(leaf.shape[1:]) for name, leaf in copies(dist, 1).leaves.items()}


def in_words(dist: Distribution) -> str:
    """The distribution, with its values where they are few."""
    said = repr(dist)
    if "torch.Size" not in said and len(said) < 60 and "\n" not in said:
        return said
    shape = f"batch_shape {tuple(dist.batch_shape)}, event_shape {tuple(dist.event_shape)}"
    return f"{type(dist).__name__} of {shape}"
