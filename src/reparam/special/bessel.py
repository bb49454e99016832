r"""Modified Bessel functions of the first kind, and their ratios, at real order and all scales.

Debye's uniform expansion in logarithmic form serves large order and large argument at once: with
:math:`q = \sqrt{v^2 + x^2}` and :math:`p = v/q`,

.. math:: \log I_v(x) \sim q + v \log\frac{x}{v + q} - \tfrac12 \log(2 \pi q) + \sum_k q^{-k} D_k(p^2).

Below order 20 the expansion is taken at an order at least 20 and carried down by the recurrence of the ratios,
which is stable in that direction. Nothing is subtracted that nearly cancels, so torch's own derivatives of these
expressions, of any order, are accurate too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.kernels.implicit import attach, watched
from reparam.special._arguments import promote

# Twelve terms at order 20 leave 5e-16 in log I and 2e-15 in the ratio, over all x.
_LEAST_ORDER = 20
_TERMS = 12


def log_ive(order: float, x: Tensor | float) -> Tensor:
    r"""Logarithm of the exponentially scaled modified Bessel function of the first kind.

    .. math:: \log\left(e^{-x} I_v(x)\right), \qquad I_v(x) = \sum_m \frac{(x/2)^{2m+v}}{m!\,\Gamma(m+v+1)}

    Args:
        order: v >= 0, a number.
        x: x >= 0, any shape; float32 and float64 compute in their own dtype, half precision in float32.

    Returns:
        A tensor of x's shape and dtype. At x = 0 it is 0 for v = 0 and -inf otherwise; NaN for x < 0.

    Gradient: exact, with respect to x, of any order; the order is a constant.

    Raises:
        InvalidArgument: the order is negative or not finite, or x is complex.

    References:
        F. W. J. Olver, Asymptotics and Special Functions, 1974, chapter 10; D. E. Amos, Computation of modified
        Bessel functions and their ratios, Mathematics of Computation, 1974.

    Example:
        >>> log_ive(0.5, torch.tensor(2.0, dtype=torch.float64)).exp()  # sqrt(2 / (pi x)) sinh(x) exp(-x)
        tensor(0.2769, dtype=torch.float64)
    """
    (x,), dtype = promote(x=x)
    value = log_reduced_ive(order, x)
    if order > 0:
        value = value + order * x.log()
    return value.to(dtype)


def bessel_ratio(order: float, x: Tensor | float) -> Tensor:
    r"""Ratio of modified Bessel functions of the first kind, the mean resultant length of directional statistics.

    .. math:: r_v(x) = I_{v+1}(x) / I_v(x), \qquad r_v' = 1 - r_v^2 - \frac{2v+1}{x} r_v

    Order :math:`d/2 - 1` gives :math:`E\langle\mu, X\rangle` under the von Mises-Fisher law in dimension d.

    Args:
        order: v >= 0, a number.
        x: x >= 0, any shape; float32 and float64 compute in their own dtype, half precision in float32.

    Returns:
        A tensor of x's shape and dtype, in [0, 1); 0 at x = 0, NaN for x < 0.

    Gradient: exact, with respect to x, of any order; the order is a constant.

    Raises:
        InvalidArgument: the order is negative or not finite, or x is complex.

    References:
        D. E. Amos, Computation of modified Bessel functions and their ratios, Mathematics of Computation, 1974.

    Example:
        >>> x = torch.tensor(2.0, dtype=torch.float64)
        >>> torch.allclose(bessel_ratio(0.5, x), 1 / x.tanh() - 1 / x)
        True
    """
    (x,), dtype = promote(x=x)
    return _descend(order, x).ratio.to(dtype)


def bessel_ratio_complement(order: float, x: Tensor | float) -> Tensor:
    r"""One minus the ratio of modified Bessel functions, to full relative accuracy where the ratio is nearly 1.

    .. math:: 1 - I_{v+1}(x) / I_v(x) \sim \frac{2v + 1}{2x} \quad (x \to \infty)

    Arguments, gradient, errors and references are those of `bessel_ratio`; the value is 1 at x = 0.

    Example:
        >>> bessel_ratio_complement(0, torch.tensor(1e6, dtype=torch.float64)).item()  # doctest: +ELLIPSIS
        5.00000125...e-07
    """
    (x,), dtype = promote(x=x)
    return _descend(order, x).complement.to(dtype)


def log_reduced_ive(order: float, x: Tensor) -> Tensor:
    r""":math:`\log(e^{-x} I_v(x) / x^v)`, finite at x = 0, where it is :math:`-v \log 2 - \log\Gamma(v + 1)`.

    Its derivative is the ratio minus 1: attached, so that only values of the recurrence are asked for, and none of its
    derivatives until the second.
    """
    return attach(functools.partial(_slope_of_log, order), _log_reduced_ive(order, x.detach()), x)


def _slope_of_log(order: float, value: Tensor, x: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor]:
    return [-bessel_ratio_complement(order, x[0])]


def _log_reduced_ive(order: float, x: Tensor) -> Tensor:
    top = _top(order)
    q = _radius(top, x)
    exponent = top * top / (q + x)  # q - x
    series = _expansion(q, (top / q) ** 2, _DEBYE) / q
    lift = torch.log(_descend(order, x).scaled_product)
    return exponent - order * torch.log(top + q) - 0.5 * torch.log(2 * math.pi * q) + series - lift


class _Ratio(NamedTuple):
    """The ratio at the order asked for, one minus it, and the product of (V + q) r_j / x over the orders crossed."""

    ratio: Tensor
    complement: Tensor
    scaled_product: Tensor


def _descend(order: float, x: Tensor) -> _Ratio:
    """The recurrence: to the compiler one operation where only its value is wanted, which it unrolls for minutes."""
    if torch.compiler.is_compiling() and not watched((x,)):
        return _Ratio(*_descent(order, x).unbind())
    return _unrolled(order, x)


@torch.library.custom_op("reparam::bessel_descent", mutates_args=())
def _descent(order: float, x: Tensor) -> Tensor:
    return torch.stack(_unrolled(order, x))


@_descent.register_fake
def _(order: float, x: Tensor) -> Tensor:
    return x.new_empty((len(_Ratio._fields), *x.shape))


@_descent.register_vmap
def _(info: object, in_dims: tuple[None, int], order: float, x: Tensor) -> tuple[Tensor, int]:
    return _descent(order, x), in_dims[1] + 1


def _unrolled(order: float, x: Tensor) -> _Ratio:
    r"""Carry :math:`y_j = x (1 - r_j)` down from order V: :math:`r_j = x / (a_j + x), a_j = 2(j + 1) - y_{j+1}`."""
    top = _top(order)
    q = _radius(top, x)
    slope = 0.5 + _expansion(q, (top / q) ** 2, _DEBYE_SLOPE) / q
    y = x * ((top + top * top / (q + x)) / (top + q) + x / q * (slope / q))
    a, product = y, torch.ones_like(x)
    for steps in range(1, round(top - order) + 1):
        a = 2 * (top - steps + 1) - y
        product = product * ((top + q) / (a + x))
        y = x * (a / (a + x))
    ratio, complement = x / (a + x), a / (a + x)
    # Equal values; but each derivative is accurate only through the smaller of the two.
    near_one = x > a
    return _Ratio(torch.where(near_one, 1 - complement, ratio), torch.where(near_one, complement, 1 - ratio), product)


def _top(order: float) -> float:
    """The order V at which the expansion is taken: the first of v + 1, v + 2, ... that is large enough."""
    if not 0 <= order < math.inf:
        raise InvalidArgument(
            "the order of a Bessel function must be a number v >= 0",
            received=f"order = {order}",
            instead="pass order >= 0; for the von Mises-Fisher law in dimension d it is d / 2 - 1",
        )
    return order + max(1, math.ceil(_LEAST_ORDER - order))


def _radius(order: float, x: Tensor) -> Tensor:
    inside = torch.where(x >= 0, x, torch.nan)
    return torch.hypot(inside, torch.full_like(x, order))


def _expansion(q: Tensor, p2: Tensor, rows: list[list[float]]) -> Tensor:
    """The sum over k of q^(1-k) times the k-th row, a polynomial in p^2: Horner's rule in both."""
    value = torch.zeros_like(q)
    for row in reversed(rows):
        inner = torch.full_like(p2, row[-1])
        for coefficient in reversed(row[:-1]):
            inner = inner * p2 + coefficient
        value = value / q + inner
    return value


