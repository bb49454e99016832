r"""Fix the points at which second derivatives are checked: `tests/special/second_derivatives.json`.

    python tools/second_derivatives.py        # half a minute of one core

With F the distribution function at a parameter :math:`\theta` and p its density, the pathwise derivative is
:math:`g = -F_\theta / p`, and its own slopes, which a second derivative of a sample is made of, are

.. math:: g_\theta = -(F_{\theta\theta} + g \, p_\theta) / p, \qquad g_x = -(p_\theta + g \, p_x) / p

All derivatives are differences of mpmath's functions in 90 digits, at points that are exact in float64.
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable, Iterator

import mpmath
from mpmath import mpf

FILE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "special" / "second_derivatives.json"
DIGITS = 90
Law = Callable[[mpf, mpf], mpf]  # of the parameter and the variate
Row = tuple[str, list[float], float, float]


def slopes(cdf: Law, density: Law, parameter: float, variate: float) -> tuple[float, float]:
    """The derivatives of the pathwise derivative in the parameter and in the variate."""
    theta, x = mpf(parameter), mpf(variate)
    step = mpf(10) ** (-DIGITS // 4)
    h, k = theta * step, abs(x) * step
    below, here, above = (cdf(theta + i * h, x) for i in (-1, 0, 1))
    first, second = (above - below) / (2 * h), (above - 2 * here + below) / h**2
    p = density(theta, x)
    p_theta = (density(theta + h, x) - density(theta - h, x)) / (2 * h)
    p_x = (density(theta, x + k) - density(theta, x - k)) / (2 * k)
    g = -first / p
    return float(-(second + g * p_theta) / p), float(-(p_theta + g * p_x) / p)


def gamma_cdf(a: mpf, x: mpf) -> mpf:
    """By the series, whose terms are positive."""
    term = total = 1 / a
    k = a
    while term > total * mpf(10) ** (-DIGITS):
        k += 1
        term *= x / k
        total += term
    return total * mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a))


def gamma_density(a: mpf, x: mpf) -> mpf:
    """Of unit rate."""
    return mpmath.exp((a - 1) * mpmath.log(x) - x - mpmath.loggamma(a))


def beta_density(a: mpf, b: mpf, x: mpf) -> mpf:
    """At the float x itself, whose 1 - x is exact here."""
    log_beta = mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
    return mpmath.exp((a - 1) * mpmath.log(x) + (b - 1) * mpmath.log1p(-x) - log_beta)


def beta_cdf(a: mpf, b: mpf, x: mpf) -> mpf:
    """By the series of positive terms below a half, where it converges, and its mirror image above."""
    if x > 0.5:
        return 1 - beta_cdf(b, a, 1 - x)
    term = total = 1 / a
    k = mpf(0)
    while term > total * mpf(10) ** (-DIGITS):
        term *= x * (a + b + k) / (a + k + 1)
        total += term
        k += 1
    return total * x * (1 - x) * beta_density(a, b, x)


def student_t_cdf(nu: mpf, t: mpf) -> mpf:
    """For t > 0, by the Beta law of its square."""
    return (1 + beta_cdf(mpf(1) / 2, nu / 2, t * t / (nu + t * t))) / 2


def student_t_density(nu: mpf, t: mpf) -> mpf:
    """Of unit scale."""
    peak = mpmath.loggamma((nu + 1) / 2) - mpmath.loggamma(nu / 2) - mpmath.log(nu * mpmath.pi) / 2
    return mpmath.exp(peak - (nu + 1) / 2 * mpmath.log1p(t * t / nu))


def von_mises_density(kappa: mpf, x: mpf) -> mpf:
    """Around 0."""
    return mpmath.exp(kappa * mpmath.cos(x)) / (2 * mpmath.pi * mpmath.besseli(0, kappa))


def von_mises_cdf(kappa: mpf, x: mpf) -> mpf:
    """From the mode, whose distance to F does not depend on kappa."""
    whole = 2 * mpmath.pi * mpmath.besseli(0, kappa)
    return mpmath.quad(lambda t: mpmath.exp(kappa * mpmath.cos(t)), mpmath.linspace(0, x, 5)) / whole


def rows() -> Iterator[Row]:
    """Function, its arguments in order (the variate last), and the two slopes."""
    for a, z in itertools.product((0.01, 0.3, 1.0, 3.0, 30.0, 1e3, 1e6), (-3.0, -0.5, 1.0, 4.0)):
        # Wilson and Hilferty's quantile of a normal z; small shapes at fractions of the mean.
        x = a * max(1 - 1 / (9 * a) + z / (3 * a**0.5), 0.05) ** 3 if a >= 1 else a * 3.0**z
        yield "gamma", [a, x], *slopes(gamma_cdf, gamma_density, a, x)
    betas = ((0.3, 0.7), (1.0, 1.0), (2.0, 5.0), (0.01, 3.0), (30.0, 80.0), (1e3, 1e3), (1.0, 3e4))
    for (a, b), z in itertools.product(betas, (-1.0, -0.3, 0.8, 2.0)):
        odds = a / b * 2.718281828459045 ** (z * (1 / a + 1 / b) ** 0.5) if a >= 0.1 else a / b * 4.0**z
        x = odds / (1 + odds)
        row = slopes(lambda t, y, b=b: beta_cdf(t, mpf(b), y), lambda t, y, b=b: beta_density(t, mpf(b), y), a, x)
        yield "beta", [a, b, x], *row
    for nu, t in itertools.product((0.5, 2.0, 5.0, 30.0, 1e3, 1e5), (0.05, 0.7, 2.0, 6.0)):
        yield "student_t", [nu, t], *slopes(student_t_cdf, student_t_density, nu, t)
    for kappa, z in itertools.product((0.1, 1.0, 5.0, 50.0, 1e3), (0.1, 0.7, 1.5, 3.0)):
        x = z / max(kappa, 1.0) ** 0.5
        yield "von_mises", [kappa, x], *slopes(von_mises_cdf, von_mises_density, kappa, x)


if __name__ == "__main__":
    with mpmath.workdps(DIGITS):
        FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows()) + "\n]\n")
