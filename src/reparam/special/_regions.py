"""Formulas for regions of the arguments, in torch operations: the reference's way to the kernels' generated tables.

Each element is computed by its own region's formula alone. For that its numbers must be seen, and a polynomial has the
derivatives of its table, not of the function: so this serves where a value is all that is asked for. Everywhere else
the integrals, which have no regions, are the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reparam.kernels import memory
from reparam.kernels.chart import Chart
from reparam.kernels.implicit import watched

_CHUNK = 1 << 14  # elements in one pass: their working set stays in cache
_LEAST = 1 << 11  # below it an integral, many numbers to an element but few calls of torch, is faster
Formula = Callable[..., Tensor]


def serve(*inputs: Tensor) -> bool:
    """Whether regions do: for many plain numbers on a CPU, where nothing must be waited for to see them."""
    if watched(inputs) or not memory.visible(inputs):
        return False
    return inputs[0].device.type == "cpu" and inputs[0].numel() >= _LEAST


def by_regions(region_of: Formula, formulas: Sequence[Formula], *inputs: Tensor) -> Tensor:
    """Elementwise `formulas[region_of(*inputs)](*inputs)`, for inputs of one shape."""
    flat = [t.reshape(-1) for t in inputs]
    out = torch.empty_like(flat[0])
    for results, *parts in zip(out.split(_CHUNK), *(t.split(_CHUNK) for t in flat), strict=True):
        regions = region_of(*parts)
        for k, formula in enumerate(formulas):
            here = (regions == k).nonzero().squeeze(-1)
            if len(here):
                results[here] = formula(*(part[here] for part in parts))
    return out.reshape(inputs[0].shape)


class Polynomial:
    """A chart, for float64 results: `polynomial(*coordinates)` of tensors of one dimension."""

    def __init__(self, chart: Chart) -> None:
        lengths, coefficients = chart.fits["float64"]
        self.serves, self.box = chart.serves, chart.box
        self.array = torch.zeros(len(lengths), max(map(len, lengths)), lengths[0][0], dtype=torch.float64)
        rest = torch.tensor(coefficients, dtype=torch.float64)
        for i, layer in enumerate(lengths):
            for j, length in enumerate(layer):
                self.array[i, j, :length], rest = rest[:length], rest[length:]

    def __call__(self, *coordinates: Tensor) -> Tensor:
        *outer, t = (
            (c - (low + high) / 2) * (2 / (high - low)) for c, (low, high) in zip(coordinates, self.box, strict=True)
        )
        powers = [torch.ones_like(t)]
        for _ in range(self.array.shape[-1] - 1):
            powers.append(powers[-1] * t)
        # One matrix product for the powers of the last coordinate; Horner's rule for the others.
        rows = (self.array.flatten(0, 1) @ torch.stack(powers)).unflatten(0, self.array.shape[:2])
        for coordinate in reversed(outer):
            first, *rest = reversed(rows.unbind(-2))
            rows = first
            for row in rest:
                rows = torch.addcmul(row, rows, coordinate)
        return rows.reshape(t.shape)

    def concerns(self, a: Tensor) -> Tensor:
        """Where the concentration is one that the chart serves."""
        return (a >= self.serves[0]) & (a < self.serves[1])

    def reaches(self, t: Tensor) -> Tensor:
        """Where the last coordinate is in the chart's box."""
        return (t >= self.box[-1][0]) & (t <= self.box[-1][1])
