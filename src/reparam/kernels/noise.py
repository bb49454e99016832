"""Counter-based base noise from a native kernel, and a normal law that makes its noise anew instead of storing it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.kernels import memory, twins
from reparam.kernels.implicit import watched
from reparam.kernels.native import native

LAWS = ("uniform", "normal", "exponential")
_CPU = torch.device("cpu")
_WORD = 0xFFFFFFFF


class Place(NamedTuple):
    """Where a draw's random words stand: the counters of Philox that are its own.

    Attributes:
        seed, step, tag: words of the key and the counter; a step may be an integer tensor.
        index: the number of the first row, or a tensor of as many dimensions as the rows have, one number for each.
    """

    seed: int
    step: int | Tensor
    tag: int
    index: int | Tensor

    def words(self, shape: Sequence[int]) -> tuple[list[int], Tensor | None]:
        """What a kernel takes for a draw of this shape, and the tensor whose memory that refers to."""
        index, first, rows = self.index, 0, None
        depth = min(1, len(shape))
        if isinstance(index, Tensor) and index.ndim:
            rows, depth = index.to("cpu", torch.int64).contiguous(), index.ndim
        else:
            first = int(index) & _WORD
        length = math.prod(shape[depth:])
        address = 0 if rows is None else rows.data_ptr()
        return [self.seed, int(self.step) & _WORD, self.tag, first, address, length], rows

    def frozen(self) -> Place:
        """The same place, whatever its tensors turn into later: a step that a training loop adds to in place."""
        index = self.index.clone() if isinstance(self.index, Tensor) and self.index.ndim else int(self.index)
        return self._replace(step=int(self.step), index=index)

    def tensors(self) -> list[Tensor]:
        """The tensors among its parts."""
        return [part for part in (self.step, self.index) if isinstance(part, Tensor)]


def serves(law: str, dtype: torch.dtype, device: torch.device, *where: int | Tensor) -> bool:
    """Whether a kernel draws this law on this device, at this step and index."""
    if device.type == "cpu":
        return memory.reachable(dtype, device)
    wanted = device.type == "cuda" and dtype in memory.DTYPES and law in twins.LAWS
    return wanted and twins.near(where) and twins.load("triton_noise") is not None


def noise(law: str, shape: Sequence[int], dtype: torch.dtype, place: Place, device: torch.device = _CPU) -> Tensor:
    """Standard uniform, normal or exponential noise; under the compiler and the transforms, one operation."""
    if memory.visible(place.tensors()):
        return _run(law, shape, dtype, place, device)
    # A seed as two words: a 64-bit one has no signed integer of its own.
    step, index = (torch.as_tensor(part, dtype=torch.int64) for part in (place.step, place.index))
    seed = [place.seed & _WORD, place.seed >> 32]
    return philox_noise(law, list(shape), dtype, seed, step, place.tag, index, device)


def _run(law: str, shape: Sequence[int], dtype: torch.dtype, place: Place, device: torch.device) -> Tensor:
    out = torch.empty(tuple(shape), dtype=dtype, device=device)
    if not out.numel():
        return out
    words, _held = place.words(shape)
    if device.type == "cuda":
        _fill_by_triton(law, out, words)
    else:
        assert native is not None
        which, wide = LAWS.index(law), dtype == torch.float64
        native.noise(which, wide, out.numel(), torch.get_num_threads(), out.data_ptr(), *words)
    return out


def _fill_by_triton(law: str, out: Tensor, words: list[int], loc: Tensor | None = None, scale: Tensor | None = None):
    module = twins.load("triton_noise")
    assert module is not None
    seed, step, tag, first, _address, length = words
    centre, size = (None if t is None else t.contiguous() for t in (loc, scale))
    with torch.cuda.device_of(out):
        module.fill(LAWS.index(law), out, (seed, step, tag, first), length, centre, size)


@torch.library.custom_op("reparam::philox_noise", mutates_args=(), device_types="cpu")
def philox_noise(
    law: str,
    shape: Sequence[int],
    dtype: torch.dtype,
    seed: Sequence[int],
    step: Tensor,
    tag: int,
    index: Tensor,
    device: torch.device,
) -> Tensor:
    """The noise kernels as an operation that the compiler, fake tensors and vmap know."""
    if law not in LAWS or not serves(law, dtype, device, step, index):
        raise InvalidArgument(
            "no kernel makes this noise",
            received=f"{law} of {dtype} on {device}",
            instead="Philox(seed), which knows what serves whom",
        )
    return _run(law, shape, dtype, Place(seed[0] | seed[1] << 32, step, tag, index), device)


@philox_noise.register_fake
def _fake(
    law: str,
    shape: Sequence[int],
    dtype: torch.dtype,
    seed: Sequence[int],
    step: Tensor,
    tag: int,
    index: Tensor,
    device: torch.device,
) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device=device)


@philox_noise.register_vmap
def _vmap(info: Any, in_dims: tuple, law: str, shape: Any, dtype: Any, seed: Any, *rest: Any) -> tuple[Tensor, int]:
    # A batched step or index is rare, and every entry of the batch a draw of its own.
    step, tag, index, device = rest
    steps, indices = (
        [part] * info.batch_size if dim is None else part.unbind(dim)
        for part, dim in ((step, in_dims[4]), (index, in_dims[6]))
    )
    draws = [philox_noise(law, shape, dtype, seed, s, tag, i, device) for s, i in zip(steps, indices, strict=True)]
    return torch.stack(draws), 0


def scaled_normal(loc: Tensor, scale: Tensor, shape: Sequence[int], place: Place) -> Tensor:
    r"""The sum `loc + scale * eps`, its noise a function of the place alone.

    .. math:: z = \mu + \sigma \epsilon, \qquad
              \bar\mu = \bar z, \quad \bar\sigma = \bar z \, \epsilon \text{ with } \epsilon \text{ made anew}

    In eager mode nothing is saved for backward. Under `torch.func`, forward mode and the compiler it is the composition
    of its operations. All of it agrees bit for bit, and with `noise("normal", ...)`.

    Args:
        loc: the mean; it broadcasts to the shape.
        scale: the standard deviation, of the same dtype.
        shape: the draw's.
        place: where its noise stands.
    """
    full = loc.expand(shape), scale.expand(shape)
    if not memory.visible([loc, scale, *place.tensors()]):
        return full[0] + noise("normal", shape, scale.dtype, place, scale.device) * full[1]
    if not watched((loc, scale)):
        return _run_scaled(full[0], full[1], place)
    if torch.autograd.forward_ad._current_level >= 0:
        return full[0] + noise("normal", shape, scale.dtype, place, scale.device) * full[1]
    return _ScaledNormal.apply(*full, place.frozen())  # pyright: ignore[reportReturnType]


def _run_scaled(loc: Tensor | None, scale: Tensor, place: Place) -> Tensor:
    out = torch.empty_like(scale, memory_format=torch.contiguous_format)
    if not out.numel():
        return out
    words, _held = place.words(scale.shape)
    if scale.device.type == "cuda":
        _fill_by_triton("normal", out, words, loc, scale)
        return out
    assert native is not None
    inputs, _held = memory.words((scale,) if loc is None else (loc, scale))
    where = inputs if loc is not None else [0, 1, *inputs]
    wide = scale.dtype == torch.float64
    native.scaled_normal(wide, out.numel(), torch.get_num_threads(), out.data_ptr(), *where, *words)
    return out


class _ScaledNormal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loc: Tensor, scale: Tensor, place: Place) -> Tensor:
        ctx.place = place
        return _run_scaled(loc, scale, place)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        to_loc, to_scale, _ = ctx.needs_input_grad
        return grad if to_loc else None, _times_noise(grad, ctx.place) if to_scale else None, None


class _Scaled(torch.autograd.Function):
    """`scale * eps`, which is linear and its own adjoint: derivatives of every order."""

    @staticmethod
    def forward(ctx: Any, scale: Tensor, place: Place) -> Tensor:
        ctx.place = place
        return _run_scaled(None, scale, place)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _times_noise(grad, ctx.place), None


def _times_noise(grad: Tensor, place: Place) -> Tensor:
    if memory.visible([grad]):
        return _Scaled.apply(grad, place)  # pyright: ignore[reportReturnType]
    return grad * noise("normal", grad.shape, grad.dtype, place, grad.device)  # a batch of gradients, or a tracer's
