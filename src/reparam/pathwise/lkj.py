"""The Cholesky factor of an LKJ correlation matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import LKJCholesky
from torch.nn.functional import logsigmoid, normalize, pad

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.beta import beta_logit
from reparam.pathwise.registry import register


@register(
    LKJCholesky,
    kind="implicit",
    parameters=("concentration",),
    reference="onion construction; Lewandowski, Kurowicka and Joe, J. Multivariate Analysis 2009",
)
@rounded_once
def lkj_cholesky(dist: LKJCholesky, noise: BoundNoise) -> Tensor:
    r"""Row i is a uniform direction of length :math:`\sqrt y`, :math:`y \sim \mathrm{Beta}(i/2, \eta + (d-1-i)/2)`.

    The directions do not depend on the concentration; the lengths do, through their Betas.
    """
    dim = noise.shape[-1]
    row = torch.arange(1, dim, dtype=noise.like.dtype, device=noise.like.device)
    rest = dist.concentration.unsqueeze(-1) + (dim - 1 - row) / 2
    logit = beta_logit(row / 2, rest, noise, (*noise.shape[:-2], dim - 1))
    length, diagonal = exp_in_range(logsigmoid(logit) / 2), exp_in_range(logsigmoid(-logit) / 2)
    # A normal that is exactly 0, alone in its row, would have no direction.
    eps = noise.normal()
    direction = normalize(torch.where(eps == 0, 1.0, eps).tril(-1), dim=-1)
    below = direction * pad(length, (1, 0)).unsqueeze(-1)
    return below + torch.diag_embed(pad(diagonal, (1, 0), value=1.0))
