"""The composition matrix holds in both directions: what is declared to work does, and what cannot says so."""

from __future__ import annotations

import pytest

from matrix import CANNOT, ROWS, Row
from reparam.testing import TRANSFORMS

COMPILED = [name for name in TRANSFORMS if name.startswith("compile")]


def check(row: Row, transform: str, **options: str) -> None:
    cannot = CANNOT.get((row.name, transform))
    if cannot is None:
        TRANSFORMS[transform](row.make, row.parameters, **options)
    elif cannot.error:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # which error it is, the table says
            TRANSFORMS[transform](row.make, row.parameters, **options)
        assert _full_name(caught.type) == cannot.error


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if name not in COMPILED])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_cell(row: Row, transform: str):
    check(row, transform)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_compiled(row: Row):
    check(row, "compile", backend="aot_eager")


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_compiled_for_every_shape(row: Row):
    check(row, "compile dynamic", backend="aot_eager")


# Inductor's own lowering of `diag_embed` calls what torch 2.13 has deprecated.
@pytest.mark.filterwarnings("ignore:`torch._prims_common.check` is deprecated:FutureWarning")
@pytest.mark.long
@pytest.mark.parametrize("transform", COMPILED)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_compiled_for_real(row: Row, transform: str):
    check(row, transform, backend="inductor")
