"""What every distribution function and its relatives make of arguments at the edge: one table, each checked alike."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from reparam import special
from reparam.errors import InvalidArgument

F64 = torch.float64
# Each with one point inside, and which of its arguments are shapes.
TABLE = {
    "gammainc": (special.gammainc, (2.0, 1.5), {0}),
    "gammaincc": (special.gammaincc, (2.0, 1.5), {0}),
    "gammaincinv": (special.gammaincinv, (2.0, 0.3), {0}),
    "betainc": (special.betainc, (2.0, 3.0, 0.3), {0, 1}),
    "stdtr": (special.stdtr, (2.0, 1.5), {0}),
    "von_mises_cdf": (special.von_mises_cdf, (0.7, 2.0), set()),
    "log_ndtr": (special.log_ndtr, (-1.5,), set()),
    "ndtri": (special.ndtri, (0.3,), set()),
    "log_ive": (partial(special.log_ive, 2), (1.5,), set()),
    "bessel_ratio": (partial(special.bessel_ratio, 2), (1.5,), set()),
    "bessel_ratio_complement": (partial(special.bessel_ratio_complement, 2), (1.5,), set()),
}
NAMES = pytest.mark.parametrize("name", TABLE)
SUBNORMAL = torch.finfo(F64).smallest_normal / 8


def tensors(point: tuple[float, ...], *shape: int, dtype: torch.dtype = F64) -> list[Tensor]:
    return [torch.full(shape, value, dtype=dtype) for value in point]


@NAMES
def test_a_subnormal_argument(name: str):
    """A shape so small is out of range; anything else is as good as the 0 beside it, or has a logarithm."""
    function, point, shapes = TABLE[name]
    for place in range(len(point)):
        tiny = torch.tensor([SUBNORMAL, SUBNORMAL * 4, 0.0], dtype=F64)
        value = function(*(tiny if k == place else torch.full((3,), p, dtype=F64) for k, p in enumerate(point)))
        if place in shapes:
            assert value.isnan().all()
        elif name in ("ndtri", "log_ive"):
            assert value[:2].isfinite().all()
            assert value[2] < value[0] < value[1]
        else:
            torch.testing.assert_close(value[:2], value[2:].expand(2), rtol=1e-15, atol=1e-150)


@NAMES
def test_complex_arguments_are_refused(name: str):
    function, point, _ = TABLE[name]
    for place in range(len(point)):
        arguments = tensors(point, 2)
        arguments[place] = arguments[place].to(torch.complex128)
        with pytest.raises(InvalidArgument, match="real") as caught:
            function(*arguments)
        assert "complex128" in caught.value.received


@NAMES
def test_empty_broadcast_and_strided(name: str):
    function, point, _ = TABLE[name]
    assert function(*tensors(point, 0, 3)).shape == (0, 3)
    spread = [value * torch.linspace(0.9, 1.1, 12, dtype=F64).view(4, 3) for value in point]
    wanted = function(*spread)
    strided = [torch.stack((t, t), -1)[..., 0] for t in spread]
    torch.testing.assert_close(function(*strided), wanted)
    torch.testing.assert_close(function(*(t.T for t in spread)).T, wanted)
    row = function(spread[0][:1], *(t[:, :1] for t in spread[1:])) if len(point) > 1 else wanted
    assert row.shape == (4, 3)
