r"""The regularised incomplete Beta function, and the pathwise derivatives of the Beta variate.

Reference implementations in torch operations: one 56-point quadrature over the nearer tail of logit X, a fixed cost
whatever the arguments, and no branch on data. Derivatives of every order, in reverse and forward mode, are those of the
same integral, differentiated under its sign by autograd. Where a derivative is asked of the result, the graph keeps a
few hundred numbers an element; under ``no_grad`` nothing is kept. Where many pathwise derivatives are wanted as
numbers alone, the kernels' polynomials and continued fraction take its place (:mod:`reparam.special._beta_charts`).

Everything is computed on the logit axis, in float64, and rounded once to the dtype of the arguments.
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from reparam.special import _regions
from reparam.special._arguments import LEAST_SHAPE, as_float64, poisoned
from reparam.special._beta_pieces import digamma_difference
from reparam.special._beta_tail import dlogit_dconcentration1, nearer_tail
from reparam.special._native import native_value


def betainc(a: Tensor | float, b: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Regularised incomplete Beta function, differentiable in all three arguments: the Beta(a, b) CDF at x.

    .. math:: I_x(a, b) = \frac{1}{B(a, b)} \int_0^x t^{a - 1} (1 - t)^{b - 1} \, dt

    Args:
        a: concentration1, 0 < a < ∞ (below 1e-300 counted as out of range, b too); a, b and x broadcast.
        b: concentration0, 0 < b < ∞.
        x: 0 ≤ x ≤ 1, any real dtype; float32 and narrower are computed in float64 and rounded once.

    Returns:
        :math:`I_x(a, b)`, to relative accuracy in the lower tail (1e-12 in float64 for a and b in [1e-3, 1e6]). NaN,
        with NaN gradients, where an argument is out of range.

    Gradient: exact in a, b and x, to every order, in reverse and forward mode. At x = 0 and x = 1 the first derivatives
    are the limits: 0 in a and b, the density in x.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Didonato and Morris, "Algorithm 708: significant digit computation of the incomplete beta function ratios",
        ACM TOMS, 1992. Boik and Robison-Cox, "Derivatives of the incomplete beta function", J. Stat. Softw., 1999.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> p = betainc(a, 3.0, 0.25)
        >>> round(p.item(), 6), round(torch.autograd.grad(p, a)[0].item(), 6)
        (0.261719, -0.228054)
    """
    return _regularised(a, b, x, complement=False)


