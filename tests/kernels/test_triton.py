"""The Triton twins of the kernels for noise and for the Gamma derivative."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest
import torch

import reparam as rp
from reparam.kernels import noise as kernels
from reparam.kernels.elementwise import elementwise_op
from reparam.noise import Philox
from reparam.noise.quantile import QuantileStream
from reparam.special import gamma_dlogx_dconcentration, gamma_dx_dconcentration

HERE = pathlib.Path(__file__).parent
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def alone(script: str, **environment: str) -> str:
    """What a script prints in a process of its own: Triton decides at import whether it interprets."""
    command = [sys.executable, str(HERE / script)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)
    return done.stdout.strip() or done.stderr


@needs_triton
@pytest.mark.parametrize("script", ["interpreted_noise.py", "interpreted_gamma.py"])
def test_the_twins_give_the_same_numbers_in_the_interpreter(script: str):
    assert alone(script, TRITON_INTERPRET="1") == "agree"


@needs_triton
def test_the_gamma_derivative_compiles_for_a_gpu(tmp_path):
    """The compiler takes less of Python than the interpreter does."""
    assert alone("compiled_gamma.py", TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0") == "compiled"


def test_info_says_what_serves_cuda():
    wanted = "gamma_dx_da" if importlib.util.find_spec("triton") else "Triton is not installed"
    assert wanted in rp.info().cuda


def test_what_no_twin_serves_is_the_references():
    cuda, step = torch.device("cuda"), torch.tensor(1, device="meta")
    assert not kernels.serves("exponential", torch.float32, cuda, 0, 0)
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
    for law in ("uniform", "normal"):
        drawn = getattr(Philox(3).bind(torch.Size()), law)(shape, dtype, device).cpu()
        exact = getattr(QuantileStream, law)(Philox(3).bind(torch.Size()), shape, dtype, torch.device("cpu"))
        torch.testing.assert_close(drawn, exact, rtol=0 if law == "uniform" else 16 * eps, atol=2 * eps)
    loc = torch.zeros(shape, dtype=dtype, device=device, requires_grad=True)
    scale = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
    z = Philox(3).bind(torch.Size()).scaled_normal(loc, scale, shape)
    slopes = torch.autograd.grad(z.sum(), (loc, scale))
    torch.testing.assert_close(slopes[0], torch.ones_like(loc))
    torch.testing.assert_close(slopes[1], z.detach())


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [gamma_dx_dconcentration, gamma_dlogx_dconcentration], ids=lambda f: f.__name__)
def test_a_gpu_gives_the_gamma_derivative_of_the_cpu(function, dtype: torch.dtype):
    a = 10 ** (-4 + 10 * torch.rand(100_000, dtype=torch.float64))
    u = torch._standard_gamma(a + 1).log() + torch.rand_like(a).log() / a
    u = u if function is gamma_dlogx_dconcentration else u.clamp(-87, 87).exp()
    a, u = a.to(dtype), u.to(dtype)
    rtol = 4e-6 if dtype == torch.float32 else 2e-13
    torch.testing.assert_close(function(a.cuda(), u.cuda()).cpu(), function(a, u), rtol=rtol, atol=0)
    torch.library.opcheck(elementwise_op, ("gamma_dx_da", [a.cuda(), u.cuda()]))
