"""Which kernels have a Triton twin for CUDA tensors, and whether Triton is here to run it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

LAWS = ("uniform", "normal", "exponential")
SAMPLERS = ("gamma", "log_gamma")
# The module of each.
DERIVATIVES = {
    "gamma_dx_da": "triton_gamma",
    "gamma_dlogx_da": "triton_gamma",
    "beta_dx_da": "triton_beta",
    "beta_dx_db": "triton_beta",
    "beta_dlogit_da": "triton_beta",
    "beta_dlogit_db": "triton_beta",
    "student_t_dt_dnu": "triton_student_t",
    "von_mises_dx_dkappa": "triton_von_mises",
}


@functools.cache
def load(name: str) -> ModuleType | None:
    """A module of Triton kernels, or None where there is no Triton."""
    try:
        return importlib.import_module(f"reparam.kernels.{name}")
    except ImportError:
        return None


def near(where: Sequence[int | Tensor]) -> bool:
    """Whether a twin can be told this step and index."""
    # One held on the device would have to be waited for, and a list of rows is the reference's.
    return all(not isinstance(part, Tensor) or (part.ndim == 0 and part.device.type == "cpu") for part in where)


def serves(name: str) -> bool:
    """Whether this derivative has a twin here."""
    return name in DERIVATIVES and load(DERIVATIVES[name]) is not None


def derivative(name: str, out: Tensor, inputs: Sequence[Tensor]) -> None:
    """Fills a CUDA tensor with a derivative that is served."""
    module = load(DERIVATIVES[name])
    assert module is not None
    with torch.cuda.device_of(out):
        module.fill(name, out, *inputs)


def sample(law: str, out: Tensor, concentration: Tensor, words: Sequence[int]) -> None:
    """Fills a CUDA tensor with Gamma variates, or their logarithms: the words of `kernels.noise.Place`."""
    module = load("triton_gamma_sampler")
    assert module is not None
    seed, step, tag, first_row, _address, length = words
    with torch.cuda.device_of(out):
        module.fill(out, concentration, (seed, step, tag, first_row), length, in_log=law == "log_gamma")


def served_by() -> str:
    """What serves CUDA tensors, and why.

    Example:
        >>> "reference" in served_by()
        True
    """
    if importlib.util.find_spec("triton") is None:
        return "reference, in torch operations (Triton is not installed)"
    served = ", ".join((*LAWS, *SAMPLERS, *DERIVATIVES))
    return f"Triton for {served}; the reference, in torch operations, for the rest"
