"""The architecture is the folder tree, and the tests hold it."""

from __future__ import annotations

import ast
import copy
import pathlib
import pickle
import subprocess
import sys

import pytest

import reparam as rp
from reparam import errors

SOURCE = pathlib.Path(rp.__file__).parent
# From the ground up. A room imports only rooms below it.
ROOMS = [
    *(
        "version",
        "errors",
        "extras",
        "checks",
        "kernels",
        "special",
        "noise",
        "pathwise",
        "distributions",
        "estimators",
        "expectation",
        "objectives",
    ),
    *("info", "audit", "diagnosis", "testing", "integrations", "recipes", "cli", "lab"),
]


def _imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        assert not getattr(node, "level", 0), f"{path.name}: rooms are imported by their full name"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reparam":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("reparam.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_lower_rooms_never_import_upper_ones(room: str):
    files = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").exists() else list((SOURCE / room).rglob("*.py"))
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for path in files:
        assert not _imports(path) & above, f"{path.relative_to(SOURCE)} imports {_imports(path) & above} from above"


def test_every_room_has_its_place():
    rooms = {p.stem for p in SOURCE.iterdir() if (p.is_dir() or p.suffix == ".py") and not p.name.startswith("_")}
    assert rooms <= set(ROOMS), f"rooms without a floor: {rooms - set(ROOMS)}"


def test_import_is_light():
    """torch, and nothing else heavy."""
    heavy = "numpy tyro rich matplotlib lightning safetensors pooch scipy mpmath"
    code = f"import torch, sys; before = set(sys.modules); import reparam; print(*[m for m in {heavy.split()!r} " + (
        "if m in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_is_promised_is_there_and_documented():
    for name in set(rp.__all__) - {"__version__"}:
        assert getattr(rp, name).__doc__, f"rp.{name} has no docstring"


@pytest.mark.parametrize(
    "cls", [rp.ReparamError, rp.InvalidArgument, rp.NoPathwiseGradient, rp.UnsupportedTransform, rp.DataError]
)
def test_errors_have_three_parts_and_survive_workers(cls):
    error = cls("what is wrong", received="this", instead="that")
    assert str(error) == "what is wrong\n  received: this\n  instead:  that"
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is cls
        assert str(again) == str(error)
    assert issubclass(cls, errors.ReparamError)


_VALUES = [
    rp.Pathwise(3),
    rp.Enumerate(),
    rp.ScoreFunction(2),
    rp.LeaveOneOut(4),
    rp.MeasureValued(),
    rp.DisARM(),
    rp.ARM(),
    rp.ARMS(3),
    rp.SumAndSample(3),
    rp.Unordered(3),
    rp.Components(),
]


@pytest.mark.parametrize("estimator", _VALUES, ids=repr)
def test_estimators_are_values(estimator):
    for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert again == estimator
        assert hash(again) == hash(estimator)
    assert estimator.unbiased is True
