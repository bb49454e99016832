"""The Triton twins of the noise kernels."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest
import torch

from reparam.kernels import noise as kernels
from reparam.noise import Philox
from reparam.noise.quantile import QuantileStream

HERE = pathlib.Path(__file__).parent
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@needs_triton
def test_the_twins_draw_the_same_numbers_in_the_interpreter():
    # In a process of its own: Triton decides at import whether it interprets.
    command = [sys.executable, str(HERE / "interpreted.py")]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.stdout.strip() == "agree", done.stderr


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
