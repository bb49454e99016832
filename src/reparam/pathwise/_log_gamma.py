"""The logarithm of a standard Gamma variate: the ground that Gamma, Beta, Dirichlet, Student-t and Wishart stand on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._C._functorch import CVmapInterpreterPtr, RandomnessType, TransformType, get_interpreter_stack

from reparam.kernels import memory
from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise, TorchStream
from reparam.noise.bound import WORTH_A_SEED
from reparam.special.gamma import gamma_dlogx_dconcentration, log_gammaincinv

# What float32 surely holds: concentrations that need no second look.
_TINY, _LARGE = 1e-30, 1e30


def log_gamma(concentration: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    r"""The logarithm of x ~ Gamma(concentration, 1), with the implicit derivative in the concentration.

    In logarithms, because at a concentration of 1e-3 half the variates are below 1e-300.
    """
    return attach(_slope, draw_log_gamma(concentration, noise, shape), concentration)


def draw_log_gamma(concentration: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    r"""The same without a gradient.

    Under counters, by rejection. Under torch's stream, where no kernel serves, it is :math:`\log G + \log(U) / a` with
    G a Gamma of concentration a + 1 (Stuart, 1962), exact for every a; under any other noise, the quantile.
    """
    a = concentration.detach().expand(noise.shape if shape is None else tuple(shape))
    x = noise.variate("log_gamma", a)
    if x is not None:
        return x
    if noise.is_torch_stream and not _one_stream_for_a_batch():
        x = torch._standard_gamma(a + 1, **_generator(noise)).log() + noise.uniform(a.shape).log() / a
        # Out of range the formula may give a plausible number.
        return x if memory.within(a, _TINY, _LARGE) else torch.where((a > 0) & (a < torch.inf), x, torch.nan)
    return log_gammaincinv(a, noise.uniform(a.shape).double().log()).to(a.dtype)


def draw_log_gamma_ratio(above: Tensor, below: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    """The logarithm of the ratio of two independent standard Gammas, without a gradient, in one call of the sampler."""
    both = torch.stack(torch.broadcast_tensors(above.detach(), below.detach()), -1)
    log_x, log_y = draw_log_gamma(both, noise, (*(noise.shape if shape is None else shape), 2)).unbind(-1)
    return log_x - log_y


def moderate_gamma(
    noise: BoundNoise, *parameters: Tensor, floor: float = 0.5, shape: Sequence[int] | None = None
) -> Callable[[Tensor], Tensor] | None:
    """A sampler of standard Gammas themselves, where none of them can leave the floats and all can be seen; else None.

    Half the operations of the logarithm's way, for the concentrations most people use: from 1/2 up, which is where the
    parameters are at `floor`. The sampler draws in `shape`, the draw's unless given.
    """
    source = noise.source
    from_torch = isinstance(source, TorchStream)
    if not (from_torch or hasattr(source, "variate")):
        return None
    for parameter in parameters:
        if not memory.within(parameter, floor, sys.float_info.max):  # NaN is not, and torch's sampler would hide it
            return None

    shape = noise.shape if shape is None else torch.Size(shape)
    small, generator = (shape.numel() < WORTH_A_SEED, source.generator) if from_torch else (False, None)

    def sampler(concentration: Tensor) -> Tensor:
        a = concentration if concentration.shape == shape else concentration.expand(shape)
        x = None if small else noise.variate("gamma", a)
        return torch._standard_gamma(a, generator) if x is None else x

    return sampler


def _slope(log_x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    return (gamma_dlogx_dconcentration(parameters[0], log_x),)


def _generator(noise: BoundNoise) -> dict[str, torch.Generator]:
    # The compiler cannot trace a generator, not even None, beside a shape that it does not know.
    return {} if noise.generator is None else {"generator": noise.generator}


def _one_stream_for_a_batch() -> bool:
    """Whether `vmap(randomness="same")` is in force, for which torch's sampler has no rule."""
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return False
    stack = get_interpreter_stack() or ()
    levels = [CVmapInterpreterPtr(level) for level in stack if level.key() == TransformType.Vmap]
    return any(level.randomness() == RandomnessType.Same for level in levels)
