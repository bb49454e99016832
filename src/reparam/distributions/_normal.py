"""The standard normal law, as the families built on it need it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
_FRACTION_FROM = 3.0
_FRACTION_TERMS = 40


def ndtr(z: Tensor) -> Tensor:
    """The distribution function; torch.special.ndtr is 1 + erf, which has lost every digit at z = -8."""
    return 0.5 * torch.erfc(z * -math.sqrt(0.5))


def mills(z: Tensor) -> Tensor:
    r"""The Mills ratio :math:`\Phi(-z) / \varphi(z)`, which falls like 1 / z."""
    return math.sqrt(math.pi / 2) * torch.special.erfcx(z * math.sqrt(0.5))


def mills_gap(z: Tensor) -> Tensor:
    r""":math:`1 - z M(z)` for z >= 0, minus the slope of the Mills ratio M, which falls like :math:`1 / z^2`.

    Beyond 3 by Laplace's continued fraction, :math:`M = 1 / (z + K)` with :math:`K = 1 / (z + 2 / (z + 3 / ...))`, in
    which nothing cancels.
    """
    far = z > _FRACTION_FROM
    safe = torch.where(far, z, _FRACTION_FROM)
    tail = torch.zeros_like(safe)
    for k in range(_FRACTION_TERMS, 0, -1):
        tail = k / (safe + tail)
    near = torch.where(far, 0.0, z)
    return torch.where(far, tail / (safe + tail), 1 - near * mills(near))
