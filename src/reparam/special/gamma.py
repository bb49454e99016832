r"""The incomplete Gamma functions, their inverses, and the pathwise derivatives of the Gamma variate.

Reference implementations in torch operations: one 40-point quadrature (see :mod:`reparam.special._gamma_core`), no
branches on data, and no custom derivative, so that ``torch.compile``, ``torch.func`` and forward mode see ordinary
operations and every order of derivative is the derivative of the same accurate integral. Where many pathwise
derivatives are wanted as numbers alone, the polynomials of the kernels' table take its place
(:mod:`reparam.special._gamma_charts`).
"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from reparam.special import _gamma_core as core
from reparam.special import _regions
from reparam.special._arguments import LEAST_SHAPE, as_float64, poisoned
from reparam.special._gamma_inverse import log_quantile_ratio
from reparam.special._native import native_value


def gammainc(a: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Regularised lower incomplete Gamma function, differentiable in both arguments: the Gamma(a, 1) CDF at x.

    .. math:: P(a, x) = \frac{1}{\Gamma(a)} \int_0^x t^{a - 1} e^{-t} \, dt

    Args:
        a: shape, 0 < a < ∞ (below 1e-300 counted as out of range); broadcasts with x. float32 and narrower are computed
            in float64 and rounded once.
        x: 0 ≤ x ≤ ∞. P(a, 0) = 0 and P(a, ∞) = 1.

    Returns:
        P, to 1e-14 of its value (a tail of :math:`e^{-n}`: n times that) below :math:`x = e^{\psi(a + 1)}`, just above
        the mean, and to 1e-15 above. NaN, with NaN gradients, where an argument is out of range.

    Gradient: exact in a and x, to every order, in reverse and forward mode; the first derivatives to 1e-13, or
    5e-15 / a where a is below 0.05. At x = 0 the slope in x is the density's
    limit (∞, 1 or 0 as a is below, at or above 1).

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Gautschi, "A computational procedure for incomplete gamma functions", ACM TOMS, 1979. Figurnov, Mohamed and
        Mnih, "Implicit reparameterization gradients", NeurIPS, 2018.

    Example:
        >>> a = torch.tensor(2.0, requires_grad=True)
        >>> p = gammainc(a, 3.0)
        >>> round(p.item(), 6), round(torch.autograd.grad(p, a)[0].item(), 6)
        (0.800852, -0.197425)
    """
    return _regularised(a, x, complement=False)


