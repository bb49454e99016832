from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats

from reparam.distributions import Triangular
from reparam.errors import InvalidArgument

from .conformance import UNIVARIATE_CHECKS, Case, pairs


def cdf(x, low, high, peak):
    if x < peak:
        return (x - low) ** 2 / ((high - low) * (peak - low))
    return 1 - (high - x) ** 2 / ((high - low) * (high - peak))


def row(low: float, high: float, peak: float, **more) -> Case:
    law = stats.triang((peak - low) / (high - low), low, high - low)
    moments = {"mean": law.mean(), "variance": law.var(), "entropy": float(law.entropy()), "mode": peak}
    return Case(Triangular, {"low": low, "high": high, "peak": peak}, cdf, moments=moments, **more)


EXTREMES = ({"low": -1e10, "high": 1e10}, {"low": 0.29, "high": 0.31}, {"peak": -1.0}, {"peak": 2.0})
CASES = [row(-1.0, 2.0, 0.3, extremes=EXTREMES), row(0.0, 1.0, 0.9)]


@pytest.mark.parametrize(("case", "check"), pairs(CASES, UNIVARIATE_CHECKS))
def test_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.mark.parametrize("peak", [0.0, 2.0])
def test_peak_may_be_an_end(peak: float) -> None:
    leaf = torch.tensor(peak, requires_grad=True)
    d = Triangular(0.0, 2.0, leaf)
    assert d.log_prob(torch.tensor(peak)).item() == 0
    assert d.cdf(torch.tensor([0.0, 2.0])).tolist() == [0, 1]
    x = d.rsample((100,))
    total = x.sum() + d.log_prob(x.detach()).sum() + d.cdf(x.detach()).sum()
    assert torch.isfinite(torch.autograd.grad(total, leaf)[0])


@pytest.mark.parametrize("arguments", [(1.0, 0.0, 0.5), (0.0, 1.0, 1.5), (0.0, 1.0, -0.5)])
def test_order_of_the_parameters(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)low must be below high.*received: .*instead: "):
        Triangular(*arguments)
