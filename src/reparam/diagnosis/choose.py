"""`choose`: a short measured pilot, and the estimator that it favours."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from reparam import estimators
from reparam.checks import check_parameters
from reparam.diagnosis.copies import copies
from reparam.diagnosis.diagnose import differentiates, in_words, parameters, row_of
from reparam.diagnosis.measure import Cost, check_estimators, evaluations, gradients, spread, try_once
from reparam.diagnosis.probes import Finding, probe_path
from reparam.diagnosis.race import Counted, race
from reparam.diagnosis.reference import Reference, reference
from reparam.diagnosis.report import Diagnosis
from reparam.errors import InvalidArgument, ReparamError
from reparam.estimators import ARM, DisARM, Estimator, LeaveOneOut
from reparam.expectation import estimator_for
from reparam.noise import TorchStream

# A candidate that evaluates the cost more often than this in one estimate is none unless it is named.
_MOST_EVALUATIONS = 256
# In the first round: evaluations of each candidate, its estimates, and its estimates over all batch elements, at least.
_EVALUATIONS, _LEAST, _LEAST_OVERALL = 20, 4, 64
_FOR_BIAS = 512
# Of less work whatever the cost: the antithetic pair given the coins it came out as, and more draws to compare with.
_BETTER: dict[Estimator, Estimator] = {ARM(): DisARM(), LeaveOneOut(2): LeaveOneOut(4)}
_CELLS = 32


def choose(
    f: Cost, dist: Distribution, candidates: Sequence[Estimator] | None = None, *, max_bias: float = 0.0
) -> Estimator:
    r"""The estimator of least variance times evaluations on your own cost, by a short measured pilot.

    .. math:: \hat e = \arg\min_e \operatorname{Var}(\hat g_e) \times \text{evaluations}_e

    All candidates make a few estimates, of about as many evaluations. The leader, and those that may yet be better by
    more than a seventh, then make more of them, round by round, until there are none, or until the pilot would have
    evaluated the cost a quarter as often as a thousand steps with the leader do (a fifth, where one that may yet win
    evaluates once).

    Args:
        f: the cost, as `expect` takes it. It is called with many points at once.
        dist: the distribution, whose parameters the gradient is measured for, as in `diagnose`.
        candidates: what to choose from; unless given, `estimator_for(dist)`, `LeaveOneOut(4)`, and every estimator of
            this library that serves `dist` with its default settings, needs no training, makes at most 256 evaluations
            and does not lose to another of them whatever the cost.
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
        Even-Dar, Mannor and Mansour, Action Elimination and Stopping Conditions for the Multi-Armed Bandit and
        Reinforcement Learning Problems, JMLR 2006.

    Example:
        >>> import torch, reparam as rp
        >>> _ = torch.manual_seed(0)
        >>> dist = torch.distributions.Poisson(torch.full((20,), 4.0))
        >>> best = rp.choose(lambda x: x**2, dist, [rp.LeaveOneOut(2), rp.MeasureValued()])
        >>> best, len(best.pilot.rows)
        (MeasureValued(samples=1), 2)
    """
    _check(dist, candidates, max_bias)
    named, counted = candidates is not None, Counted(f)
    pool = list(candidates) if candidates is not None else candidates_for(dist, biased=max_bias > 0)
    reasons = {e: "it declares itself biased, and max_bias is 0" for e in pool if not (e.unbiased or max_bias)}
    estimates, refused = _first_round(counted, dist, [e for e in pool if e not in reasons], named)
    broken = _broken_paths(counted, dist, estimates)
    exact = reference(f, dist, None) if any(not estimator.unbiased for estimator in estimates) else None
    reasons |= refused | _biased(f, dist, estimates, exact, max_bias)
    if broken:
        reasons |= dict.fromkeys(_assuming(dist, estimates), "it differentiates the cost, and see below")
    findings = [Finding("excluded", f"{estimator!r}: {reason}") for estimator, reason in reasons.items()] + broken
    running = {estimator: rows for estimator, rows in estimates.items() if estimator not in reasons}
    if not running:
        raise _none_left(findings)
    rows = [
        row_of(dist, estimator, rows, math.nan, math.nan if exact is None else exact.worst_z(rows), False)
        for estimator, rows in race(counted, dist, running).items()
    ]
    report = Diagnosis(in_words(dist), parameters(dist), tuple(rows), tuple(findings), exact)
    return _with_pilot(report.best.estimator, report)


def candidates_for(dist: Distribution, *, biased: bool = False) -> list[Estimator]:
    """Every estimator of this library that serves `dist` with its default settings.

    Whether one serves is its own word: it is asked for its number of evaluations and for a draw. Those of more than 256
    evaluations are left out, and those that learn while they are used, which a measurement before training belies.
    So are `ARM` and `LeaveOneOut(2)`, which have more work than `DisARM` and `LeaveOneOut(4)` whatever the cost.

    References:
        Dong, Mnih and Tucker, DisARM: An Antithetic Gradient Estimator for Binary Latent Variables, NeurIPS 2020.

    Args:
        dist: the distribution.
        biased: whether those that declare themselves biased are among them.
    """
    classes = [getattr(estimators, name) for name in estimators.__all__]
    made = [cls() for cls in classes if isinstance(cls, type) and issubclass(cls, Estimator) and _complete(cls)]
    pool = dict.fromkeys((*made, LeaveOneOut(4), estimator_for(dist)))
    found = [e for e in pool if (e.unbiased or biased) and not _learns(e) and _serves(dist, e)]
    return [e for e in found if _BETTER.get(e) not in found]


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
    if candidates is not None:
        check_estimators("candidates", candidates)
    if not isinstance(max_bias, (int, float)) or isinstance(max_bias, bool) or not max_bias >= 0:
        raise InvalidArgument(
            "max_bias is a part of the gradient's length, zero or more",
            received=f"max_bias = {max_bias!r}",
            instead="max_bias=0.0 for unbiased estimators only, max_bias=0.1 for a tenth",
        )


def _first_round(
    f: Cost, dist: Distribution, pool: Sequence[Estimator], named: bool
) -> tuple[dict[Estimator, Tensor], dict[Estimator, str]]:
    """A few estimates by each, and why some cannot make them; one that was named must."""
    if named and pool:
        try_once(f, dist, pool[0])
    least = max(_LEAST, _LEAST_OVERALL // dist.batch_shape.numel())
    estimates, refused = {}, {}
    for estimator in pool:
        count = max(least, _EVALUATIONS // evaluations(dist, estimator))
        rows = gradients(f, dist, estimator, count) if named else _attempt(f, dist, estimator, count)
        if isinstance(rows, Tensor):
            estimates[estimator] = rows
        else:
            refused[estimator] = rows.what
    if pool and not estimates:  # then it is not the estimators' fault
        try_once(f, dist, pool[0])
    return estimates, refused


def _attempt(f: Cost, dist: Distribution, estimator: Estimator, count: int) -> Tensor | InvalidArgument:
    try:
        return gradients(f, dist, estimator, count)
    except InvalidArgument as error:
        return error


def _assuming(dist: Distribution, pool: Iterable[Estimator]) -> list[Estimator]:
    """Those that take the gradient of the cost for all there is to know."""
    return [estimator for estimator in pool if estimator.unbiased and differentiates(dist, estimator)]


def _broken_paths(f: Cost, dist: Distribution, pool: Iterable[Estimator]) -> list[Finding]:
    return probe_path(f, dist, _CELLS) if _assuming(dist, pool) else []


def _biased(
    f: Cost, dist: Distribution, pool: Iterable[Estimator], exact: Reference | None, max_bias: float
) -> dict[Estimator, str]:
    """Those whose bias is beyond the allowed part of the gradient."""
    if exact is None:
        return {}
    found = {e: _relative_bias(gradients(f, dist, e, _FOR_BIAS), exact) for e in pool if not e.unbiased}
    said = "its bias is {:.2g} of the gradient, where {:g} is allowed"
    return {estimator: said.format(bias, max_bias) for estimator, bias in found.items() if bias > max_bias}


def _relative_bias(rows: Tensor, exact: Reference) -> float:
    """The length of the bias over that of the gradient, without what chance adds to its square."""
    off = (rows.double().mean(0) - exact.gradient).square().sum() - spread(rows).variance / rows.shape[0]
    return (off.clamp(min=0) / exact.gradient.square().sum().clamp(min=1e-300)).sqrt().item()


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
