"""What the Student-t laws of this room share: a ratio of Gamma functions that tends to a power."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.special._beta_pieces import stirling_error


def log_gamma_excess(k: Tensor, step: float) -> Tensor:
    """Log Gamma(k + step) - log Gamma(k) - step log(k), a small number between large ones; k in float64."""
    return (k + (step - 0.5)) * torch.log1p(step / k) - step + stirling_error(k + step) - stirling_error(k)
