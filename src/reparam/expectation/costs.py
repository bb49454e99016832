"""What every cost must be, whoever asked for it."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.errors import InvalidArgument


def check_cost(cost: Tensor, moves: bool) -> None:
    """Raise for a complex cost, and for one that does not move with points that do.

    Args:
        cost: as the user's function returned it.
        moves: whether points that it is computed from carry a gradient.
    """
    if cost.is_complex():
        raise InvalidArgument(
            "a cost must be real",
            received=f"costs of {cost.dtype}",
            instead="cost.abs(), or an expectation each of cost.real and cost.imag",
        )
    if moves and not cost.requires_grad and torch.is_grad_enabled():
        raise InvalidArgument(
            "the cost carries no gradient back to the sample, so the gradient of the expectation would be lost",
            received=f"costs of {cost.dtype} that do not require grad, from points that do",
            instead="rp.LeaveOneOut(4) for such a cost, or torch.no_grad() around the call; in a program, of=... if "
            "the cost is not computed from those points",
        )
