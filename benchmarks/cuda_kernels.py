"""Claim: on an H200 the fused Gaussian moves bytes at 80% of a copy's speed, the Gamma derivative takes 1/3 of torch's.

Forward and backward of `rsample(Normal(loc, scale), noise=Philox(seed))` move five arrays: loc, scale, the sample, the
gradient and what flows to scale. The derivative is float32's, a geometric mean over the concentrations of
`derivative_speed.py`, against `torch._standard_gamma_grad` on the same device. Beside them, without a claim: float64,
the Beta derivative against `torch._dirichlet_grad`, Gamma variates against `torch._standard_gamma`, and what Student-t
and von Mises derivatives cost. Every value is compared with the CPU's first.

    python benchmarks/cuda_kernels.py        # writes benchmarks/results/cuda_kernels.json, where there is a CUDA device
"""

from __future__ import annotations

import json
import pathlib
import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

import reparam as rp
from derivative_speed import concentrations
from reparam.noise import Philox
from reparam.special import (
    beta_dx_dconcentration1,
    gamma_dx_dconcentration,
    student_t_dx_ddf,
    von_mises_dx_dconcentration,
)

RESULTS = pathlib.Path(__file__).resolve().parent / "results" / "cuda_kernels.json"
CUDA = torch.device("cuda")
COPIES = 100  # of the concentrations: ten million numbers
GAUSSIANS = 100_000_000
COPY_SHARE, GAMMA_LIMIT = 0.8, 1 / 3
TOLERANCE = {torch.float32: 4e-6, torch.float64: 1e-11}


def milliseconds(call: Callable[[], object], repeats: int = 21) -> float:
    """Median of the device's own clock, after three calls that compile and warm up."""
    times = []
    for _ in range(3 + repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times[3:])


def checked(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """The inputs on the device, many times over, once the derivative there is seen to be the CPU's."""
    there = tuple(t.to(CUDA) for t in inputs)
    dtype = inputs[0].dtype
    rtol, atol = TOLERANCE[dtype], torch.finfo(dtype).smallest_normal
    torch.testing.assert_close(function(*there).cpu(), function(*inputs), rtol=rtol, atol=atol)
    return tuple(t.repeat(COPIES) for t in there)


def fused_gaussian(dtype: torch.dtype) -> float:
    """Bytes a second of the sample and its gradients, over those of a copy."""
    loc = torch.zeros(GAUSSIANS, dtype=dtype, device=CUDA, requires_grad=True)
    scale = torch.ones_like(loc).requires_grad_()
    ones, out = torch.ones_like(loc), torch.empty_like(loc)
    dist = Normal(loc, scale, validate_args=False)
    ours = milliseconds(lambda: torch.autograd.grad(rp.rsample(dist, noise=Philox(1)), (loc, scale), ones))
    return 5 / 2 * milliseconds(lambda: out.copy_(ones)) / ours


def gamma_derivative(dtype: torch.dtype) -> dict[str, float]:
    """Our time over torch's, at each concentration."""
    ratios = {}
    for name, a in concentrations().items():
        a = a.to(dtype)
        x = torch._standard_gamma(a).clamp(min=torch.finfo(dtype).tiny)
        a, x = checked(gamma_dx_dconcentration, a, x)
        ours = milliseconds(lambda a=a, x=x: gamma_dx_dconcentration(a, x))
        ratios[name] = ours / milliseconds(lambda a=a, x=x: torch._standard_gamma_grad(a, x))
    return ratios


def beta_derivative(dtype: torch.dtype) -> float:
    """Our time over torch's, which differentiates both components: per number."""
    both = 0.5 + 4.5 * torch.rand(100_000, 2, dtype=dtype)
    x = torch._sample_dirichlet(both)
    a, b, u = checked(beta_dx_dconcentration1, both[:, 0], both[:, 1], x[:, 0])
    both, x = torch.stack((a, b), -1), torch.stack((u, 1 - u), -1)
    total = both.sum(-1, keepdim=True).expand_as(both)
    theirs = milliseconds(lambda: torch._dirichlet_grad(x, both, total)) / 2
    return milliseconds(lambda: beta_dx_dconcentration1(a, b, u)) / theirs


def gamma_variates(dtype: torch.dtype) -> float:
    """Our time over torch's, at a concentration of 3."""
    a = torch.full((10_000_000,), 3.0, dtype=dtype, device=CUDA)
    stream = Philox(1).bind(torch.Size())
    return milliseconds(lambda: stream.variate("gamma", [a])) / milliseconds(lambda: torch._standard_gamma(a))


def nanoseconds(function: Callable[..., Tensor], first: Tensor, second: Tensor) -> float:
    """Of one number."""
    first, second = checked(function, first, second)
    return milliseconds(lambda: function(first, second)) * 1e6 / first.numel()


def rows(dtype: torch.dtype) -> dict[str, float]:
    """Every number for one dtype, and a line for each as it is found."""
    uniform = torch.rand(100_000, dtype=dtype)
    ratios = gamma_derivative(dtype)
    measured = {
        "fused Gaussian, share of a copy": fused_gaussian(dtype),
        "Gamma derivative / torch's, geometric mean": statistics.geometric_mean(ratios.values()),
        "Gamma derivative / torch's, worst": max(ratios.values()),
        "Beta derivative / torch's": beta_derivative(dtype),
        "Gamma variates / torch's": gamma_variates(dtype),
        "Student-t derivative, ns": nanoseconds(student_t_dx_ddf, 1 + 9 * uniform, 6 * uniform - 3),
        "von Mises derivative, ns": nanoseconds(von_mises_dx_dconcentration, 9 * uniform, 6 * uniform - 3),
    }
    for name, value in measured.items():
        print(f"{str(dtype).removeprefix('torch.'):<8} {name:<44} {value:.3f}")
    return measured


def main() -> None:
    if not torch.cuda.is_available():
        print("there is no CUDA device here: nothing measured")
        return
    machine = f"{torch.cuda.get_device_name(0)}; torch {torch.__version__}; {rp.info().cuda}"
    print(machine)
    results = {str(dtype).removeprefix("torch."): rows(dtype) for dtype in (torch.float32, torch.float64)}
    share = results["float32"]["fused Gaussian, share of a copy"]
    ratio = results["float32"]["Gamma derivative / torch's, geometric mean"]
    print(f"fused Gaussian at {share:.0%} of a copy, {'holds' if share >= COPY_SHARE else 'does not hold'}")
    print(f"Gamma derivative at {ratio:.3f} of torch, {'holds' if ratio <= GAMMA_LIMIT else 'does not hold'}")
    RESULTS.write_text(json.dumps({"machine": machine, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
