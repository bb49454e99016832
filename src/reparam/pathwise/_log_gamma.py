"""The logarithm of a standard Gamma variate: the ground that Gamma, Beta, Dirichlet, Student-t and Wishart stand on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C._functorch import CVmapInterpreterPtr, RandomnessType, TransformType, get_interpreter_stack

from reparam.noise import BoundNoise
from reparam.pathwise._implicit import attach
from reparam.special._gamma_inverse import log_quantile_ratio
from reparam.special.gamma import gamma_dlogx_dconcentration


def log_gamma(concentration: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> Tensor:
    r"""log x for x ~ Gamma(concentration, 1), with the implicit derivative in the concentration.

    In logarithms, because at a concentration of 1e-3 half the variates are below 1e-300. The value is
    :math:`\log G + \log(U) / a` with G a Gamma of concentration a + 1 (Stuart, 1962), exact for every a.
    """
    a = concentration.detach().expand(noise.shape if shape is None else tuple(shape))
    if noise.is_torch_stream and not _one_stream_for_a_batch():
        x = torch._standard_gamma(a + 1, **_generator(noise)).log() + noise.uniform(a.shape).log() / a
    else:
        x = _log_quantile(a, noise.uniform(a.shape))
    return attach(_slope, x, concentration)


def log_gamma_pair(first: Tensor, second: Tensor, noise: BoundNoise, shape: Sequence[int] | None = None) -> list[Tensor]:
    """Two independent log-Gammas from one call of the sampler."""
    shape = noise.shape if shape is None else shape
    both = torch.stack(torch.broadcast_tensors(first, second), -1)
    return list(log_gamma(both, noise, (*shape, 2)).unbind(-1))


def _slope(x: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    return (gamma_dlogx_dconcentration(parameters[0], x),)


def _log_quantile(a: Tensor, u: Tensor) -> Tensor:
    wide_a, wide_u = a.double(), u.double()
    log_ratio = log_quantile_ratio(wide_a, wide_u.log(), torch.log1p(-wide_u))
    return (log_ratio + wide_a.log()).to(a.dtype)


def _generator(noise: BoundNoise) -> dict[str, torch.Generator]:
    # The compiler cannot trace a generator, not even None, for a shape it does not know.
    return {} if noise.generator is None else {"generator": noise.generator}


def _one_stream_for_a_batch() -> bool:
    """Whether `vmap(randomness="same")` is in force, for which torch's sampler has no rule."""
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return False
    stack = get_interpreter_stack() or ()
    levels = [CVmapInterpreterPtr(level) for level in stack if level.key() == TransformType.Vmap]
    return any(level.randomness() == RandomnessType.Same for level in levels)
