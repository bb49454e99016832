"""Whatever cannot be an argument is named, by every function alike, before any work."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from reparam import special
from reparam.errors import InvalidArgument

LEADING = {"dimension": 3, "order": 1.5}
FUNCTIONS = {name: getattr(special, name) for name in special.__all__}
ALL = pytest.mark.parametrize("name", FUNCTIONS)
SEVERAL = pytest.mark.parametrize(
    "name", [name for name, f in FUNCTIONS.items() if len(set(inspect.signature(f).parameters) - set(LEADING)) > 1]
)


def arguments(name: str, value: object = None) -> dict[str, object]:
    """By name, the last of the tensors replaced."""
    given = {p: LEADING.get(p, torch.full((3,), 0.5)) for p in inspect.signature(FUNCTIONS[name]).parameters}
    if value is not None:
        given[list(given)[-1]] = value
    return given


def refused(name: str, value: object, match: str) -> InvalidArgument:
    with pytest.raises(InvalidArgument, match=match) as caught:
        FUNCTIONS[name](**arguments(name, value))
    assert list(arguments(name))[-1] in caught.value.received
    assert caught.value.instead
    return caught.value


@SEVERAL
def test_shapes_that_do_not_broadcast(name: str):
    error = refused(name, torch.full((2,), 0.5), "must broadcast against each other")
    assert "(3,)" in error.received
    assert "(2,)" in error.received
    # Also where a derivative may be asked for, and where the compiler looks.
    refused(name, torch.full((2,), 0.5, requires_grad=True), "must broadcast against each other")


@SEVERAL
def test_two_devices(name: str):
    error = refused(name, torch.full((3,), 0.5, device="meta"), "must be on one device")
    assert "cpu" in error.received
    assert "meta" in error.received


@ALL
def test_what_is_no_real_number(name: str):
    refused(name, torch.ones(3, dtype=torch.complex64), "must be real")
    for value in (0.5j, "a half"):
        refused(name, value, "must be a tensor or a real number")


@ALL
def test_integers_and_half_precision_are_numbers_too(name: str):
    whole = FUNCTIONS[name](**arguments(name, torch.ones(3, dtype=torch.int64)))
    assert whole.dtype == torch.get_default_dtype()
    half = {p: v.half() if isinstance(v, Tensor) else v for p, v in arguments(name).items()}
    assert FUNCTIONS[name](**half).dtype == torch.float16


@pytest.mark.parametrize("name", ["gammainc", "von_mises_cdf"])
def test_a_number_in_a_tensor_goes_anywhere(name: str):
    given = arguments(name, torch.tensor(0.5))
    assert FUNCTIONS[name](**given).shape == (3,)
    there = {p: v.to("meta") if isinstance(v, Tensor) and v.dim() else v for p, v in given.items()}
    assert FUNCTIONS[name](**there).device.type == "meta"
