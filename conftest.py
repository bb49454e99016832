"""A fresh seed each run, printed with every failure and pinned by `REPARAM_TEST_SEED`."""

from __future__ import annotations

import importlib.util
import os
import zlib

import pytest
import torch
from torch.distributions import Distribution

_SEED_VARIABLE = "REPARAM_TEST_SEED"
# The docstrings of Triton kernels cannot be collected where Triton, which a torch for CPUs does not bring, is missing.
_TRITON = ["src/reparam/kernels/triton_*.py", "tests/kernels/interpreted_*.py", "tests/kernels/compiled_*.py"]
collect_ignore_glob = [] if importlib.util.find_spec("triton") else _TRITON


def pytest_configure(config: pytest.Config) -> None:
    # Workers of xdist inherit the environment, so that all of them test with one seed.
    os.environ.setdefault(_SEED_VARIABLE, str(int.from_bytes(os.urandom(3), "big")))


def pytest_report_header() -> str:
    return f"{_SEED_VARIABLE}={os.environ[_SEED_VARIABLE]}"


@pytest.fixture(autouse=True, scope="session")
def _examples_are_a_users(doctest_namespace: dict[str, object]) -> None:
    """A class that an example defines and registers is a user's, not one of the module whose docstring it stands in."""
    doctest_namespace["__name__"] = "__main__"


@pytest.fixture(autouse=True)
def _seed(request: pytest.FixtureRequest, record_property) -> None:
    """Seed torch from the run's seed and the test's own name, so that a test alone repeats what it did in the suite."""
    record_property(_SEED_VARIABLE, os.environ[_SEED_VARIABLE])
    torch.manual_seed(zlib.crc32(f"{os.environ[_SEED_VARIABLE]} {request.node.nodeid}".encode()))


@pytest.fixture(autouse=True)
def _validation_as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch validates until something is compiled; torch turns that off once a process, and here once a test.

    Without this, what a test sees would depend on the tests that its worker ran before: the compiler cannot trace
    torch's own constructors while they validate.
    """
    monkeypatch.setattr(Distribution, "_validate_args", True)
    compiler = torch.compile

    def compile_without_validation(*args, **options):
        Distribution.set_default_validate_args(False)
        return compiler(*args, **options)

    monkeypatch.setattr(torch, "compile", compile_without_validation)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("seed", f"rerun with {_SEED_VARIABLE}={os.environ[_SEED_VARIABLE]}"))
