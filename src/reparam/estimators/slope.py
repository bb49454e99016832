"""Slopes: weights that are zero in value and have a prescribed derivative."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.kernels.implicit import attach


def slope(parameter: Tensor, coefficient: Tensor) -> Tensor:
    r"""A tensor of zeros whose derivative in `parameter` is `coefficient`, elementwise.

    .. math:: s = 0, \qquad \frac{ds}{d\theta} = c, \qquad \frac{d^2 s}{d\theta\, d\theta'} = \frac{dc}{d\theta'}

    The coefficient is differentiated where a second derivative is asked for, so it must carry the magic box
    :math:`\exp(\log q - \operatorname{stop}\log q)` of the law q of the points it multiplies. The product
    `(parameter - stop(parameter)) * coefficient` would not do: its second derivative counts dc twice.

    Args:
        parameter: broadcasts to the coefficient.
        coefficient: the derivative, of the shape of the result.
    """
    return attach(_coefficient, torch.zeros_like(coefficient), parameter, coefficient)


def _coefficient(_x: Tensor, parameters: Sequence[Tensor], _needed: Sequence[bool]) -> Sequence[Tensor | None]:
    return parameters[1], None
