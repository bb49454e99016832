"""Surrogates at outcomes of our choosing, so that their expectation is a sum and not an average."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor
from torch.distributions import Distribution

import reparam as rp
from reparam.estimators import SurrogateEstimator, _choice, finite_order, straight_through


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@contextlib.contextmanager
def outcomes(points: Tensor) -> Iterator[None]:
    """The sampler of every surrogate returns these points."""
    with contextlib.ExitStack() as stack:
        for module in (_choice, finite_order, straight_through):
            stack.enter_context(mock.patch.object(module, "sample", return_value=points))
        yield


def surrogates_at(via: SurrogateEstimator, dist: Distribution, points: Tensor) -> Tensor:
    """The surrogate of each point: its value, with its slope."""
    with outcomes(points):
        return rp.rsample(dist, (len(points),), via=via)


def expected_gradient(via: SurrogateEstimator, dist: Distribution, points: Tensor, cost, of: Tensor) -> Tensor:
    """The surrogate's gradient averaged over all outcomes: exactly its expectation."""
    law = dist.log_prob(points).exp().detach()
    return torch.autograd.grad((law * cost(surrogates_at(via, dist, points))).sum(), of, retain_graph=True)[0]


def true_gradient(dist: Distribution, points: Tensor, cost, of: Tensor) -> Tensor:
    return torch.autograd.grad((dist.log_prob(points).exp() * cost(points.double())).sum(), of, retain_graph=True)[0]