def _debye_slopes() -> list[list[int]]:
    r"""Coefficients of the slopes of Debye's series: row n over :math:`2^{4n + 3}`, which makes integers of them all.

    The logarithm S of the series, as a function of p and the large order v, solves

    .. math:: v S' = \tfrac18 (1 - 5 p^2) + \tfrac12 \left(w S'\right)' + \tfrac12 w S'^2, \qquad w = p^2 - p^4.

    With :math:`S = \sum_k v^{-k} p^k D_k`, the k-th slope is :math:`p^{k-1}` times an even polynomial; rows hold it.
    """
    slopes = [[1, -5]]
    for k in range(1, _TERMS):
        row = [0] * (k + 2)
        for j, c in enumerate(slopes[-1]):  # c p^(k-1+2j), times w, differentiated, halved
            row[j] += 8 * c * (k + 1 + 2 * j)
            row[j + 1] -= 8 * c * (k + 3 + 2 * j)
        for left, right in zip(slopes[:-1], reversed(slopes[:-1]), strict=True):
            for i, a in enumerate(left):
                for j, b in enumerate(right):
                    row[i + j] += 16 * a * b
                    row[i + j + 1] -= 16 * a * b
        slopes.append(row)
    return slopes


# Computed on import rather than on first use: the compiler traces through a cache. Python rounds these quotients once.
_SLOPES = _debye_slopes()
# The rows of -(q^2/x) d/dx of the series: d q^-k / dx = -k x q^(-k-2) and d p^2 / dx = -2 p^2 x / q^2.
_DEBYE_SLOPE = [[c / 2 ** (4 * n + 3) for c in row] for n, row in enumerate(_SLOPES)]
# D_k(p^2), row k of degree k in p^2.
_DEBYE = [[c / (2 ** (4 * n + 3) * (n + 1 + 2 * j)) for j, c in enumerate(row)] for n, row in enumerate(_SLOPES)]
