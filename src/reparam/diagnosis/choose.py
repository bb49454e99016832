"""`choose`: a short measured pilot, and the estimator that it favours."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam import estimators
from reparam.checks import check_parameters
from reparam.diagnosis.copies import copies
from reparam.diagnosis.diagnose import differentiates, in_words, parameters, row_of
from reparam.diagnosis.measure import Cost, evaluations, gradients, seconds, spread, try_once
from reparam.diagnosis.probes import Finding, probe_path
from reparam.diagnosis.reference import Reference, reference
from reparam.diagnosis.report import Diagnosis
from reparam.errors import InvalidArgument, ReparamError
from reparam.estimators import Estimator
from reparam.expectation import estimator_for
from reparam.noise import TorchStream

# A candidate that evaluates the cost more often than this in one estimate is none unless it is named.
_MOST_EVALUATIONS = 256
# Estimates of one batch element in the first round and at the end: fewer for each where there are many elements.
_FIRST, _LAST = 64, 256
_FOR_BIAS = 512
# Standard errors; and the loss that is not worth another round.
_DOUBT, _REGRET = 2.0, 1.15
_CELLS = 32


def choose(
    f: Cost, dist: Distribution, candidates: Sequence[Estimator] | None = None, *, max_bias: float = 0.0
) -> Estimator:
    r"""The estimator of least variance times evaluations on your own cost, by a short measured pilot.

    .. math:: \hat e = \arg\min_e \operatorname{Var}(\hat g_e) \times \text{evaluations}_e

    All candidates make a few estimates; those that are clearly worse than the leader drop out, the others make twice as
    many, until it hardly matters which of them is taken, or each has made 256 (16 for each element of a large batch).

    Args:
        f: the cost, as `expect` takes it. It is called with many points at once.
        dist: the distribution, whose parameters the gradient is measured for, as in `diagnose`.
        candidates: what to choose from; unless given, `estimator_for(dist)` and every estimator of this library that
            serves `dist` with its default settings, needs no training and makes at most 256 evaluations.
        max_bias: the largest bias allowed, as a part of the gradient's length. At 0, only estimators that declare
            themselves unbiased run; beyond, the bias of the others is measured against the reference of `diagnose`.

    Returns:
        A copy of the chosen candidate, whose attribute `pilot` is the `Diagnosis` of the pilot: print it to see why.

    Gradient:
        None: the choice is data. The estimator chosen is unbiased if `max_bias` is 0, on costs that keep its
        assumptions: candidates that differentiate the cost are excluded where the cost is seen to jump.

    Errors:
        `InvalidArgument` where no candidate is left, and those of `expect` for a candidate that was named and cannot
        serve the distribution.

    References:
        Karnin, Koren and Somekh, Almost Optimal Exploration in Multi-Armed Bandits, ICML 2013 (halving the candidates).

    Example:
        >>> import torch, reparam as rp
        >>> _ = torch.manual_seed(0)
        >>> dist = torch.distributions.Poisson(torch.full((20,), 4.0))
        >>> best = rp.choose(lambda x: x**2, dist, [rp.LeaveOneOut(2), rp.MeasureValued()])
        >>> best, len(best.pilot.rows)
        (MeasureValued(samples=1), 2)
    """
    _check(dist, candidates, max_bias)
    running, findings = _admitted(f, dist, candidates, max_bias)
    exact = reference(f, dist, None) if any(not estimator.unbiased for estimator in running) else None
    if exact is not None:
        running, excluded = _allowed(f, dist, running, exact, max_bias)
        findings += excluded
    if not running:
        raise _none_left(findings)
    rows = []
    for estimator, estimates in zip(running, _race(f, dist, running), strict=True):
        z = math.nan if exact is None else exact.worst_z(estimates)
        rows.append(row_of(dist, estimator, estimates, seconds(f, dist, estimator, 1), z, False))
    report = Diagnosis(in_words(dist), parameters(dist), tuple(rows), tuple(findings), exact)
    return _with_pilot(report.best.estimator, report)


def candidates_for(dist: Distribution, *, biased: bool = False) -> list[Estimator]:
    """Every estimator of this library that serves `dist` with its default settings.

    Whether one serves is its own word: it is asked for its number of evaluations and for a draw. Those of more than 256
    evaluations are left out, and those that learn while they are used, which a measurement before training belies.

    Args:
        dist: the distribution.
        biased: whether those that declare themselves biased are among them.
    """
    classes = [getattr(estimators, name) for name in estimators.__all__]
    made = [cls() for cls in classes if isinstance(cls, type) and issubclass(cls, Estimator) and _complete(cls)]
    wanted = [e for e in (*made, estimator_for(dist)) if (e.unbiased or biased) and not _learns(e)]
    return list(dict.fromkeys(estimator for estimator in wanted if _serves(dist, estimator)))


def _complete(cls: type[Estimator]) -> bool:
    """Whether a class can be built without being told anything."""
    return not inspect.isabstract(cls) and all(
        parameter.default is not parameter.empty for parameter in inspect.signature(cls).parameters.values()
    )


def _learns(estimator: Estimator) -> bool:
    return any(isinstance(value, nn.Module) for value in vars(estimator).values())


def _serves(dist: Distribution, estimator: Estimator) -> bool:
    try:
        if evaluations(dist, estimator) > _MOST_EVALUATIONS:
            return False
        with torch.enable_grad():
            estimator.draw(copies(dist, 1).dist, TorchStream())
    except (ReparamError, NotImplementedError):
        return False
    return True


def _check(dist: Distribution, candidates: Sequence[Estimator] | None, max_bias: float) -> None:
    if not isinstance(dist, Distribution):
        raise InvalidArgument(
            "dist must be a torch.distributions.Distribution",
            received=f"{type(dist).__name__}",
            instead="rp.choose(f, dist)",
        )
    check_parameters(dist)
    if candidates is not None and (not isinstance(candidates, Sequence) or not candidates):
        raise InvalidArgument(
            "candidates must be a list of at least one estimator",
            received=f"{candidates!r}",
            instead="rp.choose(f, dist, [rp.LeaveOneOut(2), rp.LeaveOneOut(8)]), or no candidates at all",
        )
    if not isinstance(max_bias, (int, float)) or isinstance(max_bias, bool) or not max_bias >= 0:
        raise InvalidArgument(
            "max_bias is a part of the gradient's length, zero or more",
            received=f"max_bias = {max_bias!r}",
            instead="max_bias=0.0 for unbiased estimators only, max_bias=0.1 for a tenth",
        )


def _admitted(
    f: Cost, dist: Distribution, candidates: Sequence[Estimator] | None, max_bias: float
) -> tuple[list[Estimator], list[Finding]]:
    """Those that may run, and why the others may not."""
    if candidates is None:
        running, refused = _working(f, dist, candidates_for(dist, biased=max_bias > 0))
    else:
        running, refused = list(candidates), {}
        for estimator in candidates:
            try_once(f, dist, estimator)
    reasons = {estimator: error.what for estimator, error in refused.items()}
    if not max_bias:
        reasons |= {e: "it declares itself biased, and max_bias is 0" for e in running if not e.unbiased}
    assuming = [estimator for estimator in running if estimator.unbiased and differentiates(dist, estimator)]
    broken = probe_path(f, dist, _CELLS) if assuming else []
    if broken:
        reasons |= dict.fromkeys(assuming, "it differentiates the cost, and see below")
    excluded = [Finding("excluded", f"{estimator!r}: {reason}") for estimator, reason in reasons.items()]
    return [estimator for estimator in running if estimator not in reasons], excluded + broken


def _working(
    f: Cost, dist: Distribution, served: Sequence[Estimator]
) -> tuple[list[Estimator], dict[Estimator, InvalidArgument]]:
    """Those that can estimate this cost once, and the errors of the others."""
    refused = {estimator: error for estimator in served if (error := _refusal(f, dist, estimator))}
    if served and len(refused) == len(served):  # then it is not the estimators' fault
        raise refused[served[0]]
    return [estimator for estimator in served if estimator not in refused], refused


def _refusal(f: Cost, dist: Distribution, estimator: Estimator) -> InvalidArgument | None:
    try:
        try_once(f, dist, estimator)
    except InvalidArgument as error:
        return error
    return None


def _allowed(
    f: Cost, dist: Distribution, running: Sequence[Estimator], exact: Reference, max_bias: float
) -> tuple[list[Estimator], list[Finding]]:
    """Those whose bias is within the allowed part of the gradient."""
    allowed, findings = [], []
    for estimator in running:
        bias = 0.0 if estimator.unbiased else _relative_bias(gradients(f, dist, estimator, _FOR_BIAS), exact)
        if bias <= max_bias:
            allowed.append(estimator)
        else:
            message = f"{estimator!r}: its bias is {bias:.2g} of the gradient, where {max_bias:g} is allowed"
            findings.append(Finding("excluded", message))
    return allowed, findings


def _relative_bias(rows: Tensor, exact: Reference) -> float:
    """The length of the bias over that of the gradient, without what chance adds to its square."""
    off = (rows.double().mean(0) - exact.gradient).square().sum() - spread(rows).variance / rows.shape[0]
    return (off.clamp(min=0) / exact.gradient.square().sum().clamp(min=1e-300)).sqrt().item()


def _race(f: Cost, dist: Distribution, running: Sequence[Estimator]) -> list[Tensor]:
    """Estimates of each candidate: few of those that lose early, more of those that are hard to tell apart."""
    elements = dist.batch_shape.numel()
    sizes = [math.prod(shape) for shape in parameters(dist).values()]
    first, last = max(4, _FIRST // elements), max(16, _LAST // elements)
    estimates = [gradients(f, dist, estimator, first) for estimator in running]
    price = [evaluations(dist, estimator) for estimator in running]
    racing = list(range(len(running)))
    made = first
    while made < last:
        bounds = {i: _bounds(estimates[i], sizes, elements, price[i]) for i in racing}
        leader = min(racing, key=lambda i: sum(bounds[i]))
        highest = bounds[leader][1]
        racing = [i for i in racing if i == leader or bounds[i][0] <= highest]
        if all(highest <= _REGRET * bounds[i][0] for i in racing if i != leader):
            break
        for i in racing:
            estimates[i] = torch.cat([estimates[i], gradients(f, dist, running[i], made)])
        made *= 2
    return estimates


def _bounds(rows: Tensor, sizes: Sequence[int], elements: int, price: int) -> tuple[float, float]:
    """The least and the greatest variance times evaluations that a candidate may well have.

    The elements of a batch are independent, so a few estimates of many of them are many.
    """
    n = rows.shape[0]
    squares = (rows.double() - rows.double().mean(0)).square() * n / (n - 1)
    by_element = torch.stack([part.reshape(n, elements, -1).sum(-1) for part in squares.split(sizes, 1)]).sum(0)
    variance, doubt = by_element.mean(0).sum().item(), _DOUBT * (by_element.var(0).sum() / n).sqrt().item()
    return max(variance - doubt, 0.0) * price, (variance + doubt) * price


def _none_left(findings: Sequence[Finding]) -> InvalidArgument:
    return InvalidArgument(
        "no candidate is left to choose from",
        received="; ".join(finding.message for finding in findings) or "none that serves the distribution",
        instead="rp.choose(f, dist) for all that serve it, or a larger max_bias",
    )


def _with_pilot(estimator: Estimator, report: Diagnosis) -> Estimator:
    """A copy that can say why: equal to the original, since the attribute is none of its fields."""
    chosen = copy.copy(estimator)
    object.__setattr__(chosen, "pilot", report)
    return chosen
