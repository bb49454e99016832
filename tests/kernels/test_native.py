"""Which path serves, and what is said of it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

import reparam as rp
from instruction_sets import INSTRUCTION_SETS, needs_kernels
from reparam.kernels import served_by
from reparam.kernels.native import VARIABLE, load


def _without_extension(monkeypatch, error):
    def refuse(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)


def test_the_reference_by_name():
    assert load("reference") == (None, f"{VARIABLE}=reference")


@pytest.mark.parametrize("wanted", ["fast", "", "AVX2"])
def test_a_name_of_no_path(wanted):
    with pytest.raises(rp.InvalidArgument, match="names no path") as caught:
        load(wanted)
    assert caught.value.received == f"{VARIABLE}={wanted}"
    assert "auto, reference, sse2, avx2, avx512 or neon" in caught.value.instead


@needs_kernels
def test_an_instruction_set_that_this_processor_has_not():
    missing = next(name for name in ("neon", "sse2") if name not in INSTRUCTION_SETS)
    with pytest.raises(rp.InvalidArgument, match="this processor or this build has not") as caught:
        load(missing)
    assert INSTRUCTION_SETS[-1] in caught.value.instead


def test_without_the_extension_the_reference_serves_and_says_why(monkeypatch):
    _without_extension(monkeypatch, ModuleNotFoundError("no module"))
    assert load("auto") == (None, "installed without a C++ compiler")
    _without_extension(monkeypatch, ImportError("libgomp.so.1: cannot open"))
    assert load("auto") == (None, "the extension does not load: libgomp.so.1: cannot open")
    with pytest.raises(rp.InvalidArgument, match="there are none here") as caught:
        load("avx2")
    assert "C++20 compiler" in caught.value.instead


def test_info_says_which_path_serves():
    assert rp.info().kernels == served_by()


def test_the_variable_is_obeyed_at_import():
    code = "import reparam as rp; print(rp.info().kernels)"
    environment = {**os.environ, VARIABLE: "reference"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == f"reference, in torch operations ({VARIABLE}=reference)"
