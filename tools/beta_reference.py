"""Reference values for the Beta and Student-t functions, integrated in 30-digit arithmetic.

    python tools/beta_reference.py beta > tests/special/beta_reference.json         # some minutes
    python tools/beta_reference.py student_t > tests/special/student_t_reference.json

Each pathwise derivative is the integral of score times density over one whole tail, on a logit or hyperbolic axis cut
into many panels; its own derivatives are that integral differentiated under its sign. Nothing is shared with the
library but the choice of points: its distribution functions are inverted, roughly, to find where a tail has a given
mass.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import mpmath as mp
import torch

from reparam.special._beta_tail import nearer_tail
from reparam.special.student_t import stdtr

mp.mp.dps = 30

CONCENTRATIONS = [
    *((1e-3, 1e-3), (1e-3, 1.0), (1.0, 1e-3), (1e-3, 1e6), (1e6, 1e-3), (0.01, 0.3), (0.3, 0.01), (0.1, 0.1)),
    *(
        (0.5, 0.5),
        (1.0, 1.0),
        (1.0, 0.05),
        (2.0, 3.0),
        (0.7, 30.0),
        (30.0, 0.7),
        (5.0, 5.0),
        (40.0, 0.02),
        (0.02, 40.0),
    ),
    *((1.0, 3e4), (3e4, 1.0), (2.0, 1e6), (1e6, 2.0), (3e4, 2.0), (66036.0, 1.5), (10.0, 1e3), (100.0, 100.0)),
    *((1e3, 20.0), (1e4, 1e4), (1e6, 1e6), (1e6, 30.0), (1e5, 0.4), (0.4, 1e5)),
]
MASSES = [1e-12, 1e-4, 0.03, 0.35]
DEGREES = [0.01, 0.05, 0.3, 1.0, 2.0, 5.0, 30.0, 1e3, 1e6]
TAILS = [1e-12, 1e-6, 1e-2, 0.05, 0.07, 0.15, 0.4]

Number: TypeAlias = Any  # mpmath is not typed
Point: TypeAlias = tuple[Number, ...]


def tail_integrals(
    point: Callable[[Number], Point], integrands: Sequence[Callable[[Point], Number]], cuts: Sequence[Number]
) -> list[Number]:
    """Integrals over s > 0 of integrand(point(s)) exp(point(s)[0]), on doubling panels cut also at the given places."""
    cache: dict[Number, Point] = {}

    def at(s: Number) -> Point:
        if s not in cache:
            cache[s] = point(s)
        return cache[s]

    edges, s = [mp.mpf(0)], cuts[0]
    while at(edges[-1])[0] > -80:
        edges.append(s)
        s *= 2
    edges = sorted({*edges, *(c for c in cuts[1:] if 0 < c < edges[-1])})
    return [
        mp.quad(lambda s, f=f: f(at(s)) * mp.exp(at(s)[0]), edges, method="gauss-legendre", maxdegree=5)
        for f in integrands
    ]


def log_sigmoid(v: Number) -> Number:
    """The logarithm of 1 / (1 + exp(-v))."""
    return -mp.log1p(mp.exp(-v)) if v > 0 else v - mp.log1p(mp.exp(v))


def beta_row(a: float, b: float, u: float) -> list[float]:
    """a, b, u, F, 1 - F, h = du/da, dh/da, dh/db, dh/du."""
    p, q, v = mp.mpf(a), mp.mpf(b), mp.mpf(u)
    log_x, log_y = log_sigmoid(v), log_sigmoid(-v)
    centre = mp.digamma(p) - mp.digamma(p + q)
    side = -1 if log_x < centre else 1
    below = v < mp.log(p / q)

    def along(sign: int) -> Callable[[Number], Point]:
        def point(s: Number) -> Point:
            low, high = log_sigmoid(v + sign * s), log_sigmoid(-v - sign * s)
            return p * (low - log_x) + q * (high - log_y), low, high

        return point

    kinks = [k + c for k in (0, mp.log(p / q), mp.log(p), -mp.log(q)) for c in (-8, -4, -2, -1, 0, 1, 2, 4, 8)]
    first = min(1, 1 / mp.sqrt(p), 1 / mp.sqrt(q)) / 8
    score_a, score_b = mp.polygamma(1, p + q) - mp.polygamma(1, p), mp.polygamma(1, p + q)

    def left_of_x(t: Point) -> Number:
        return mp.exp(log_x) - mp.exp(t[1]) if v < 0 else mp.exp(t[2]) - mp.exp(log_y)

    h, h_a, h_b, h_u = tail_integrals(
        along(side),
        [
            lambda t: t[1] - centre,
            lambda t: score_a + (t[1] - centre) * (t[1] - log_x),
            lambda t: score_b + (t[1] - centre) * (t[2] - log_y),
            lambda t: mp.exp(t[2]) + (t[1] - centre) * (p + q) * left_of_x(t),
        ],
        [first, *((k - v) * side for k in kinks)],
    )
    sign = -1 if below else 1
    (mass,) = tail_integrals(along(sign), [lambda t: mp.mpf(1)], [first, *((k - v) * sign for k in kinks)])
    mass *= mp.exp(p * log_x + q * log_y - mp.loggamma(p) - mp.loggamma(q) + mp.loggamma(p + q))
    lower, upper = (mass, 1 - mass) if below else (1 - mass, mass)
    return [float(value) for value in (p, q, v, lower, upper, *(side * value for value in (h, h_a, h_b, h_u)))]


def student_t_row(nu: float, t: float) -> list[float]:
    """ν, t, 1 - F, g = dt/dν, dg/dν, dg/dt."""
    n, x = mp.mpf(nu), mp.mpf(t)
    root = mp.sqrt(n)
    w = mp.asinh(x / root)
    constant = mp.loggamma((n + 1) / 2) - mp.loggamma(n / 2) - mp.log(n * mp.pi) / 2
    c = (mp.digamma((n + 1) / 2) - mp.digamma(n / 2) - 1 / n) / 2
    c_n = (mp.polygamma(1, (n + 1) / 2) - mp.polygamma(1, n / 2)) / 4 + 1 / (2 * n * n)

    def score(y: Number) -> Number:
        ratio = y * y / n
        return c - mp.log1p(ratio) / 2 + (n + 1) / (2 * n) * ratio / (1 + ratio)

    def score_n(y: Number) -> Number:
        ratio = y * y / n
        share = ratio / (1 + ratio)
        return c_n + share / (2 * n) - share / (2 * n * n) - (n + 1) / (2 * n * n) * share / (1 + ratio)

    def point(s: Number) -> Point:
        y = root * mp.sinh(w + s)
        density = -(n + 1) / 2 * (mp.log1p(y * y / n) - mp.log1p(x * x / n))
        return density + mp.log(root * mp.cosh(w + s)), y

    here = score(x)
    mass, g, g_n = tail_integrals(
        point,
        [
            lambda y: mp.mpf(1),
            lambda y: score(y[1]),
            lambda y: score_n(y[1]) + score(y[1]) * (score(y[1]) - here),
        ],
        [min(1, 1 / root) / 8, *(k - w for k in (1, 2, 4, 8))],
    )
    log_density = constant - (n + 1) / 2 * mp.log1p(x * x / n)
    g_t = -here + g * (n + 1) * x / (n + x * x)
    return [float(value) for value in (n, x, mass * mp.exp(log_density), g, g_n, g_t)]


def bisect(rising: Callable[[float], bool], low: float, high: float) -> float:
    """Where `rising` turns from true to false, roughly."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) else (low, middle)
    return low


