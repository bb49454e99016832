"""The generated pages of the docs are what the registry and the declared matrix say."""

from __future__ import annotations

import pathlib
import runpy

import pytest
from torch import distributions as td

import reparam as rp
from matrix import CANNOT, ROWS
from reparam.testing import TRANSFORMS

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = runpy.run_path(str(ROOT / "tools" / "make_docs.py"))["PAGES"]


@pytest.mark.skipif(not hasattr(td, "GeneralizedPareto"), reason="the pages are generated with a torch that has it")
@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_would_be_generated(name: str):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name](), "run python tools/make_docs.py"


def test_every_class_with_a_rule_has_a_row():
    ruled = {row.distribution for row in rp.coverage() if row.kind != "none"}
    ours = {cls for cls in ruled if cls.__module__.split(".")[0] in ("torch", "reparam")}
    assert ours == {row.cls for row in ROWS}


def test_what_is_declared_impossible_is_a_cell():
    assert set(CANNOT) <= {(row.name, transform) for row in ROWS for transform in TRANSFORMS}
