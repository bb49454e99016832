"""How a VAE's training step scales over processes: a model of its time from three measurements, against a fourth.

A step of n processes, each with 1/n of the global batch B, is compute and an all-reduce of the gradient, of `bytes`:

    T(n) = a + b B / n  +  [ n > 1 ] ( 2 (n - 1) latency + 2 (n - 1) / n * bytes / bandwidth )

One process at several batch sizes gives a and b, in CPU time; all-reduces of several sizes between two gloo processes
give latency and bandwidth, in wall time (a ring passes each byte twice, in n - 1 hops each way). The model is then held
against steps of two processes. Of many repeats the least counts, since other work on the machine only ever adds.

    python benchmarks/scaling.py
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import distributed

from paired import machine
from reparam.recipes.keyed import Share
from reparam.recipes.machine import Machine
from reparam.recipes.networks import dense
from reparam.recipes.vae import VAE, Config, bound

BATCHES = (50, 100, 200, 400)
SIZES = (1, 10_000, 100_000, 653_164)  # floats; the last is a 784-400-20 VAE with its two-headed encoder
REPEATS = 200


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The least time of a call."""
    times = []
    for _ in range(REPEATS):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)


class Step:
    """The recipe's step on a 784-400-20 network."""

    def __init__(self, processes: Machine) -> None:
        torch.manual_seed(0)
        self.machine = processes
        self.model = VAE(dense((28, 28), 400, 20, 40), 20)
        self.prior, self.config = self.model.prior(), Config()
        self.learner = processes.learner(self.model, self._loss, torch.optim.Adam(self.model.parameters()))

    def _loss(self, model: VAE, images: torch.Tensor, noise: object) -> torch.Tensor:
        return -bound(model, self.prior, images, self.config, noise)  # pyright: ignore[reportArgumentType]

    def __call__(self, batch: int) -> Callable[[], object]:
        """A step at a global batch of that size."""
        rank, world = self.machine.rank, self.machine.world
        first, end = batch * rank // world, batch * (rank + 1) // world
        images = torch.rand(batch, 784)[first:end]
        share = Share(torch.arange(first, end), first, batch, 0, 0)
        return lambda: self.learner.step(share.bernoulli(images), share.noise(1), of=batch)


def alone() -> tuple[float, float]:
    """The model's a and b, by least squares over batch sizes."""
    step = Step(Machine(Config()))
    times = [seconds(step(batch), time.process_time) for batch in BATCHES]
    for batch, measured in zip(BATCHES, times, strict=True):
        print(f"one process, batch {batch:>4}: {measured * 1e3:.2f} ms")
    slope, intercept = np.polyfit(BATCHES, times, 1)
    return float(intercept), float(slope)


def together() -> None:
    """What each of two processes runs: all-reduces, then steps."""
    processes = Machine(Config(devices=2))
    torch.set_num_threads(1)
    reduces = {size: seconds(partial(distributed.all_reduce, torch.zeros(size))) for size in SIZES}
    step = Step(processes)
    steps = [seconds(step(batch)) for batch in BATCHES]
    busy = [seconds(step(batch), time.process_time) for batch in BATCHES]
    if processes.is_main:
        print("#", json.dumps([list(reduces.values()), steps, busy]))


def launched() -> list[list[float]]:
    """What two processes take for the all-reduces and for the steps."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "worker"],
            env={**os.environ, **common, "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    ]
    said = "".join(worker.communicate()[0] for worker in workers)
    return json.loads(next(line[1:] for line in said.splitlines() if line.startswith("#")))


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    a, b = alone()
    reduces, steps, busy = launched()
    for size, measured in zip(SIZES, reduces, strict=True):
        print(f"all-reduce of {4 * size / 1e6:.2f} MB between two: {measured * 1e3:.2f} ms")
    per_byte, constant = np.polyfit([4 * size for size in SIZES], reduces, 1)
    latency = constant / 2
    print(f"a = {a * 1e3:.2f} ms, b = {b * 1e6:.1f} us an image")
    print(f"latency {latency * 1e6:.0f} us, bandwidth {1e-9 / per_byte:.2f} GB/s")

    def model(n: int, batch: int) -> float:
        wire = 2 * (n - 1) * latency + 2 * (n - 1) / n * 4 * SIZES[-1] * per_byte
        return a + b * batch / n + (wire if n > 1 else 0)

    for batch, wall, cpu in zip(BATCHES, steps, busy, strict=True):
        said = f"the model says {model(2, batch) * 1e3:.2f} ms, of which compute {(a + b * batch / 2) * 1e3:.2f} ms"
        print(f"two processes, batch {batch:>4}: wall {wall * 1e3:.2f} ms, CPU of each {cpu * 1e3:.2f} ms; {said}")
    for n in (2, 4, 8, 16):
        gains = ", ".join(f"batch {batch}: {model(1, batch) / model(n, batch):.1f}" for batch in (100, 1000, 10_000))
        print(f"speed-up the model expects of {n:>2} processes with a core each: {gains}")


if __name__ == "__main__":
    together() if "worker" in sys.argv else main()