def beta_logit(a: float, b: float, mass: float, upper: bool) -> float:
    """The logit beyond which logit Beta(a, b) has the given mass."""

    def beyond(u: float) -> bool:
        tail, lower = nearer_tail(*(torch.tensor(v, dtype=torch.float64) for v in (a, b, u)))
        value = tail.item() if lower.item() != upper else 1 - tail.item()
        return (value > mass) if upper else (value < mass)

    return bisect(beyond, -1e5, 1e5)


def student_t_quantile(nu: float, mass: float) -> float:
    """The t above which the Student-t distribution has the given mass."""
    degrees = torch.tensor(nu, dtype=torch.float64)
    return float(mp.exp(bisect(lambda k: stdtr(degrees, -float(mp.exp(k))).item() > mass, -20.0, 690.0)))


def rows(kind: str) -> list[list[float]]:
    """The table, row by row."""
    if kind == "beta":
        places = [(a, b, m, upper) for a, b in CONCENTRATIONS for upper in (False, True) for m in MASSES]
        return [beta_row(a, b, beta_logit(a, b, m, upper)) for a, b, m, upper in places]
    return [student_t_row(nu, student_t_quantile(nu, m)) for nu in DEGREES for m in TAILS]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("[\n" + ",\n".join(json.dumps(row) for row in rows(sys.argv[1])) + "\n]")
