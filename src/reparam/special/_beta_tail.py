r"""The lower tail of the Beta distribution on the logit axis, and the two quantities computed from it.

Let :math:`u = \operatorname{logit} X`, :math:`X \sim \mathrm{Beta}(a, b)`: a log-concave density
:math:`p(u) \propto x^a (1 - x)^b` on the whole line, whose score in a is
:math:`\log x + \psi(a + b) - \psi(a)`. The symmetry :math:`(a, b, u) \to (b, a, -u)` turns an upper tail into a
lower one, so lower tails are all that is integrated; a and b are called p and q once oriented that way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reparam.special._beta_pieces import (
    DROP,
    digamma_difference,
    graded_rule,
    log1p_excess,
    stirling_error,
    truncation,
)


def nearer_tail(a: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    r"""The probability of the tail beyond logit u that does not hold the centre, and whether it is the lower one.

    With :math:`R(p) = F / p(u)`, one step of :math:`p R(p) = 1 + (p + q) x R(p + 1)`, all of whose terms are
    positive, leaves a tail that falls at least like :math:`e^{-s}` to the quadrature.
    """
    lower, p, q, v = _oriented(a, b, u)
    _, _, mass = tail_rule(p + 1, q, v)
    ratio = (1 + (p + q) * torch.sigmoid(v) * mass.sum(-1)) / p
    return torch.exp(log_density(p, q, v)) * ratio, lower


def dlogit_dconcentration1(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    r"""The derivative of logit x in a at fixed probability.

    .. math::
        \frac{du}{da} = -\frac{1}{p(u)} \int_{-\infty}^u \bigl(\log t + \psi(a+b) - \psi(a)\bigr)\, p(v)\, dv

    or plus the integral over the upper tail, where the score is positive. On the lower side the score is negative
    once a is raised by one, through

    .. math:: a\,h(a) = \psi(a+1) - \psi(a+b) - \log x + (a+b)\, x\, h(a+1), \qquad h = du/da,

    so that nothing cancels on either side, and small a and b leave no plateau in the integrand.
    """
    lower, p, q, v = _oriented(a, b, u)
    raised = torch.where(lower, p + 1, p)
    log_low, log_high, mass = tail_rule(raised, q, v)
    difference = digamma_difference(torch.where(lower, raised, q), torch.where(lower, q, p))
    # Minus the score of the raised p, or the score of q.
    score = torch.where(lower, -logsigmoid(v) - difference, logsigmoid(-v) + difference)
    scores = score.unsqueeze(-1) + torch.where(lower.unsqueeze(-1), -log_low, log_high)
    integral = (scores * mass).sum(-1)
    return torch.where(lower, (score + 1 / (p + q) + (p + q) * torch.sigmoid(v) * integral) / p, integral)


def _oriented(a: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Whether u is on the lower side, and (p, q, v): (a, b, u) there, (b, a, -u) on the upper side."""
    lower = u <= torch.log((a + 0.5) / (b + 0.5))
    return lower, torch.where(lower, a, b), torch.where(lower, b, a), torch.where(lower, u, -u)


def log_density(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    r"""The log-density of :math:`u = \operatorname{logit} X`, :math:`X \sim \mathrm{Beta}(a, b)`.

    Saddle-point form: with :math:`\ell(r) = r - \log(1 + r)` and :math:`\delta = bx - a(1-x)` it is
    :math:`-a\,\ell(\delta/a) - b\,\ell(-\delta/b)` plus slowly varying terms, instead of a difference of numbers of
    the order of a + b.
    """
    delta = b * torch.sigmoid(u) - a * torch.sigmoid(-u)
    low = log1p_excess(delta / a, logsigmoid(u) + torch.log1p(b / a))
    high = log1p_excess(-delta / b, logsigmoid(-u) + torch.log1p(a / b))
    # The logarithms apart: a * b / (a + b) may leave the range of a float where its parts do not.
    spread = torch.log(a) + torch.log(b) - torch.log(a + b) - math.log(2 * math.pi)
    both, first, second = stirling_error(torch.stack([a + b, a, b])).unbind()
    return 0.5 * spread - a * low - b * high + (both - first - second)


def tail_rule(p: Tensor, q: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Nodes for integrals over the lower tail of :math:`\operatorname{logit}\mathrm{Beta}(p, q)` below u.

    Returns ``log t/x``, ``log (1-t)/(1-x)`` and ``mass``, each with a last axis of nodes t below :math:`x =
    \sigma(u)`; the mass is the quadrature weight times the ratio of the densities at t and x, so that
    :math:`\sum f(t) \cdot \text{mass} = \mathbb E[f(T); T < x] / p(u)`. The rule is made for
    :math:`u \le \log\frac{p + 1/2}{q + 1/2}`, where the integrand has no long plateau.
    """
    length = _tail_length(p.detach(), q.detach(), u.detach())
    s, weights = graded_rule(length)
    p, q, u = p.unsqueeze(-1), q.unsqueeze(-1), u.unsqueeze(-1)
    low, high = _log_ratios(u, s)
    return low, high, weights * torch.exp(p * low + q * high)


def _log_ratios(u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`\log t/x \le 0` and :math:`\log (1-t)/(1-x) \ge 0` for t at logit u - s, x at logit u.

    They differ by s, exactly. The one that is small against s is computed, the other follows without cancellation.
    """
    left = u < 1  # right of it, s stays below about 70: p is at least 1 there
    growth = torch.where(left, torch.sigmoid(u), torch.sigmoid(-u)) * torch.expm1(torch.where(left, -s, s))
    small = -torch.log1p(growth)
    return torch.where(left, small - s, small), torch.where(left, small, small + s)


def _tail_length(p: Tensor, q: Tensor, u: Tensor) -> Tensor:
    """How far below u the density of logit Beta(p, q) must be followed."""
    height = p * logsigmoid(u) + q * logsigmoid(-u)

    def fall(s: Tensor) -> tuple[Tensor, Tensor]:
        v = u - s
        return height - p * logsigmoid(v) - q * logsigmoid(-v), p * torch.sigmoid(-v) - q * torch.sigmoid(v)

    # The fall is at least p s + (p + q) log(1 - x).
    return truncation((DROP - (p + q) * logsigmoid(-u)) / p, fall)
