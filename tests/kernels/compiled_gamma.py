"""Run by `test_triton.py`: the Gamma derivative's twin through Triton's compiler, for a GPU that need not be there."""

from __future__ import annotations

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from reparam.kernels import triton_gamma

POINTERS = dict.fromkeys(("out", "concentration", "variate", "table"), "*fp32") | {"rule": "*fp64"}
NUMBERS = dict.fromkeys(("n", "concentration_period", "variate_period"), "i64")

if __name__ == "__main__":
    kernel = triton_gamma.kernel
    constants = {**triton_gamma.constants(torch.float32), "whole": (True, False), "in_log": False}
    signature = dict.fromkeys(kernel.arg_names, "constexpr") | POINTERS | NUMBERS
    made = triton.compile(ASTSource(kernel, signature, constexprs=constants), target=GPUTarget("cuda", 90, 32))
    print("compiled" if "fma.rn.f32" in made.asm["ptx"] else made.asm["ptx"])
