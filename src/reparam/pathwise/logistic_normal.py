"""The logistic-normal law on the simplex; base noise as a tensor is standard normal, one dimension shorter."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import LogisticNormal
from torch.nn.functional import logsigmoid

from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(LogisticNormal, reference="stick breaking of a Normal; Aitchison and Shen, Biometrika 1980")
@rounded_once
def logistic_normal(dist: LogisticNormal, noise: BoundNoise) -> Tensor:
    """Stick breaking in logarithms, so that a stick of length below rounding error keeps its gradient."""
    sticks = noise.shape[-1] - 1
    eps = noise.normal((*noise.shape[:-1], sticks))
    remaining = torch.arange(sticks, 0, -1, dtype=eps.dtype, device=eps.device)
    logit = dist.loc + dist.scale * eps - remaining.log()
    log_left = logsigmoid(-logit).cumsum(-1)
    # log z_k + sum_{j<k} log(1 - z_j), where log z - log(1 - z) is the logit.
    return exp_in_range(torch.cat((logit + log_left, log_left[..., -1:]), -1))