def betaincc(a: Tensor | float, b: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Complement of the regularised incomplete Beta function, :math:`1 - I_x(a, b)`: the Beta(a, b) survival function.

    Relative accuracy holds in the upper tail. Where 1 - x is known better than x, write ``betainc(b, a, 1 - x)``.
    Arguments, gradients, errors and references are :func:`betainc`'s.

    Example:
        >>> round(betaincc(2.0, 700.0, torch.tensor(0.5, dtype=torch.float64)).log().item(), 6)
        -479.34224
    """
    return _regularised(a, b, x, complement=True)


def beta_dx_dconcentration1(a: Tensor | float, b: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of a Beta(a, b) variate in its first concentration, at fixed probability.

    .. math:: \frac{dx}{da} = -\frac{\partial I_x(a, b) / \partial a}{p(x; a, b)} \ge 0

    Args:
        a: concentration1, 0 < a < ∞; a, b and x broadcast.
        b: concentration0, 0 < b < ∞.
        x: the variate, 0 ≤ x ≤ 1, any real dtype; float32 and narrower are computed in float64 and rounded once. Near 1
            a float has few digits of 1 - x, and below its range none of x: :func:`beta_dlogit_dconcentration1` takes
            the logit instead.

    Returns:
        dx/da, to relative accuracy (1e-12 in float64 for a and b in [1e-3, 1e6], in both tails); 0 at x = 0 and x = 1.
        NaN, with NaN gradients, where an argument is out of range.

    Gradient: exact in a, b and x, to every order, in reverse and forward mode; the first derivatives to 2e-12 at the
    points of `benchmarks/second_derivatives.py`. At x = 0 the slope in x is ∞.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS, 2018. Jankowiak and Obermeyer,
        "Pathwise derivatives beyond the reparameterization trick", ICML, 2018.

    Example:
        >>> round(beta_dx_dconcentration1(torch.tensor(1.0), 1.0, 0.5).item(), 6)  # -x log x at a = b = 1
        0.346574
    """
    value = native_value("beta_dx_da", a, b, x)
    if value is not None:
        return value
    (a, b, x), dtype = as_float64(a=a, b=b, x=x)
    a, b, x = poisoned(_in_domain(a, b) & (x >= 0) & (x <= 1), a, b, x)
    inner = (x > 0) & (x < 1)
    a_, b_, x_ = _where(inner, (a, 1.0), (b, 1.0), (x, 0.5))
    slope = x_ * (1 - x_) * _by_charts_or_integral(a_, b_, _logit(x_))
    a_, b_, x_ = _where(~inner, (a, 1.0), (b, 1.0), (x, 1.0))
    # Both vanish at their end; x^(1/2) has the infinite slope of -x log x, and the other is the limit at x = 1.
    end = torch.where(x_ < 0.5, torch.sqrt(x_), (1 - x_) * digamma_difference(a_, b_) / b_)
    return torch.where(inner, slope, end).to(dtype)


def beta_dx_dconcentration0(a: Tensor | float, b: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of a Beta(a, b) variate in its second concentration, at fixed probability.

    .. math:: \frac{dx}{db} = -\frac{\partial I_x(a, b) / \partial b}{p(x; a, b)} \le 0

    The mirror image of :func:`beta_dx_dconcentration1`, computed without forming 1 - x. Arguments, accuracy, gradients,
    errors and references are that function's, except that the slope in x is infinite at x = 1 instead of x = 0.

    Example:
        >>> round(beta_dx_dconcentration0(torch.tensor(1.0), 1.0, 0.5).item(), 6)  # (1 - x) log(1 - x) at a = b = 1
        -0.346574
    """
    value = native_value("beta_dx_db", a, b, x)
    if value is not None:
        return value
    (a, b, x), dtype = as_float64(a=a, b=b, x=x)
    a, b, x = poisoned(_in_domain(a, b) & (x >= 0) & (x <= 1), a, b, x)
    inner = (x > 0) & (x < 1)
    a_, b_, x_ = _where(inner, (a, 1.0), (b, 1.0), (x, 0.5))
    slope = -x_ * (1 - x_) * _by_charts_or_integral(b_, a_, -_logit(x_))
    a_, b_, x_ = _where(~inner, (a, 1.0), (b, 1.0), (x, 0.0))
    end = torch.where(x_ > 0.5, -torch.sqrt(1 - x_), -x_ * digamma_difference(b_, a_) / a_)
    return torch.where(inner, slope, end).to(dtype)


def beta_dlogit_dconcentration1(a: Tensor | float, b: Tensor | float, logit_x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of the logit of a Beta(a, b) variate in its first concentration, given the logit.

    .. math::
        \frac{du}{da}, \quad u = \log\frac{x}{1 - x}; \qquad
        \frac{d \log x}{da} = (1 - x) \frac{du}{da}, \quad \frac{d \log(1 - x)}{da} = -x \frac{du}{da}

    At a = b = 1e-3 the logit is of the order of ±1000, and x itself 0 or 1 to any float: this is the derivative to use
    there.

    Args:
        a: concentration1, 0 < a < ∞; a, b and logit_x broadcast.
        b: concentration0, 0 < b < ∞.
        logit_x: any real number or ±∞, any real dtype; float32 and narrower are computed in float64 and rounded once.

    Returns:
        du/da > 0, to relative accuracy (1e-12 in float64 for a and b in [1e-3, 1e6]). The limits are ∞ at u = -∞ and
        :math:`(\psi(a + b) - \psi(a)) / b` at u = ∞. NaN, with NaN gradients, where an argument is out of range.

    Gradient: exact in a, b and logit_x, to every order, in reverse and forward mode. On the domain above its error is
    1e-8 of itself, plus, where it all but vanishes, 1e-15 du/da / b in b and 1e-14 du/da in the logit. By the implicit
    identity

    .. math:: \frac{\partial}{\partial u} \frac{du}{da} = \psi(a) - \psi(a + b) - \log x - (a - (a + b) x) \frac{du}{da}

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS, 2018.

    Example:
        >>> tiny = torch.tensor(1e-3, dtype=torch.float64)
        >>> round(beta_dlogit_dconcentration1(tiny, tiny, -2000.0).item())  # (psi(1 + a) - psi(a + b) - log x) / a
        2499998
    """
    value = native_value("beta_dlogit_da", a, b, logit_x)
    if value is not None:
        return value
    (a, b, u), dtype = as_float64(a=a, b=b, logit_x=logit_x)
    return _dlogit(a, b, u).to(dtype)


def beta_dlogit_dconcentration0(a: Tensor | float, b: Tensor | float, logit_x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of the logit of a Beta(a, b) variate in its second concentration, given the logit.

    .. math::
        \frac{du}{db}(a, b, u) = -\frac{du}{da}(b, a, -u)

    The mirror image of :func:`beta_dlogit_dconcentration1`, whose arguments, accuracy, gradients, errors and
    references are meant here too.

    Example:
        >>> tiny = torch.tensor(1e-3, dtype=torch.float64)
        >>> round(beta_dlogit_dconcentration0(tiny, tiny, 2000.0).item())
        -2499998
    """
    value = native_value("beta_dlogit_db", a, b, logit_x)
    if value is not None:
        return value
    (a, b, u), dtype = as_float64(a=a, b=b, logit_x=logit_x)
    return -_dlogit(b, a, -u).to(dtype)


def _dlogit(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    a, b, u = poisoned(_in_domain(a, b) & ~torch.isnan(u), a, b, u)
    inner = torch.isfinite(u)
    a_, b_, u_ = _where(inner, (a, 1.0), (b, 1.0), (u, 0.0))
    slope = _by_charts_or_integral(a_, b_, u_)
    a_, b_, u_ = _where(~inner, (a, 1.0), (b, 1.0), (u, 0.0))
    end = torch.where(u_ < 0, -u_ / a_, digamma_difference(a_, b_) / b_)
    return torch.where(inner, slope, end)


def _by_charts_or_integral(a: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """By the kernels' formulas where many values are all that is asked for, else by the integral."""
    if _regions.serve(a, b, u):
        charts = importlib.import_module("reparam.special._beta_charts")  # needless where there are kernels
        return charts.dlogit_dconcentration1(a, b, u)
    return dlogit_dconcentration1(a, b, u)


def _regularised(a: Tensor | float, b: Tensor | float, x: Tensor | float, *, complement: bool) -> Tensor:
    (a, b, x), dtype = as_float64(a=a, b=b, x=x)
    a, b, x = poisoned(_in_domain(a, b) & (x >= 0) & (x <= 1), a, b, x)
    inner = (x > 0) & (x < 1)
    a_, b_, x_ = _where(inner, (a, 1.0), (b, 1.0), (x, 0.5))
    tail, lower = nearer_tail(a_, b_, _logit(x_))
    value = torch.where(lower ^ complement, tail, 1 - tail)
    a_, b_, x_ = _where(~inner, (a, 1.0), (b, 1.0), (x, 0.0))
    # Powers with the value and the slope in x of the function at its ends.
    low, high = b_ * torch.pow(x_, a_), a_ * torch.pow(1 - x_, b_)
    end = torch.where(x_ < 0.5, 1 - low if complement else low, high if complement else 1 - high)
    return torch.where(inner, value, end).to(dtype)


def _in_domain(a: Tensor, b: Tensor) -> Tensor:
    return (a >= LEAST_SHAPE) & (a < torch.inf) & (b >= LEAST_SHAPE) & (b < torch.inf)


def _logit(x: Tensor) -> Tensor:
    return torch.log(x) - torch.log1p(-x)


def _where(mask: Tensor, *pairs: tuple[Tensor, float]) -> list[Tensor]:
    """Each tensor where the mask holds, and a harmless number elsewhere: no NaN may enter a gradient there."""
    return [torch.where(mask, tensor, other) for tensor, other in pairs]
