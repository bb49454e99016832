"""The Beta law, and the law of a ratio of Gammas that is a Beta in disguise.

Drawn as a ratio of two Gammas in logarithms, and moved by the derivative of the Beta distribution function in its
logit: at a = b = 1e-3 the logit is of the order of 1000 and x is 0 or 1 to any float, yet E[x] moves as it should.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta, FisherSnedecor

from reparam.kernels.flows import beta_flows
from reparam.kernels.implicit import Drawn, DrawnFromPair, attach
from reparam.kernels.memory import shares
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import draw_log_gamma_ratio, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.beta import beta_dlogit_dconcentration0, beta_dlogit_dconcentration1

# The floats next to 0 and to 1.
_LIMITS = {d: (torch.finfo(d).tiny, 1 - torch.finfo(d).eps / 2) for d in (torch.float32, torch.float64)}
_IMPLICIT = "implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018"


@register(Beta, kind="implicit", parameters=("concentration1", "concentration0"), reference=_IMPLICIT)
@rounded_once
def beta(dist: Beta, noise: BoundNoise) -> Tensor:
    """The sigmoid of a Beta logit, kept off 0 and 1, where the density may be infinite."""
    # torch keeps the two as one tensor; its own properties would be two nodes of autograd, and two strided views.
    both = dist._dirichlet.concentration
    if both.dtype != noise.like.dtype:
        both = both.to(noise.like.dtype)
    low, high = _LIMITS[both.dtype]
    standard = moderate_gamma(noise, both, shape=(*noise.shape, 2))
    if standard is not None:
        return _drawn_beta(lambda both: shares(standard(both), low, high), both)
    return torch.sigmoid(beta_logit(dist.concentration1, dist.concentration0, noise)).clamp(low, high)


@register(FisherSnedecor, kind="implicit", reference=_IMPLICIT)
@rounded_once
def fisher_snedecor(dist: FisherSnedecor, noise: BoundNoise) -> Tensor:
    """The odds of a Beta(df1 / 2, df2 / 2) times df2 / df1."""
    standard = moderate_gamma(noise, dist.df1, dist.df2, floor=1.0, shape=(*noise.shape, 2))
    if standard is not None:

        def draw(df1: Tensor, df2: Tensor) -> Tensor:
            x, y = standard(torch.stack((df1, df2), -1).div_(2)).unbind(-1)
            return x.mul(df2).div_(y.mul(df1))

        return _drawn_fisher_snedecor(draw, dist.df1, dist.df2)
    return exp_in_range(beta_logit(dist.df1 / 2, dist.df2 / 2, noise) + (dist.df2 / dist.df1).log())


def beta_logit(a: Tensor, b: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    """The logit of x ~ Beta(a, b), with the implicit derivative in both concentrations."""
    return attach(_slopes, draw_log_gamma_ratio(a, b, noise, shape), a, b)


def _slopes(logit: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    a, b = parameters
    kernels = (beta_dlogit_dconcentration1, beta_dlogit_dconcentration0)
    return [kernel(a, b, logit) if want else None for kernel, want in zip(kernels, needed, strict=True)]


def _beta_slopes(x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    along = x * (1 - x)
    return [None if slope is None else along * slope for slope in _slopes(x.logit(), parameters, needed)]


def _fisher_snedecor_slopes(f: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    df1, df2 = parameters
    slopes = _slopes((f * df1 / df2).log(), (df1 / 2, df2 / 2), needed)
    return [
        None if slope is None else f * (slope / 2 - sign / df)
        for slope, sign, df in zip(slopes, (1, -1), parameters, strict=True)
    ]


_drawn_beta = DrawnFromPair(_beta_slopes, beta_flows)
_drawn_fisher_snedecor = Drawn(_fisher_snedecor_slopes)
