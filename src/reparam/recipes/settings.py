"""What every recipe lets a user choose, and how a choice that cannot serve is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reparam.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every recipe lets a user choose: where and how it computes, never what it computes (but for the seed)."""

    seed: int = 0
    """Everything random follows from this number."""
    accelerator: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    """Where to train."""
    devices: int = 1
    """Devices of each node; on a CPU, processes."""
    nodes: int = 1
    """Machines that train together, each started by torchrun."""
    strategy: str = "auto"
    """How devices work together: auto (ddp for several), or another of Lightning Fabric's names."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Of the arithmetic in training: mixed computes in half where that is safe, with weights in single."""
    compile: bool = False
    """Compile the training step with torch.compile: a minute at the start, for faster steps."""
    threads: int | None = None
    """Threads of the CPU; by default the recipe's choice."""
    checkpoint_seconds: float = 30.0
    """A checkpoint every so many seconds; 0 keeps one after each step."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay."""
    timeout: float = 300.0
    """Seconds after which a process that does not answer ends the run."""


def check(config: Settings) -> None:
    """Raise `InvalidArgument` unless every value can serve."""
    for name in ("devices", "nodes", "threads", "keep_checkpoints"):
        value = getattr(config, name)
        require(value is None or value >= 1, name, value, "a whole number of at least 1")
    require(0 <= config.seed < 2**63, "seed", config.seed, "a whole number from 0 to 2**63 - 1")
    known = config.precision != "16-mixed" or config.accelerator != "cpu"
    require(known, "precision", config.precision, "bf16-mixed on a CPU")
    seconds = config.checkpoint_seconds
    require(seconds >= 0, "checkpoint_seconds", seconds, "a number of seconds, such as 30")
    require(0 < config.timeout < math.inf, "timeout", config.timeout, "a number of seconds, such as 300")


def require(condition: bool, name: str, value: object, instead: str) -> None:
    """Raise `InvalidArgument` for a setting that cannot train, unless `condition` holds.

    Example:
        >>> require(-1 >= 0, "batch", -1, "a whole number of at least 1")
        Traceback (most recent call last):
        ...
        reparam.errors.InvalidArgument: batch has a value that cannot train
          received: batch = -1
          instead:  a whole number of at least 1
    """
    if not condition:
        raise InvalidArgument(f"{name} has a value that cannot train", received=f"{name} = {value!r}", instead=instead)
