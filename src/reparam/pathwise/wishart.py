"""The Wishart law, under each of torch's three parameterisations."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Wishart

from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register


@register(
    Wishart,
    kind="implicit",
    parameters=("df", "covariance_matrix", "precision_matrix", "scale_tril"),
    reference="Bartlett's decomposition, 1933; Gamma implicitly, Figurnov, Mohamed and Mnih, NeurIPS 2018",
)
@rounded_once
def wishart(dist: Wishart, noise: BoundNoise) -> Tensor:
    """`(L A)(L A)^T` with A lower triangular: normal below the diagonal, root chi-squared on it.

    Where df is below the dimension, a sample may be singular to the precision of its dtype. It is kept: redrawing it,
    as torch does, changes the law.
    """
    size = noise.shape[-1]
    order = torch.arange(size, dtype=dist.df.dtype, device=dist.df.device)
    log_square = log_gamma((dist.df.unsqueeze(-1) - order) / 2, noise, noise.shape[:-1]) + math.log(2)
    factor = noise.normal().tril(-1) + torch.diag_embed(exp_in_range(log_square / 2))
    root = dist._unbroadcasted_scale_tril @ factor
    return root @ root.mT
