"""The package installs with a compiler and without one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DATA = {"reparam/py.typed", "reparam/recipes/digits/digits.csv.gz", "reparam/recipes/digits/ATTRIBUTION.md"}


def wheel(folder: pathlib.Path, **environment: str) -> pathlib.Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return next(folder.glob("*.whl"))


def names_in(path: pathlib.Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.mark.long
def test_with_a_compiler_the_wheel_has_the_kernels(tmp_path):
    names = names_in(wheel(tmp_path))
    assert any(name.startswith("reparam/kernels/_native.") for name in names)
    assert names >= DATA
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.long
def test_without_a_compiler_the_package_installs_on_the_reference(tmp_path):
    built = wheel(tmp_path, CXX="/bin/false")
    assert built.name.endswith("-py3-none-any.whl")
    assert names_in(built) >= DATA
    assert not any(name.startswith("reparam/kernels/_native.") for name in names_in(built))
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(built).extractall(unpacked)
    code = """
import torch, reparam as rp
assert rp.__file__.startswith({where!r}), rp.__file__
torch.manual_seed(0)
x = rp.rsample(torch.distributions.Gamma(torch.ones(3, requires_grad=True), 1.0), noise=rp.noise.Philox(1))
x.sum().backward()
print(rp.info().kernels)
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(where=str(unpacked))],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )
    assert done.stdout.strip() == "reference, in torch operations (installed without a C++ compiler)"
