"""The Triton twins of the kernels for noise and for the pathwise derivatives."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest
import torch

import reparam as rp
from reparam.kernels import native, twins
from reparam.kernels import noise as kernels
from reparam.kernels.elementwise import DERIVATIVES, elementwise_op, evaluate
from reparam.noise import Philox
from reparam.noise.quantile import QuantileStream

HERE = pathlib.Path(__file__).parent
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def alone(script: str, *arguments: str, **environment: str) -> str:
    """What a script prints in a process of its own: Triton decides at import whether it interprets."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)
    return done.stdout.strip() or done.stderr


@needs_triton
@pytest.mark.parametrize("script", ["interpreted_noise.py", "interpreted_gamma.py", "interpreted_shapes.py"])
def test_the_twins_give_the_same_numbers_in_the_interpreter(script: str):
    assert alone(script, TRITON_INTERPRET="1") == "agree"


@needs_triton
@pytest.mark.parametrize(
    "names",
    [("gamma", "student_t", "sampler"), pytest.param(("beta", "von_mises", "noise"), marks=pytest.mark.long)],
    ids=" ".join,
)
def test_the_twins_compile_for_a_gpu(names: tuple[str, ...], tmp_path):
    printed = alone("compiled_twins.py", *names, TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")
    assert printed.split() == ["compiled"] * len(names), printed


@pytest.mark.skipif(native is None, reason="this installation has no native kernels")
def test_every_derivative_of_the_kernels_has_a_twin():
    assert set(twins.DERIVATIVES) == set(DERIVATIVES)


def test_info_says_what_serves_cuda():
    wanted = "student_t_dt_dnu" if importlib.util.find_spec("triton") else "Triton is not installed"
    assert wanted in rp.info().cuda


def test_what_no_twin_serves_is_the_references():
    cuda, step = torch.device("cuda"), torch.tensor(1, device="meta")
    assert not kernels.serves("poisson", torch.float32, cuda, 0, 0)
    assert not kernels.serves("normal", torch.bfloat16, cuda, 0, 0)
    assert not kernels.serves("normal", torch.float32, cuda, step, 0)
    assert not kernels.serves("normal", torch.float32, cuda, 0, torch.arange(3))
    assert not kernels.serves("normal", torch.float32, torch.device("meta"), 0, 0)


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(100_000,), (300, 301)])
def test_a_gpu_draws_the_numbers_of_the_cpu(shape: tuple[int, ...], dtype: torch.dtype):
    device, eps = torch.device("cuda"), torch.finfo(dtype).eps
    for law in twins.LAWS:
        drawn = getattr(Philox(3).bind(torch.Size()), law)(shape, dtype, device).cpu()
        exact = getattr(QuantileStream, law)(Philox(3).bind(torch.Size()), shape, dtype, torch.device("cpu"))
        torch.testing.assert_close(drawn, exact, rtol=0 if law == "uniform" else 16 * eps, atol=2 * eps)
    loc = torch.zeros(shape, dtype=dtype, device=device, requires_grad=True)
    scale = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
    z = Philox(3).bind(torch.Size()).scaled_normal(loc, scale, shape)
    slopes = torch.autograd.grad(z.sum(), (loc, scale))
    torch.testing.assert_close(slopes[0], torch.ones_like(loc))
    torch.testing.assert_close(slopes[1], z.detach())


def variates(*shapes: torch.Tensor) -> list[torch.Tensor]:
    """The shapes, and logarithms of Gamma variates of theirs."""
    return [torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a for a in shapes]


def arguments(name: str, n: int = 100_000) -> list[torch.Tensor]:
    a, b = (10 ** (-3 + 9 * torch.rand(n, dtype=torch.float64)) for _ in range(2))
    if name.startswith("gamma"):
        (u,) = variates(a)
        return [a, u if name == "gamma_dlogx_da" else u.clamp(-87, 87).exp()]
    if name.startswith("beta"):
        u = torch.sub(*variates(a, b))
        return [a, b, u if "dlogit" in name else torch.sigmoid(u)]
    if name == "student_t_dt_dnu":
        return [a, 2 * torch.randn_like(a)]
    return [a.clamp(max=1e5), torch.rand_like(a) * 6 - 3]


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", twins.DERIVATIVES)
def test_a_gpu_gives_the_derivative_of_the_cpu(name: str, dtype: torch.dtype):
    here = [t.to(dtype) for t in arguments(name)]
    there = [t.cuda() for t in here]
    rtol = 4e-6 if dtype == torch.float32 else 1e-11
    atol = torch.finfo(dtype).smallest_normal
    torch.testing.assert_close(evaluate(name, there).cpu(), evaluate(name, here), rtol=rtol, atol=atol)
    torch.library.opcheck(elementwise_op, (name, there))


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gpu_draws_the_gamma_variates_of_the_cpu(dtype: torch.dtype):
    """Up to rounding, and to a candidate within rounding of its threshold: a few in float32."""
    a = (10 ** (-3 + 8 * torch.rand(300, 301, dtype=torch.float64))).to(dtype)
    for law in twins.SAMPLERS:
        drawn = Philox(3).bind(torch.Size()).variate(law, [a.cuda()]).cpu()
        exact = Philox(3).bind(torch.Size()).variate(law, [a])
        tolerance = 2e-4 if dtype == torch.float32 else 1e-11
        differ = ~torch.isclose(drawn, exact, rtol=tolerance, atol=tolerance if law == "log_gamma" else 0.0)
        assert differ.sum() <= (3 if dtype == torch.float32 else 0)
