r"""The Student-t distribution function, and the pathwise derivative of the Student-t variate in its degrees of freedom.

Reference implementations in torch operations, in float64 and rounded once, of fixed cost and without branches on data;
derivatives of every order are the same integrals differentiated under their sign. With :math:`t = \sqrt\nu \sinh w` the
density of w is :math:`\propto \cosh^{-\nu} w`: even, log-concave, and with features of width one whatever
:math:`\nu` is. The kernels evaluate the same integrals, in C++ and in Triton: there is no table to share.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from reparam.special._arguments import LEAST_SHAPE, as_float64, poisoned
from reparam.special._beta_pieces import (
    DROP,
    digamma_half_step_excess,
    graded_rule,
    log1p_excess,
    stirling_error,
    truncation,
)
from reparam.special._native import native_value


def stdtr(df: Tensor | float, t: Tensor | float) -> Tensor:
    r"""Student-t cumulative distribution function, differentiable in both arguments.

    .. math:: F(t; \nu) = \frac12 I_{\nu / (\nu + t^2)}\Bigl(\frac\nu2, \frac12\Bigr), \quad t \le 0; \qquad
        F(t; \nu) = 1 - F(-t; \nu), \quad t > 0

    Args:
        df: degrees of freedom ν, 0 < ν < ∞ (below 1e-300 counted as out of range); broadcasts with t.
        t: any real number or ±∞, any real dtype; float32 and narrower are computed in float64 and rounded once.

    Returns:
        F, to relative accuracy in the lower tail (the upper one is ``stdtr(df, -t)``). NaN, with NaN gradients, where
        an argument is out of range.

    Gradient: exact in df and t, to every order, in reverse and forward mode; 0 at t = ±∞.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Hill, "Algorithm 395: Student's t-distribution", Comm. ACM, 1970.

    Example:
        >>> df = torch.tensor(1.0, requires_grad=True)  # Cauchy: 1/2 + arctan(t) / pi
        >>> p = stdtr(df, -1.0)
        >>> round(p.item(), 6), round(torch.autograd.grad(p, df)[0].item(), 6)
        (0.25, -0.066203)
    """
    (df, t), dtype = as_float64(df=df, t=t)
    df, t = poisoned((df >= LEAST_SHAPE) & (df < torch.inf) & ~torch.isnan(t), df, t)
    inner = torch.isfinite(t)
    nu, x = torch.where(inner, df, 1.0), torch.where(inner, t, 0.0)
    central = _at(nu.detach(), x.detach()).score.squeeze(-1) > 0
    shift, weight = _rule(nu.detach(), x.detach(), central)
    density = torch.exp(_at(nu, x, shift).log_kernel + _log_peak(nu).unsqueeze(-1) + shift)
    mass = x * (weight * density).sum(-1)
    value = torch.where(central, 0.5 + mass, torch.where(x < 0, -mass, 1 - mass))
    end = torch.sigmoid(t) + 0 * df
    return torch.where(inner, value, end).to(dtype)


def student_t_dx_ddf(df: Tensor | float, t: Tensor | float) -> Tensor:
    r"""Pathwise derivative of a standard Student-t variate in its degrees of freedom, at fixed probability.

    .. math:: \frac{dt}{d\nu} = -\frac{\partial F(t; \nu) / \partial \nu}{p(t; \nu)},
        \qquad \frac{dt}{d\nu} \sim -\frac{t^3 + t}{4 \nu^2} \quad (\nu \to \infty)

    Odd in t, and opposite to it in sign: a variate moves inwards as its tails get lighter.

    Args:
        df: degrees of freedom ν, 0 < ν < ∞ (below 1e-300 counted as out of range); broadcasts with t.
        t: the variate, any real number or ±∞, any real dtype; float32 and narrower are computed in float64 and rounded
            once.

    Returns:
        dt/dν, to relative accuracy (1e-12 in float64 for ν in [0.01, 1e6]); 0 at t = 0 and ∓∞ at t = ±∞. NaN, with
        NaN gradients, where an argument is out of range.

    Gradient: exact in df and t, to every order, in reverse and forward mode; the first derivatives to 1e-13 at the
    points of `benchmarks/second_derivatives.py`.

    Raises:
        InvalidArgument: an argument is complex, the shapes do not broadcast, or the devices differ.

    References:
        Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS, 2018.

    Example:
        >>> nu = torch.tensor(1e6, dtype=torch.float64)
        >>> round(student_t_dx_ddf(nu, 2.0).item() * 4e12, 4)  # -(t^3 + t)
        -10.0
    """
    value = native_value("student_t_dt_dnu", df, t)
    if value is not None:
        return value
    (df, t), dtype = as_float64(df=df, t=t)
    df, t = poisoned((df >= LEAST_SHAPE) & (df < torch.inf) & ~torch.isnan(t), df, t)
    inner = torch.isfinite(t)
    nu, x = torch.where(inner, df, 1.0), torch.where(inner, t, 0.0)
    here = _at(nu, x)
    central = here.score.squeeze(-1) > 0
    shift, weight = _rule(nu.detach(), x.detach(), central)
    nodes = _at(nu, x, shift)
    ratio = torch.exp(nodes.log_kernel - here.log_kernel + shift)
    slope = x * (weight * nodes.score * ratio).sum(-1)
    return torch.where(inner, torch.where(central, -slope, slope), -t / df).to(dtype)


class _Point(NamedTuple):
    """The log-density of t, less its peak, and the derivative in ν of the whole; nodes on the last axis."""

    log_kernel: Tensor
    score: Tensor


def _rule(nu: Tensor, t: Tensor, central: Tensor) -> tuple[Tensor, Tensor]:
    r"""Nodes ``t exp(shift)`` and weights on the axis of log t: over (0, t) where central, beyond t elsewhere.

    Central is where the score in ν is positive, up to about :math:`|t| = 1.55` (large ν) or :math:`\log|t| = 1/\nu`
    (small ν); beyond it is negative. So nothing cancels in the integral of the score, on either side. The nodes are
    constants to autograd: they follow t by a factor, and do not move with ν.
    """
    w = torch.asinh(t.abs() / torch.sqrt(nu)).clamp(min=1e-100)  # at t = 0 any nodes will do

    def fall(s: Tensor) -> tuple[Tensor, Tensor]:
        return nu * (s + logsigmoid(2 * w) - logsigmoid(2 * (w + s))), nu * torch.tanh(w + s)

    # cosh(w + s) / cosh(w) is at least exp(s) / 2.
    s, weight = graded_rule(torch.where(central, w, truncation(DROP / nu + math.log(2), fall)))
    w = w.unsqueeze(-1)
    nodes = torch.where(central.unsqueeze(-1), s, w + s)
    shift = nodes - w + torch.log(torch.expm1(-2 * nodes) / torch.expm1(-2 * w))  # log(sinh(nodes) / sinh(w))
    return shift, weight / torch.tanh(nodes)


def _at(nu: Tensor, t: Tensor, shift: Tensor | None = None) -> _Point:
    r"""The density and the score at :math:`t' = t e^{\text{shift}}`, by default at t: finite where t' overflows.

    With :math:`\tau = t'^2 / \nu`, :math:`\nu \log(1 + \tau)` is written :math:`t'^2 - \nu\,\ell(\tau)` for small τ,
    whose derivative in ν does not cancel; so does the score consist of terms of its own size.
    """
    nu, t = nu.unsqueeze(-1), t.unsqueeze(-1)
    shift = torch.zeros_like(t.detach()) if shift is None else shift
    inside = t.abs() < 0.4 * torch.sqrt(nu)  # its nodes are all nearer the centre, and log t is not to be had
    log_tau = 2 * (torch.log(torch.where(inside, 1.0, t).abs()) + shift) - torch.log(nu)
    near = inside | (log_tau < math.log(0.25))
    square = (t * torch.where(near, torch.exp(shift), 0.0)) ** 2
    tau = square / nu
    excess = log1p_excess(tau, torch.log1p(tau))
    far = -logsigmoid(-log_tau)  # log(1 + tau)
    share = torch.where(near, tau / (1 + tau), torch.sigmoid(log_tau))
    energy = torch.where(near, square - nu * excess, nu * far)
    curl = torch.where(near, tau * share - excess, far - share)  # log(1 + tau) - tau / (1 + tau)
    score = 0.5 * (digamma_half_step_excess(nu / 2) - curl + share / nu)
    return _Point(-0.5 * (energy + torch.where(near, torch.log1p(tau), far)), score)


def _log_peak(nu: Tensor) -> Tensor:
    r""":math:`\log\Gamma(\frac{\nu + 1}{2}) - \log\Gamma(\frac\nu2) - \frac12 \log \nu\pi`, near -0.92 for large ν."""
    z = nu / 2
    half = 0.5 / z
    corrections = stirling_error(z + 0.5) - stirling_error(z)
    return corrections - z * log1p_excess(half, torch.log1p(half)) - 0.5 * math.log(2 * math.pi)
