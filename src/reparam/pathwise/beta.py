"""The Beta law, and the law of a ratio of Gammas that is a Beta in disguise.

Drawn as a ratio of two Gammas in logarithms, and moved by the derivative of the Beta distribution function in its
logit: at a = b = 1e-3 the logit is of the order of 1000 and x is 0 or 1 to any float, yet E[x] moves as it should.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Beta, FisherSnedecor

from reparam.kernels.implicit import attach, drawn
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import draw_log_gamma_ratio, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.beta import beta_dlogit_dconcentration0, beta_dlogit_dconcentration1

# Logits of the smallest normal float and of 1 - eps: beyond them the sigmoid may round to 0 and to 1.
_LOGIT_LIMITS = {
    dtype: (math.log(torch.finfo(dtype).tiny), -math.log(torch.finfo(dtype).eps))
    for dtype in (torch.float32, torch.float64)
}
_IMPLICIT = "implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018"


@register(Beta, kind="implicit", parameters=("concentration1", "concentration0"), reference=_IMPLICIT)
@rounded_once
def beta(dist: Beta, noise: BoundNoise) -> Tensor:
    """The sigmoid of a Beta logit, kept off 0 and 1, where the density may be infinite."""
    # torch keeps the two as one tensor; its own properties would be two nodes of autograd, and two strided views.
    both = dist._dirichlet.concentration
    if both.dtype != noise.like.dtype:
        both = both.to(noise.like.dtype)
    standard = moderate_gamma(noise, both, shape=(*noise.shape, 2))
    if standard is not None:
        low, high = _LOGIT_LIMITS[both.dtype]
        logit = drawn(lambda a, b: _log_ratio(standard(both.detach())).clamp_(low, high), _slopes, *both.unbind(-1))
        return torch.sigmoid(logit)
    a, b = dist.concentration1, dist.concentration0
    x = torch.sigmoid(beta_logit(a, b, noise))
    limits = torch.finfo(x.dtype)
    return x.clamp(limits.tiny, 1 - limits.eps / 2)


@register(FisherSnedecor, kind="implicit", reference=_IMPLICIT)
@rounded_once
def fisher_snedecor(dist: FisherSnedecor, noise: BoundNoise) -> Tensor:
    """The odds of a Beta(df1 / 2, df2 / 2) times df2 / df1."""
    standard = moderate_gamma(noise, dist.df1, dist.df2, floor=1.0, shape=(*noise.shape, 2))
    if standard is not None:

        def draw(df1: Tensor, df2: Tensor) -> Tensor:
            x, y = standard(torch.stack((df1, df2), -1).div_(2)).unbind(-1)
            return x.mul(df2).div_(y.mul(df1))

        return drawn(draw, _fisher_snedecor_slopes, dist.df1, dist.df2)
    return exp_in_range(beta_logit(dist.df1 / 2, dist.df2 / 2, noise) + (dist.df2 / dist.df1).log())


def beta_logit(a: Tensor, b: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    """The logit of x ~ Beta(a, b), with the implicit derivative in both concentrations."""
    return attach(_slopes, draw_log_gamma_ratio(a, b, noise, shape), a, b)


def _log_ratio(pair: Tensor) -> Tensor:
    x, y = pair.unbind(-1)
    return x.div(y).log_()


def _slopes(logit: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    a, b = parameters
    kernels = (beta_dlogit_dconcentration1, beta_dlogit_dconcentration0)
    return [kernel(a, b, logit) if want else None for kernel, want in zip(kernels, needed, strict=True)]


def _fisher_snedecor_slopes(f: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    df1, df2 = parameters
    slopes = _slopes((f * df1 / df2).log(), (df1 / 2, df2 / 2), needed)
    return [
        None if slope is None else f * (slope / 2 - sign / df)
        for slope, sign, df in zip(slopes, (1, -1), parameters, strict=True)
    ]
