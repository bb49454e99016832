"""Coefficients of the elementary functions that the kernels compute: `csrc/tables/elementary.hpp`.

Each function is reduced to a short interval by an exact identity, and there to a smooth remainder; the remainder is
interpolated at Chebyshev nodes in 60-digit arithmetic. The error of interpolation is within a factor of two or three
of the best polynomial's, and the degrees below leave it under a tenth of a rounding.

    python tools/elementary.py        # writes the table
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import mpmath
from mpmath import mpf

TABLE = pathlib.Path(__file__).parent.parent / "csrc" / "tables" / "elementary.hpp"
DIGITS = 60


def coefficients(f: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> list[mpf]:
    """Powers' coefficients of the polynomial that equals f at the Chebyshev nodes of [low, high]."""
    n = degree + 1
    nodes = [mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    points = [(low + high + (high - low) * t) / 2 for t in nodes]
    powers = mpmath.matrix(n, n)
    for row, point in enumerate(points):
        for column in range(n):
            powers[row, column] = point**column
    return list(mpmath.lu_solve(powers, mpmath.matrix([f(point) for point in points])))


def log_remainder(z: mpf) -> mpf:
    """`(2 atanh(s) / s - 2) / s**2` at `s = sqrt(z)`: log((1 + s) / (1 - s)) = 2 s + s z remainder(z)."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) / s - 2) / z


def exp_remainder(r: mpf) -> mpf:
    """`(exp(r) - 1 - r) / r**2`."""
    if abs(r) < mpf(10) ** (-DIGITS // 3):
        return mpf(1) / 2 + r / 6
    return (mpmath.expm1(r) - r) / r**2


def sin_remainder(z: mpf) -> mpf:
    """`(sin(x) / x - 1) / x**2` at `x = sqrt(z)`."""
    x = mpmath.sqrt(z)
    return (mpmath.sin(x) / x - 1) / z


def cos_remainder(z: mpf) -> mpf:
    """`(cos(x) - 1 + x**2 / 2) / x**4` at `x = sqrt(z)`."""
    return (mpmath.cos(mpmath.sqrt(z)) - 1 + z / 2) / z**2


def quantile_ratio(w: mpf) -> mpf:
    """The normal quantile over `x = 2 p - 1`, as a function of `w = -log(1 - x**2)`."""
    if not w:
        return mpmath.sqrt(mpmath.pi / 2)
    # 1 - x, without the cancellation of x near 1.
    e = mpmath.exp(-w)
    x = mpmath.sqrt(1 - e)
    tail = e / (1 + x) / 2
    z = mpmath.sqrt(2) * mpmath.erfinv(x) if w < 1 else _upper_quantile(tail)
    return z / x


def _upper_quantile(tail: mpf) -> mpf:
    # Newton's iteration for log Q(z) = log tail; mpmath's own inverse starts from x, which is 1 here.
    z = mpmath.sqrt(-2 * mpmath.log(tail))
    for _ in range(60):
        q = mpmath.erfc(z / mpmath.sqrt(2)) / 2
        step = (mpmath.log(q) - mpmath.log(tail)) * q / (mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi))
        z += step
        if abs(step) < mpf(10) ** (10 - DIGITS):
            return z
    raise ArithmeticError(f"no convergence at {tail}")


def gamma_kept(y: mpf) -> mpf:
    """`(3 log(1 + y) - 3 y + 3 y**2 / 2 - y**3) / y**4`, of Marsaglia and Tsang's test."""
    if abs(y) < mpf(10) ** (-DIGITS // 6):
        return -mpf(3) / 4 + 3 * y / 5
    return (3 * mpmath.log1p(y) - 3 * y + 3 * y**2 / 2 - y**3) / y**4


def table() -> str:
    """The header, complete."""
    with mpmath.workdps(DIGITS):
        return HEAD + "".join(_struct(kind) for kind in DEGREES) + "\n}  // namespace reparam\n"


# Degrees of LOG, EXP, SIN, COS, NORMAL_CENTRE, NORMAL_TAIL and GAMMA_KEPT; then the depth of the tail: p from
# 2**-depth on.
DEGREES = {"float": (3, 4, 2, 2, 10, 8, 7, 33), "double": (6, 9, 5, 5, 23, 28, 16, 54)}
GAMMA_BOUND = mpf("0.375")
CENTRE = 6
HEAD = """// Made by tools/elementary.py; do not edit.
#pragma once

namespace reparam {

template <class T> struct Elementary;
"""


def _struct(kind: str) -> str:
    log, exp, sin, cos, centre, tail, kept, depth = DEGREES[kind]
    half_ln2 = mpmath.log(2) / 2
    reach = ((mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)) ** 2
    quarter = (mpmath.pi / 4) ** 2
    # The quantile's ratio: in w - CENTRE / 2 near the centre of the law, in log(w) - TAIL_MIDDLE beyond.
    low, high = mpmath.log(CENTRE), mpmath.log((depth - 2) * mpmath.log(2))
    middle = mpf(round(4 * (low + high) / 2)) / 4
    arrays = {
        "LOG": coefficients(log_remainder, mpf(0), reach, log),
        "EXP": coefficients(exp_remainder, -half_ln2, half_ln2, exp),
        "SIN": coefficients(sin_remainder, mpf(0), quarter, sin),
        "COS": coefficients(cos_remainder, mpf(0), quarter, cos),
        "NORMAL_CENTRE": coefficients(
            lambda t: quantile_ratio(t + mpf(CENTRE) / 2), -mpf(CENTRE) / 2, mpf(CENTRE) / 2, centre
        ),
        "NORMAL_TAIL": coefficients(
            lambda t: quantile_ratio(mpmath.exp(t + middle)), low - middle, high - middle, tail
        ),
        "GAMMA_KEPT": coefficients(gamma_kept, -GAMMA_BOUND, GAMMA_BOUND, kept),
    }
    body = "".join(_array(name, kind, values) for name, values in arrays.items())
    body += f"  static constexpr {kind} NORMAL_BOUND = {CENTRE}, NORMAL_TAIL_MIDDLE = {mpmath.nstr(middle, 5)};\n"
    body += f"  static constexpr {kind} GAMMA_BOUND = {'0.375f' if kind == 'float' else '0.375'};\n"
    return f"\ntemplate <> struct Elementary<{kind}> {{\n{body}}};\n"


def _array(name: str, kind: str, values: list[mpf]) -> str:
    digits, suffix = (9, "f") if kind == "float" else (17, "")
    body = ", ".join(f"{mpmath.nstr(v, digits, min_fixed=0, max_fixed=0)}{suffix}" for v in values)
    return f"  static constexpr {kind} {name}[] = {{{body}}};\n"


PYTHON_TABLE = pathlib.Path(__file__).parent.parent / "src" / "reparam" / "kernels" / "normal_table.py"


def python_table() -> str:
    """The normal quantile's part of the table, for the Triton kernels."""
    header = table()
    lines = [
        '"""Made by tools/elementary.py; do not edit."""\n',
        "import torch\n",
        f"CENTRE_MIDDLE = {CENTRE / 2}",
    ]
    for name in ("CENTRE", "TAIL"):
        values = [
            line.split("= {")[1].rstrip("};").replace("f", "")
            for line in header.splitlines()
            if f" NORMAL_{name}[]" in line
        ]
        lines += [
            f"{name} = {{",
            *(f"    torch.{d}: [\n        {_column(v)},\n    ]," for d, v in zip(DTYPES, values, strict=True)),
            "}",
        ]
    middles = [line.split("MIDDLE = ")[1].rstrip(";") for line in header.splitlines() if "TAIL_MIDDLE" in line]
    lines.append("TAIL_MIDDLE = {" + ", ".join(f"torch.{d}: {m}" for d, m in zip(DTYPES, middles, strict=True)) + "}")
    return "\n".join(lines) + "\n"


DTYPES = ("float32", "float64")


def _column(values: str) -> str:
    return ",\n        ".join(values.split(", "))


if __name__ == "__main__":
    TABLE.write_text(table())
    PYTHON_TABLE.write_text(python_table())
