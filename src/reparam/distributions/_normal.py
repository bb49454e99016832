"""The standard normal law, as the families built on it need it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)


def ndtr(z: Tensor) -> Tensor:
    """The distribution function; torch.special.ndtr is 1 + erf, which has lost every digit at z = -8."""
    return 0.5 * torch.erfc(z * -math.sqrt(0.5))
