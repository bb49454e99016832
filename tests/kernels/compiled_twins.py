"""Run by `test_triton.py`: a twin through Triton's compiler, for a GPU that need not be there.

The compiler takes less of Python than the interpreter does.
"""

from __future__ import annotations

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from reparam.kernels import (
    triton_beta,
    triton_gamma,
    triton_gamma_sampler,
    triton_noise,
    triton_quadrature,
    triton_student_t,
    triton_von_mises,
)

F32 = torch.float32
PLACE = {
    "n": "i64",
    "length": "i64",
    "first_row": "i64",
    "key_low": "i64",
    "key_high": "i64",
    "step": "i32",
    "tag": "i32",
}
TWINS = {
    "gamma": (triton_gamma.kernel, {**triton_gamma.constants(F32), "whole": (True, False), "in_log": False}),
    "beta": (
        triton_beta.kernel,
        {**triton_beta.constants(F32), "whole": (True, False, True), "in_logit": False, "mirrored": True},
    ),
    "student_t": (
        triton_quadrature.kernel,
        {**triton_quadrature.constants(triton_student_t.anywhere, F32), "whole": (True, False)},
    ),
    "von_mises": (
        triton_quadrature.kernel,
        {**triton_quadrature.constants(triton_von_mises.anywhere, F32), "whole": (False, True)},
    ),
    "noise": (
        triton_noise.kernel,
        {**triton_noise.constants(F32), "law": 1, "shared": False, "scaled": True, "moved": True, "counters": 256},
    ),
    "sampler": (
        triton_gamma_sampler.kernel,
        {**triton_noise.constants(F32), "block": 256, "whole": True, "in_log": True},
    ),
}
# Every other argument that is no constant is a float32 tensor; the Beta's table is of float64.
PERIODS = ("period", "first_period", "second_period", "variate_period", "concentration_period")
WORDS = ("n", "length", "first_row", "key_low", "key_high")
TYPES = {**dict.fromkeys((*PERIODS, *WORDS), "i64"), "step": "i32", "tag": "i32", "rule": "*fp64"}


def compiled(name: str) -> str:
    kernel, constants = TWINS[name]
    types = TYPES | ({"table": "*fp64"} if name == "beta" else {})
    signature = {a: "constexpr" if a in constants else types.get(a, "*fp32") for a in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, signature, constexprs=constants), target=GPUTarget("cuda", 90, 32))
    return made.asm["ptx"]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print("compiled" if "fma.rn.f32" in compiled(name) or "fma.rn.f64" in compiled(name) else name)
