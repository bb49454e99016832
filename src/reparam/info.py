"""What is installed, and which code serves a call."""

from __future__ import annotations

import dataclasses
import platform

import torch

from reparam.kernels import served_by, twins
from reparam.kernels.elementwise import DERIVATIVES
from reparam.kernels.noise import LAWS
from reparam.noise.variates import SAMPLERS
from reparam.version import __version__


@dataclasses.dataclass(frozen=True)
class Info:
    """Versions and paths, printed one to a line.

    Attributes:
        reparam: version of this library.
        torch: version of torch, with its build.
        python: version and implementation of Python.
        machine: processor architecture and operating system.
        threads: threads torch uses for one operation.
        accelerator: name of the first accelerator, or "none".
        kernels: which code serves the functions that have a kernel, and why.
        functions: those functions, on a CPU; in other dtypes than float32 and float64 the reference serves.
        cuda: what serves CUDA tensors. Every other device is the reference's.
    """

    reparam: str
    torch: str
    python: str
    machine: str
    threads: int
    accelerator: str
    kernels: str
    functions: str
    cuda: str

    def __str__(self) -> str:
        fields = dataclasses.asdict(self)
        width = max(map(len, fields))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in fields.items())


def info() -> Info:
    """Versions of what is installed, and which code serves the special functions.

    Example:
        >>> import reparam as rp
        >>> rp.info().reparam == rp.__version__
        True
    """
    return Info(
        reparam=__version__,
        torch=torch.__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        machine=f"{platform.machine()}, {platform.system()}",
        threads=torch.get_num_threads(),
        accelerator=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        kernels=served_by(),
        functions=", ".join([*LAWS, *SAMPLERS, *DERIVATIVES]),
        cuda=twins.served_by(),
    )
