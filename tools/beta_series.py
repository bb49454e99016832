r"""The Beta pathwise derivative at any point, by power series in balls: the truth for its accuracy.

With :math:`R = F / p(u) = \sum_k x^k (a + b)_k / (a)_{k + 1}`, :math:`u = \operatorname{logit} x`, the derivative of u
in a at fixed probability is :math:`-(s R + \partial_a R)`, :math:`s = \log x + \psi(a + b) - \psi(a)`; summed in 1 - x,
for the mirror image, it is :math:`s R + \partial_a R`. The digits lost to cancellation are made up for.
"""

from __future__ import annotations

import itertools

from flint import arb, ctx

_ACCURACY = 70  # bits of the result


def dlogit_dconcentration1(a: float, b: float, u: float) -> float:
    """The derivative of logit x in a, rounded once."""
    ctx.prec = 128
    while True:
        value = _by_series(arb(a), arb(b), arb(u))
        if value.rel_accuracy_bits() >= _ACCURACY:
            return float(value.mid())
        ctx.prec *= 2


def _by_series(a: arb, b: arb, u: arb) -> arb:
    lower = u < 0
    x = 1 / (1 + (-u if lower else u).exp())
    p, total = (a if lower else b), a + b
    score = -(1 + (-u).exp()).log() + total.digamma() - a.digamma()
    term = 1 / p
    slope = -term if lower else arb(0)  # of log term, in a
    ratio, ratio_slope = term, term * slope
    for k in itertools.count(1):
        above, below = total + k - 1, p + k
        factor = x * above / below
        term *= factor
        slope += 1 / above - (1 / below if lower else 0)
        ratio += term
        ratio_slope += term * slope
        # Beyond here factors stay below the larger of this one and x, and the slope grows by less than itself.
        if k % 32 == 0 and factor < 1 and _remainder(term * (1 + abs(slope)), max(factor, x)) < _tiny(ratio):
            break
    h = score * ratio + ratio_slope
    return -h if lower else h


def _remainder(term: arb, factor: arb) -> arb:
    return term / (1 - factor) ** 2


def _tiny(size: arb) -> arb:
    return abs(size) * arb(2) ** (8 - ctx.prec)
