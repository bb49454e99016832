"""Counter-based random bits: Philox4x32-10, in integer operations of torch that every device and transform has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reparam.errors import InvalidArgument

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
# Counters in one pass: the working set of a round stays in cache (113 ns a counter, against 340 ns in one piece).
_CHUNK = 1 << 14


# One opaque operation: a compiler would spend seconds on its hundred small ones, and gain little.
@torch.library.custom_op("reparam::philox4x32", mutates_args=())
def philox4x32(counters: Tensor, key: Tensor) -> Tensor:
    """Philox4x32-10 of Salmon et al. (2011), on 32-bit words held in int64.

    Args:
        counters: shape (..., 4, n), least significant word first.
        key: shape (..., 2).

    Returns:
        The random words, of the shape of `counters`.
    """
    device = counters.device
    multipliers = torch.tensor(_MULTIPLIERS, device=device).unsqueeze(-1)
    rounds = torch.arange(_ROUNDS, device=device).unsqueeze(-1)
    steps = rounds * torch.tensor(_KEY_STEPS, device=device)
    keys = ((key.unsqueeze(-2) + steps) & _WORD).flip(-1).unsqueeze(-1).unbind(-3)
    return torch.cat([_rounds(chunk, multipliers, keys) for chunk in counters.split(_CHUNK, dim=-1)], dim=-1)


def _rounds(counters: Tensor, multipliers: Tensor, keys: Sequence[Tensor]) -> Tensor:
    # Two lanes: words 0 and 2 are multiplied, words 3 and 1 meet the products' high halves. A 64-bit product wraps
    # around with both halves right, and `mixed` may carry anything above its 32 bits until it is multiplied.
    multiplied, mixed = counters[..., 0::2, :], counters[..., 1::2, :].flip(-2)
    for key in keys:
        product = multiplied * multipliers
        multiplied = ((product >> 32 ^ mixed ^ key) & _WORD).flip(-2)
        mixed = product
    return torch.stack([multiplied, (mixed & _WORD).flip(-2)], dim=-2).flatten(-3, -2)


@philox4x32.register_fake
def _philox4x32_fake(counters: Tensor, key: Tensor) -> Tensor:
    return torch.empty_like(counters, memory_format=torch.contiguous_format)


@philox4x32.register_vmap
def _philox4x32_vmap(info: Any, in_dims: tuple, counters: Tensor, key: Tensor) -> tuple[Tensor, int]:
    batched = [
        value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
        for value, dim in zip((counters, key), in_dims, strict=True)
    ]
    return philox4x32(*batched), 0


def random_words(rows: Tensor, count: int, *, seed: int | Tensor, step: int | Tensor, tag: int) -> Tensor:
    """`count` words for each row: word j is word `j % 4` of the counter `(j // 4, row, step, tag)`.

    Rows of one or two words share a counter, `(0, row // share, step, tag)`, each with its part of the four words. A
    word depends on its row and its place there alone, so rows may be computed apart and in any order.
    """
    rows = rows & _WORD
    share = 4 // count if count in (1, 2) else 1
    blocks = torch.arange(-(-count // 4), device=rows.device)
    place = (*rows.shape, len(blocks))
    columns = (blocks, (rows // share).unsqueeze(-1), as_word(step, rows.device), as_word(tag, rows.device))
    counters = torch.stack([(column & _WORD).expand(place).reshape(-1) for column in columns])
    seed = as_word(seed, rows.device)
    key = torch.stack([seed & _WORD, seed >> 32 & _WORD])
    words = philox4x32(counters, key).T.reshape(*rows.shape, 4 * len(blocks))
    if share == 1:
        return words[..., :count]
    mine = (rows % share).unsqueeze(-1) * count + torch.arange(count, device=rows.device)
    return words.gather(-1, mine)


def as_word(value: int | Tensor, device: torch.device) -> Tensor:
    """A seed, a step or an index as an int64 tensor on `device`: its 64 bits, whatever their sign."""
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=torch.int64)
    value = value - (1 << 64) if value >= 1 << 63 else value
    # `torch.full` keeps an integer that the compiler has made symbolic; `torch.tensor` would not.
    return torch.full((), value, dtype=torch.int64, device=device)


def rows_of(index: int | Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """The numbers of a draw's rows: of its first dimension, or of as many as an index tensor has."""
    check_index(index, shape)
    first = as_word(index, device)
    if first.ndim or not len(shape):
        return first
    return first + torch.arange(shape[0], device=device)


def check_index(index: int | Tensor, shape: Sequence[int]) -> None:
    """Raise `InvalidArgument` for an index tensor that does not have the shape of the draw's first dimensions."""
    if isinstance(index, Tensor) and index.ndim and tuple(index.shape) != tuple(shape[: index.ndim]):
        raise InvalidArgument(
            "an index tensor must have the shape of the draw's first dimensions",
            received=f"index of shape {tuple(index.shape)} for a draw of shape {tuple(shape)}",
            instead="one index for each row, or the index of the first row as an int",
        )


def check_word(name: str, value: int | Tensor, bound: int, instead: str, *, dimensions: int | None = None) -> None:
    """Raise `InvalidArgument` unless `value` is an int in `[0, bound)`, or an integer tensor where those serve.

    `dimensions` is the most that such a tensor may have; None where only an int serves.
    """
    if isinstance(value, Tensor):
        integer = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
        valid = integer and dimensions is not None and value.ndim <= dimensions
    else:
        valid = isinstance(value, int) and 0 <= value < bound
    if not valid:
        kinds = {None: "an int", 0: "an int or an integer tensor without dimensions"}
        raise InvalidArgument(
            f"{name} must be {kinds.get(dimensions, 'an int or an integer tensor')}, from 0 to {bound - 1}",
            received=f"{name} = {value!r}",
            instead=instead,
        )


def same_fields(a: object, b: object) -> bool:
    """Whether two dataclass objects of one class are equal field by field, tensors by their values."""
    return all(_same(value, vars(b)[name]) for name, value in vars(a).items())


def _same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.device == b.device and torch.equal(a, b))
    return isinstance(a, Tensor) == isinstance(b, Tensor) and bool(a == b)
