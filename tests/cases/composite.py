"""Wrappers, which move as their parts do, and mixtures, which do not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as td

from cases.row import Case, Moments, itself, t
from cases.vector import product


def _transformed_normal(loc: Tensor, scale: Tensor, shift: Tensor, stretch: Tensor) -> td.Distribution:
    return td.TransformedDistribution(td.Normal(loc, scale), [td.AffineTransform(shift, stretch), td.ExpTransform()])


def _mixture(components, **weights: Tensor) -> td.MixtureSameFamily:
    # torch's check of a simplex looks at values, which vmap hides.
    return td.MixtureSameFamily(td.Categorical(**weights, validate_args=False), components)


def _weighted(weight_of: Callable[..., Tensor], of_component: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def exact(loc: Tensor, scale: Tensor, **weights: Tensor) -> Tensor:
        return (weight_of(*weights.values()) * of_component(loc, scale)).sum(-1)

    return exact


def _normal_mixture_moments(weight_of) -> Moments:
    return {
        "mean": (itself, _weighted(weight_of, lambda loc, scale: loc)),
        "square": (torch.square, _weighted(weight_of, lambda loc, scale: loc**2 + scale**2)),
        "wave": (torch.cos, _weighted(weight_of, lambda loc, scale: loc.cos() * torch.exp(-(scale**2) / 2))),
    }


def _pair_moments(covariance) -> Moments:
    """Components in two dimensions: a gradient to the weights that moves each coordinate alone gets the mean right."""

    def cross(logits: Tensor, loc: Tensor, **p: Tensor) -> Tensor:
        return (logits.softmax(-1) * (loc.prod(-1) + covariance(**p)[:, 0, 1])).sum()

    def wave(logits: Tensor, loc: Tensor, **p: Tensor) -> Tensor:
        spread = covariance(**p).sum((-2, -1))
        return (logits.softmax(-1) * loc.sum(-1).cos() * torch.exp(-spread / 2)).sum()

    return {
        "mean": (itself, lambda logits, loc, **p: logits.softmax(-1) @ loc),
        "cross": (product, cross),
        "wave": (lambda x: torch.cos(x.sum(-1)), wave),
    }


def _of_tril(scale_tril: Tensor) -> Tensor:
    # What a caller puts above the diagonal is no parameter.
    return scale_tril.tril() @ scale_tril.tril().mT


LOGITS, PAIRS = t(0.3, -0.2), t((0.0, 0.0), (1.0, 1.5))

MIXTURES = [
    *(
        Case(
            f"MixtureSameFamily-{name}",
            lambda loc, scale, **weights: _mixture(td.Normal(loc, scale), **weights),
            {name: value, "loc": t(-0.5, 1.0), "scale": t(0.8, 0.5)},
            _normal_mixture_moments(weight_of),
            path="cdf",
            samples=4_000,
        )
        for name, value, weight_of in (
            ("logits", LOGITS, lambda logits: logits.softmax(-1)),
            ("probs", LOGITS.softmax(-1), lambda probs: probs / probs.sum()),
        )
    ),
    Case(
        "MixtureSameFamily-Gamma",
        lambda logits, concentration, rate: _mixture(td.Gamma(concentration, rate), logits=logits),
        {"logits": LOGITS, "concentration": t(0.8, 6.0), "rate": t(1.0, 2.0)},
        {
            "mean": (itself, lambda logits, concentration, rate: logits.softmax(-1) @ (concentration / rate)),
            "log": (
                torch.log,
                lambda logits, concentration, rate: logits.softmax(-1) @ (torch.digamma(concentration) - rate.log()),
            ),
        },
        path="cdf",
        samples=2_000,
    ),
    Case(
        "MixtureSameFamily-Independent",
        lambda logits, loc, scale: _mixture(td.Independent(td.Normal(loc, scale), 1), logits=logits),
        {"logits": LOGITS, "loc": PAIRS, "scale": t((1.0, 0.5), (0.7, 1.2))},
        _pair_moments(lambda scale: torch.diag_embed(scale**2)),
        path="moments",
        samples=4_000,
    ),
    Case(
        "MixtureSameFamily-MultivariateNormal",
        lambda logits, loc, scale_tril: _mixture(
            td.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False), logits=logits
        ),
        {"logits": LOGITS, "loc": PAIRS, "scale_tril": t(((1.0, 0.0), (0.5, 0.7)), ((0.6, 0.0), (-0.4, 1.1)))},
        _pair_moments(_of_tril),
        path="moments",
        samples=4_000,
    ),
]

CASES = [
    Case(
        "Independent",
        lambda loc, scale: td.Independent(td.Normal(loc, scale), 1),
        {"loc": t(0.5, -2.0), "scale": t(2.0, 0.3)},
        {"square of sum": (lambda x: x.sum(-1) ** 2, lambda loc, scale: loc.sum() ** 2 + (scale**2).sum())},
    ),
    Case(
        "TransformedDistribution",
        _transformed_normal,
        {
            name: torch.tensor(v, dtype=torch.float64)
            for name, v in zip(("loc", "scale", "shift", "stretch"), (0.1, 0.4, -0.3, 0.8), strict=True)
        },
        {
            "mean": (
                itself,
                lambda loc, scale, shift, stretch: torch.exp(shift + stretch * loc + (stretch * scale) ** 2 / 2),
            ),
            "log square": (
                lambda x: x.log() ** 2,
                lambda loc, scale, shift, stretch: (shift + stretch * loc) ** 2 + (stretch * scale) ** 2,
            ),
        },
    ),
    *MIXTURES,
]