def gammaincc(a: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Regularised upper incomplete Gamma function :math:`Q(a, x) = 1 - P(a, x)`, differentiable in both arguments.

    To 1e-14 of its value above :math:`x = e^{\psi(a + 1)}`, and to 1e-15 below. Arguments, gradients, errors and
    references are :func:`gammainc`'s.

    Example:
        >>> round(gammaincc(torch.tensor(2.0, dtype=torch.float64), 700.0).log().item(), 6)
        -693.447492
    """
    return _regularised(a, x, complement=True)


def gammaincinv(a: Tensor | float, p: Tensor | float) -> Tensor:
    r"""Quantile of the Gamma(a, 1) distribution, differentiable in both arguments: the x with P(a, x) = p.

    Args:
        a: shape, 0 < a < ∞ (below 1e-300 counted as out of range); broadcasts with p. float32 and narrower are computed
            in float64 and rounded once.
        p: probability, 0 ≤ p ≤ 1; the quantile is 0 at 0 and ∞ at 1. Near 1 a float has lost the upper tail: pass
            its complement to :func:`gammainccinv`, or log p to :func:`log_gammaincinv`.

    Returns:
        x; 0 where it underflows, as it does for most p once a is below 1e-3. NaN where an argument is out of range.

    Gradient: implicit, :math:`\partial x / \partial a = g(a, x)` (:func:`gamma_dx_dconcentration`) and
    :math:`\partial x / \partial p = 1 / p(x; a)`, in every mode of differentiation, up to the eighth derivative.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        DiDonato and Morris, "Computation of the incomplete gamma function ratios and their inverse", ACM TOMS, 1986.

    Example:
        >>> x = gammaincinv(torch.tensor(2.0, dtype=torch.float64), 0.5)
        >>> round(x.item(), 6), round(gammainc(2.0, x).item(), 6)
        (1.678347, 0.5)
    """
    return _quantile(a, p, complement=False)


def gammainccinv(a: Tensor | float, q: Tensor | float) -> Tensor:
    r"""Upper quantile of the Gamma(a, 1) distribution: the x with Q(a, x) = q, to relative accuracy at small q.

    ∞ at q = 0 and 0 at q = 1. Arguments, gradients, errors and references are :func:`gammaincinv`'s, with the slope
    in q the negative of its slope in p.

    Example:
        >>> round(gammainccinv(torch.tensor(2.0, dtype=torch.float64), 1e-300).item(), 6)
        697.324211
    """
    return _quantile(a, q, complement=True)


def log_gammaincinv(a: Tensor | float, log_p: Tensor | float) -> Tensor:
    r"""Logarithm of the Gamma(a, 1) quantile at :math:`e^{\log p}`, over the whole range of both tails.

    .. math:: \log x \quad \text{with} \quad \log P(a, x) = \log p; \qquad
              \log x \to (\log p + \log \Gamma(a + 1)) / a \quad (\log p \to -\infty)

    Args:
        a: shape, 0 < a < ∞ (below 1e-300 counted as out of range); broadcasts with log_p. float32 and narrower are
            computed in float64 and rounded once.
        log_p: −∞ ≤ log p ≤ 0, the logarithm of a uniform variate for instance. −∞ gives −∞ and 0 gives ∞; next to 0
            it resolves the upper tail, :math:`1 - p \approx -\log p`.

    Returns:
        log x, which does not underflow where x does. NaN where an argument is out of range.

    Gradient: implicit, in a (:func:`gamma_dlogx_dconcentration`) and in log p, up to the eighth derivative.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References: see :func:`gammaincinv`.

    Example:
        >>> round(log_gammaincinv(1e-4, torch.tensor(0.5, dtype=torch.float64).log()).item(), 3)
        -6932.049
    """
    (a, log_p), dtype = as_float64(a=a, log_p=log_p)
    a, log_p = poisoned((a >= LEAST_SHAPE) & (a < torch.inf) & (log_p <= 0), a, log_p)
    inner = (log_p > -torch.inf) & (log_p < 0)
    safe_a, safe_log_p = torch.where(inner, a, 1.0), torch.where(inner, log_p, -1.0)
    mu = log_quantile_ratio(safe_a, safe_log_p, _log1mexp(safe_log_p))
    end = torch.where(inner, -1.0, log_p)
    end = end / torch.where(inner, 1.0, a) - torch.log(0.0 - end)
    return torch.where(inner, mu + torch.log(safe_a), end).to(dtype)


def gamma_dx_dconcentration(a: Tensor | float, x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of a Gamma(a, 1) variate in its concentration, with its probability held fixed.

    .. math:: g(a, x) = \left. \frac{dx}{da} \right|_{F} = -\frac{\partial F(x; a) / \partial a}{p(x; a)} > 0

    Args:
        a: concentration, 0 < a < ∞; broadcasts with x. float64 and float32 have kernels on a CPU; what is narrower, or
            may be differentiated, is computed in float64 and rounded once.
        x: the variate, 0 ≤ x ≤ ∞. g(a, 0) = 0 and g(a, ∞) = ∞.

    Returns:
        g, to 2e-14 in float64 and 2e-6 in float32 over 1e-4 ≤ a ≤ 1e6 and all positive x. NaN where an argument is out
        of range.

    Gradient: exact in a and x, to every order, in reverse and forward mode; first derivatives hold to 1e-11, and obey
    :math:`\partial g / \partial x = \psi(a) - \log x - g ((a - 1) / x - 1)`.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS, 2018. Jankowiak and Obermeyer,
        "Pathwise derivatives beyond the reparameterization trick", ICML, 2018.

    Example:
        >>> x = torch.tensor(3.0, dtype=torch.float64)
        >>> round(gamma_dx_dconcentration(2.0, x).item(), 6)
        1.321799
    """
    value = native_value("gamma_dx_da", a, x)
    if value is not None:
        return value
    (a, x), dtype = as_float64(a=a, x=x)
    a, x = poisoned((a >= LEAST_SHAPE) & (a < torch.inf) & (x >= 0), a, x)
    inner = (x > 0) & (x < torch.inf)
    safe_a, safe_x = torch.where(inner, a, 1.0), torch.where(inner, x, 1.0)
    g = safe_x * _dlogx(safe_a, _log_ratio(safe_a, safe_x))
    # The square root has g's value and g's slope at both ends of the support.
    g = torch.where(inner, g, torch.sqrt(torch.where(inner, 1.0, x)))
    return g.to(dtype)


def gamma_dlogx_dconcentration(a: Tensor | float, log_x: Tensor | float) -> Tensor:
    r"""Pathwise derivative of the *logarithm* of a Gamma(a, 1) variate in its concentration.

    .. math:: h(a, \ell) = \left. \frac{d \log x}{da} \right|_{F} = \frac{g(a, e^\ell)}{e^\ell}
              \;\longrightarrow\; \frac{\psi(a + 1) - \ell}{a} \quad (\ell \to -\infty)

    A Gamma variate of small concentration underflows (at a = 1e-4 half of them are below :math:`e^{-6900}`); its
    logarithm does not, and the limit, exact to rounding as soon as x underflows, is :math:`a \ell - \log\Gamma(a + 1)`
    held fixed.

    Args:
        a: concentration, 0 < a < ∞; broadcasts with log_x; dtypes as in :func:`gamma_dx_dconcentration`.
        log_x: logarithm of the variate, any real number. h(a, −∞) = ∞ and h(a, ∞) = 0.

    Returns:
        h, to 2e-14 in float64 and 2e-6 in float32 over 1e-4 ≤ a ≤ 1e6. NaN where an argument is out of range.

    Gradient: exact in a and log x, to every order; first derivatives hold to 1e-11.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References: see :func:`gamma_dx_dconcentration`.

    Example:
        >>> log_x = torch.tensor(-7000.0, dtype=torch.float64)
        >>> round(gamma_dlogx_dconcentration(1e-4, log_x).item() / 1e7, 9)
        6.999422949
    """
    value = native_value("gamma_dlogx_da", a, log_x)
    if value is not None:
        return value
    (a, log_x), dtype = as_float64(a=a, log_x=log_x)
    a, log_x = poisoned((a >= LEAST_SHAPE) & (a < torch.inf) & ~torch.isnan(log_x), a, log_x)
    inner = torch.isfinite(log_x)
    safe_a = torch.where(inner, a, 1.0)
    h = _dlogx(safe_a, torch.where(inner, log_x, 0.0) - torch.log(safe_a))
    h = torch.where(inner, h, torch.relu(-torch.where(inner, 0.0, log_x)))
    return h.to(dtype)


def _dlogx(a: Tensor, mu: Tensor) -> Tensor:
    """By the kernels' tables where many values are all that is asked for, else by the integral."""
    if _regions.serve(a, mu):
        charts = importlib.import_module("reparam.special._gamma_charts")  # needless where there are kernels
        return charts.dlogx_dconcentration(a, mu)
    return core.dlogx_dconcentration(a, mu)


def _regularised(a: Tensor | float, x: Tensor | float, *, complement: bool) -> Tensor:
    (a, x), dtype = as_float64(a=a, x=x)
    a, x = poisoned((a >= LEAST_SHAPE) & (a < torch.inf) & (x >= 0), a, x)
    inner = (x > 0) & (x < torch.inf)
    safe_a, safe_x = torch.where(inner, a, 1.0), torch.where(inner, x, 1.0)
    log_mass, tail = core.log_mass(safe_a, _log_ratio(safe_a, safe_x))
    # x^a has the value and the slope of P at x = 0, up to a factor that matters to neither; P(a, inf) = 1.
    end = torch.pow(torch.where(inner, 1.0, x).clamp(0, 1), torch.where(inner, 1.0, a))
    wanted = tail.upper if complement else ~tail.upper
    mass = torch.exp(log_mass)
    # Not -expm1(log_mass): its derivative forms exp(log_mass) as expm1 + 1, which has lost a small tail.
    value = torch.where(inner, torch.where(wanted, mass, 1 - mass), 1 - end if complement else end)
    return value.to(dtype)


def _quantile(a: Tensor | float, p: Tensor | float, *, complement: bool) -> Tensor:
    (a, p), dtype = as_float64(**{"a": a, "q" if complement else "p": p})
    a, p = poisoned((a >= LEAST_SHAPE) & (a < torch.inf) & (p >= 0) & (p <= 1), a, p)
    inner = (p > 0) & (p < 1)
    safe_a, safe_p = torch.where(inner, a, 1.0), torch.where(inner, p, 0.5)
    logs = torch.log(safe_p), torch.log1p(-safe_p)
    x = safe_a * torch.exp(log_quantile_ratio(safe_a, *(reversed(logs) if complement else logs)))
    end_a, end_p = torch.where(inner, 1.0, a), torch.where(inner, 0.5, 1 - p if complement else p)
    # x ~ p^(1/a) at 0 and oo at 1, value and slope.
    return torch.where(inner, x, torch.pow(end_p, 1 / end_a) / (1 - end_p)).to(dtype)


def _log1mexp(t: Tensor) -> Tensor:
    """log(1 - exp(t)) for t < 0."""
    near = t > -0.5
    small, large = torch.where(near, t, -0.5), torch.where(near, -0.5, t)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))


def _log_ratio(a: Tensor, x: Tensor) -> Tensor:
    """log(x / a), to relative accuracy where x is near a."""
    near = (x - a).abs() < 0.5 * a
    relative = torch.where(near, x - a, 0.0) / a
    return torch.where(near, torch.log1p(relative), torch.log(x) - torch.log(a))
