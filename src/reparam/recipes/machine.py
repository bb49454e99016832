"""Where a run happens: one process or many, their devices and their precision, through Lightning Fabric.

Fabric is imported when the first `Machine` is made, so that reading a recipe's options costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from reparam.errors import InvalidArgument, ReparamError
from reparam.recipes.settings import Settings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class ProcessLost(ReparamError, RuntimeError):
    """Another process of a distributed run no longer answers."""


class Machine:
    """The processes of a run.

    Args:
        settings: which accelerator, how many devices and nodes, which strategy and precision.

    Attributes:
        device: where this process computes.
        rank: the number of this process, from 0; process 0 writes the files.
        world: how many processes there are.

    Raises:
        InvalidArgument: this machine has no such accelerator, or Fabric does not know the words.

    Example:
        >>> from reparam.recipes.settings import Settings
        >>> machine = Machine(Settings())
        >>> machine.device, machine.rank, machine.world
        (device(type='cpu'), 0, 1)
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            self._fabric = _fabric(settings)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise InvalidArgument(
                "this machine cannot run what was asked for",
                received=f"accelerator = {settings.accelerator!r}, devices = {settings.devices}, "
                f"strategy = {settings.strategy!r}, precision = {settings.precision!r} "
                f"({(str(error).splitlines() or [''])[0]})",
                instead="accelerator cpu, devices 1, strategy auto, precision 32-true",
            ) from error
        self.device: torch.device = self._fabric.device
        self.rank: int = self._fabric.global_rank
        self.world: int = self._fabric.world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def learner(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        clip: float | None = None,
    ) -> Learner:
        """`module`, on the device of the run, whose weights `optimizer` moves so as to lower `loss`; see `Learner`."""
        return Learner(self, module, loss, optimizer, clip)

    def wrapped(self, objective: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, Any, Callable[[Tensor], Any]]:
        """An objective and its optimizer as this machine runs them, and how it differentiates.

        One process in full precision takes them as they are: Fabric's wrappers would only pass everything on.
        """
        settings = self.settings
        if self.world == 1 and settings.strategy == "auto" and settings.precision == "32-true":
            return objective.to(self.device), optimizer, Tensor.backward
        return *self._fabric.setup(objective, optimizer), self._fabric.backward

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        return values if self.world == 1 else self._fabric.all_reduce(values, reduce_op="sum")  # pyright: ignore

    def agreed(self, find: Callable[[], T]) -> T:
        """What `find` returns on the main process, on all; what it raises there is raised on all."""
        if self.world == 1:
            return find()
        found, problem = None, None
        if self.is_main:
            try:
                found = find()
            except ReparamError as error:
                problem = error
        found, problem = self._fabric.broadcast((found, problem))
        if problem is not None:
            raise problem
        return cast(T, found)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is set in any process."""
        if self.world == 1:
            return flags
        return tuple((self.total(torch.tensor(flags, dtype=torch.float32, device=self.device)) > 0).tolist())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """In this block a process that is gone, or does not answer in time, is a `ProcessLost` on the others."""
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or isinstance(error, ReparamError) or not _is_of_network(error):
                raise
            raise ProcessLost(
                "another process of this run is gone, or did not answer in time",
                received=f"process {self.rank} of {self.world}: {(str(error).splitlines() or [''])[0]}",
                instead="look for the first error among the processes, then go on from the checkpoint with --resume",
            ) from error


def _is_of_network(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in ("gloo", "NCCL"))


def _fabric(settings: Settings) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    strategy: Any = settings.strategy
    many = settings.devices * settings.nodes > 1
    if strategy == "ddp" or (strategy == "auto" and many):
        # A process that has died must end the run, not hold it for the half hour that is torch's default.
        strategy = DDPStrategy(timeout=timedelta(seconds=settings.timeout))
    fabric = Fabric(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=strategy,
        precision=settings.precision,  # pyright: ignore[reportArgumentType]  (checked by Fabric)
    )
    fabric.launch()
    return fabric


class _Objective(nn.Module):
    """A loss with the weights that it trains, so that one forward pass is all that a strategy sees."""

    def __init__(self, module: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, *args: Any) -> Tensor:
        return self.loss(self.module, *(arg.value if isinstance(arg, _Kept) else arg for arg in args))


class _Kept:
    """An argument that is no tensor: Fabric, which looks for tensors to convert, would refuse a frozen dataclass."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Learner:
    """Weights, the loss that they lower and the optimizer that moves them; gradients are averaged over the processes.

    A recipe with several players (a generator and a critic, an actor and two critics) has a learner for each; the loss
    of one may use the modules of another, which its optimizer leaves alone.

    Args:
        machine: the processes and their devices.
        module: the weights, moved to the device.
        loss: `loss(module, *args)`, one loss for each row of the batch, or a number.
        optimizer: an optimizer over the parameters of `module`.
        clip: the largest norm of the gradient; None does not clip.
    """

    def __init__(
        self,
        machine: Machine,
        module: nn.Module,
        loss: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer,
        clip: float | None = None,
    ) -> None:
        self.machine, self.module, self.clip, self.optimizer = machine, module, clip, optimizer
        self._signal = self._noise = 0.0
        objective: Any = _Objective(module, loss)
        if machine.settings.compile:
            objective = torch.compile(objective)
        self._objective, self._optimizer, self._backward = machine.wrapped(objective, optimizer)

    def step(self, *args: Any, of: int | None = None) -> Tensor:
        """One step of the optimizer.

        Args:
            args: what the loss takes after the module.
            of: rows of the global batch, where the losses are one for each row of this process's share: the gradient is
                then that of their mean over all processes, however they are shared out. None takes the mean here.

        Returns:
            The losses, detached.
        """
        self._optimizer.zero_grad()
        losses = self._objective(*(arg if isinstance(arg, Tensor) else _Kept(arg) for arg in args))
        # Processes average their gradients, hence the factor.
        loss = losses.mean() if of is None else losses.sum() * (self.machine.world / of)
        self._backward(loss)
        if self.clip is not None:
            self.machine._fabric.clip_gradients(self._objective, self._optimizer, max_norm=self.clip)
        self._optimizer.step()
        return losses.detach()

    def signal_to_noise(self) -> float:
        r"""The norm of the mean gradient over the standard deviation of one step's, from Adam's running moments.

        The mean of the last gradients, :math:`\hat m`, has noise of its own: with :math:`c = \frac{1 - \beta_1}{1 +
        \beta_1} \frac{1 + \beta_1^t}{1 - \beta_1^t}` after t steps, the signal is :math:`s = \sum (\hat m^2 - c\,\hat
        v) / (1 - c)` and the noise :math:`\sum \hat v - s`. Both are averaged over about the last ten calls. Zero where
        the signal cannot be told from noise, NaN for other optimizers and before the second step.
        """
        signal = noise = 0.0
        for group in self.optimizer.param_groups:
            moments = [self.optimizer.state[p] for p in group["params"] if "exp_avg_sq" in self.optimizer.state[p]]
            if not moments or float(moments[0]["step"]) < 2:
                continue
            first, second = group["betas"]
            step = float(moments[0]["step"])
            means = float(sum(m["exp_avg"].square().sum() for m in moments)) / (1 - first**step) ** 2
            squares = float(sum(m["exp_avg_sq"].sum() for m in moments)) / (1 - second**step)
            part = (1 - first) / (1 + first) * (1 + first**step) / (1 - first**step)
            found = (means - part * squares) / (1 - part)
            signal, noise = signal + found, noise + squares - found
        self._signal, self._noise = 0.9 * self._signal + signal, 0.9 * self._noise + noise
        return math.sqrt(max(0.0, self._signal) / self._noise) if self._noise > 0 else math.nan

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimizer and of the signal-to-noise ratio; the weights are kept apart."""
        return {"optimizer": self.optimizer.state_dict(), "signal": self._signal, "noise": self._noise}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back a state."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._signal, self._noise = state["signal"], state["noise"]
