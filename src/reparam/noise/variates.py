"""Variates of the laws that no base noise of a fixed size can feed: one rejection sampler, by a kernel or in torch.

A draw is named by its place in a counter-based stream, so it is a value: the same in a kernel and in torch operations
(up to rounding), on every device, in whatever pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.kernels import memory, native, twins
from reparam.kernels.noise import Place
from reparam.noise import _rejection
from reparam.noise.counter import rows_of
from reparam.noise.quantile import FLOATS

# The laws sampled by rejection.
SAMPLERS = tuple(_rejection.LAWS)
_NATIVE_LAWS: list[str] = [] if native is None else native.law_names()
_WORD = 0xFFFFFFFF


def variate(law: str, parameters: Sequence[Tensor], place: Place) -> Tensor:
    """A draw of this law, without a derivative, of the parameters' common shape.

    Args:
        law: gamma, log_gamma, von_mises, poisson or binomial.
        parameters: the law's, in torch's order, expanded to the draw's shape, all of one dtype (float32 or float64).
            A value out of range makes NaN there.
        place: where the draw's random words stand.
    """
    _require_served(law, parameters)
    parameters = [p.detach() for p in parameters]
    if parameters[0].device.type != "meta" and memory.visible([*parameters, *place.tensors()]):
        return _run(law, parameters, place)
    step, index = (torch.as_tensor(part, dtype=torch.int64) for part in (place.step, place.index))
    return philox_variate(law, parameters, [place.seed & _WORD, place.seed >> 32], step, place.tag, index)


def _require_served(law: str, parameters: Sequence[Tensor]) -> None:
    if law not in SAMPLERS:
        raise InvalidArgument(
            "no law of this name is sampled by rejection", received=f"law = {law!r}", instead=", ".join(SAMPLERS)
        )
    first = parameters[0]
    alike = all(
        p.dtype == first.dtype and p.device == first.device and p.shape == first.shape and p.layout == torch.strided
        for p in parameters
    )
    if not alike or first.dtype not in FLOATS:
        raise InvalidArgument(
            f"the parameters of {law} must be strided tensors of one shape, one device and one floating-point dtype",
            received=", ".join(f"{tuple(p.shape)} of {p.dtype}, {p.layout}, on {p.device}" for p in parameters),
            instead="convert and expand them to the shape of the draw",
        )


def _run(law: str, parameters: Sequence[Tensor], place: Place) -> Tensor:
    first = parameters[0]
    twin = first.is_cuda and _has_twin(law, first.dtype, place)
    if not (twin or memory.reachable(first.dtype, first.device)):
        return _by_definition(law, parameters, place)
    out = torch.empty_like(first, memory_format=torch.contiguous_format)
    if out.numel() and twin:
        twins.sample(law, out, first, place.words(first.shape)[0])
    elif out.numel():
        assert native is not None
        words, _rows = place.words(first.shape)
        addresses, _held = memory.words(parameters)
        wide, which = first.dtype == torch.float64, _NATIVE_LAWS.index(law)
        addresses += [0, 1] * (2 - len(parameters))
        native.variates(which, wide, out.numel(), torch.get_num_threads(), out.data_ptr(), *addresses, *words)
    return out


def _has_twin(law: str, dtype: torch.dtype, place: Place) -> bool:
    wanted = law in twins.SAMPLERS and dtype in memory.DTYPES
    return wanted and twins.near(place.tensors()) and twins.load("triton_gamma_sampler") is not None


def _by_definition(law: str, parameters: Sequence[Tensor], place: Place) -> Tensor:
    shape = parameters[0].shape
    rows = rows_of(place.index, shape, parameters[0].device)
    length = shape[rows.ndim :].numel()
    counters = _rejection.Counters(rows, length, place.seed, place.step, place.tag)
    return _rejection.LAWS[law](counters, *(p.reshape(-1) for p in parameters)).reshape(shape)


# One opaque operation: how often a sampler tries is data.
@torch.library.custom_op("reparam::philox_variate", mutates_args=())
def philox_variate(
    law: str, parameters: Sequence[Tensor], seed: Sequence[int], step: Tensor, tag: int, index: Tensor
) -> Tensor:
    """The samplers as an operation that the compiler, fake tensors and vmap know."""
    _require_served(law, parameters)
    return _run(law, parameters, Place(seed[0] | seed[1] << 32, step, tag, index))


@philox_variate.register_fake
def _fake(law: str, parameters: Sequence[Tensor], seed: Sequence[int], step: Tensor, tag: int, index: Tensor) -> Tensor:
    return torch.empty_like(parameters[0], memory_format=torch.contiguous_format)


@philox_variate.register_vmap
def _vmap(
    info: Any, in_dims: tuple, law: str, parameters: Sequence[Tensor], seed: Any, step: Any, tag: int, index: Any
):
    # Every entry of the batch is the same draw with its own parameters, step or index.
    def entries(part: Tensor, dim: int | None) -> Sequence[Tensor]:
        return [part] * info.batch_size if dim is None else part.unbind(dim)

    batches = [entries(p, dim) for p, dim in zip(parameters, in_dims[1], strict=True)]
    steps, indices = entries(step, in_dims[3]), entries(index, in_dims[5])
    draws = [
        philox_variate(law, list(theta), seed, s, tag, i)
        for theta, s, i in zip(zip(*batches, strict=True), steps, indices, strict=True)
    ]
    return torch.stack(draws), 0
