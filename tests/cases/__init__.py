"""The table: every continuous distribution with parameter points and exact moments. Adding a row adds its tests."""

from __future__ import annotations

from cases import composite, gamma, location_scale, matrix, quantile, shaped, simplex, sphere, tails, vector
from cases.row import Case

__all__ = ["CASES", "Case"]

CASES: list[Case] = [
    *location_scale.CASES,
    *quantile.CASES,
    *shaped.CASES,
    *gamma.CASES,
    *tails.CASES,
    *simplex.CASES,
    *vector.CASES,
    *matrix.CASES,
    *sphere.CASES,
    *composite.CASES,
]
