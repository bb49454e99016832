"""What a rule sees of the randomness: a source bound to the shape, dtype and device of one draw.

A user hands over `noise=`; `bind` turns it into a `BoundNoise`, and a rule asks that for `.normal()`, `.uniform()` or
`.exponential()` without knowing where the numbers come from. All three have the shape of the sample unless told
otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from reparam.checks import all_true, summary, values_visible
from reparam.errors import InvalidArgument
from reparam.kernels import memory
from reparam.noise.philox import Philox


@runtime_checkable
class NoiseSource(Protocol):
    """A source of base noise: three methods, each given a shape, a dtype and a device.

    A source may count what was asked of it: two requests are two independent pieces of noise.
    """

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal noise."""
        ...

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform noise in the open interval (0, 1): from `eps / 4` to `1 - eps / 2`, eps the dtype's."""
        ...

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard exponential noise, positive."""
        ...


@runtime_checkable
class NoiseValue(Protocol):
    """Noise as an immutable value: it holds no position; each draw binds it to a source that starts afresh."""

    def bind(self, sample_shape: torch.Size) -> NoiseSource:
        """A fresh source for one draw of `sample_shape`, whose successive requests are distinct."""
        ...


Noise: TypeAlias = "torch.Generator | Tensor | NoiseSource | NoiseValue | None"


@dataclasses.dataclass(frozen=True)
class TorchStream:
    """torch's global generator, or a `torch.Generator` of the user's."""

    generator: torch.Generator | None = None

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Exactly `torch.randn`."""
        if self.generator is None:  # with the keyword, even None, torch takes no symbolic sizes
            return torch.randn(shape, dtype=dtype, device=device)
        return torch.randn(shape, generator=self.generator, dtype=dtype, device=device)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """`torch.rand`, whose value 0 (a cell of width eps/2 like every other) is moved to the middle of its cell.

        Clamping to the smallest float instead, as is common, puts an outlier of size `log(1e-38)` where the true
        quantile is `log(1e-8)`, once in every few million float32 draws.
        """
        if self.generator is None:
            u = torch.rand(shape, dtype=dtype, device=device)
        else:
            u = torch.rand(shape, generator=self.generator, dtype=dtype, device=device)
        return u.clamp(min=torch.finfo(dtype).eps / 4)

    def counters(self, parameters: Sequence[Tensor]) -> NoiseSource | None:
        """A counter-based source seeded by this one, where a kernel can be fed by it and is worth that; else None."""
        like = parameters[0]
        if like.numel() < WORTH_A_SEED or not (
            memory.reachable(like.dtype, like.device) and memory.visible(parameters)
        ):
            return None
        seed = torch.randint((1 << 63) - 1, (), generator=self.generator)
        return Philox(int(seed)).bind(torch.Size())

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Torch's own sampler, which on a CPU takes the logarithm in float64; elsewhere the quantile of a uniform.

        In float64 too: the logarithm of a 24-bit uniform has no values below 6e-8 or above 17. The quantile serves
        every mode of `vmap`, where nothing may be filled in place, the compiler, which samples in float32, and CUDA.
        """
        if device.type == "cpu" and values_visible():
            return torch.empty(shape, dtype=dtype, device=device).exponential_(generator=self.generator)
        return torch.log1p(-self.uniform(shape, torch.float64, device)).neg().to(dtype)


@dataclasses.dataclass
class TensorNoise:
    """Base noise in the user's hand: used once, as whatever the rule asks for, after a check that it can be that."""

    values: Tensor
    used: bool = False

    def _take(self, kind: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        values = self.values
        if self.used:
            raise InvalidArgument(
                "this distribution needs more than one piece of base noise; a tensor is one",
                received=f"noise of shape {tuple(values.shape)}",
                instead="noise=torch.Generator().manual_seed(seed)",
            )
        if values.dtype != dtype or values.device != device:
            raise InvalidArgument(
                f"noise must have the distribution's dtype and device ({dtype}, {device})",
                received=f"noise of {values.dtype} on {values.device}",
                instead=f"noise.to(device='{device}', dtype={dtype})",
            )
        try:
            values = values.expand(tuple(shape))
        except RuntimeError:
            raise InvalidArgument(
                f"{kind} noise must broadcast to the shape of the draw, sample_shape + batch_shape + event_shape",
                received=f"noise of shape {tuple(self.values.shape)} for a draw of shape {tuple(shape)}",
                instead=f"noise of shape {tuple(shape)}, or the sample_shape that the noise has",
            ) from None
        self.used = True
        return values

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The tensor as standard normal noise."""
        return _require(self._take("normal", shape, dtype, device), "normal", torch.isfinite, "finite")

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The tensor as uniform noise."""
        values = self._take("uniform", shape, dtype, device)
        return _require(values, "uniform", lambda u: (u > 0) & (u < 1), "in the open interval (0, 1)")

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """The tensor as standard exponential noise."""
        values = self._take("exponential", shape, dtype, device)
        return _require(values, "exponential", lambda e: (e > 0) & torch.isfinite(e), "positive and finite")


def _require(values: Tensor, kind: str, holds, wording: str) -> Tensor:
    if not all_true(holds(values)):
        raise InvalidArgument(
            f"{kind} base noise must be {wording}",
            received=f"noise = {summary(values)}",
            instead=f"base noise that is {wording} everywhere",
        )
    return values


# Below so many elements torch's own samplers are done before a seed is drawn and bound.
WORTH_A_SEED = 1024
_GLOBAL_STREAM = TorchStream()
_NO_SAMPLES = torch.Size()


class BoundNoise:
    """A source bound to one draw: what a rule `rule(dist, noise)` receives.

    A rule may ask as often as it likes; every request is a new piece of noise. One that asks for another shape
    appends its dimensions at the end: the sample dimensions stay in front, since `Antithetic` and `Sobol` couple
    along them and `Philox` numbers the rows of the first.

    A law that is sampled by rejection, which no base noise of a fixed shape can feed, is asked of `variate` first;
    where that is None, torch's own sampler serves torch's stream, and the quantile transform every other source::

        x = noise.variate("gamma", concentration)
        if x is None and noise.is_torch_stream:
            x = torch._standard_gamma(concentration, generator=noise.generator)
        elif x is None:
            x = gammaincinv(concentration, noise.uniform())

    Attributes:
        shape: the shape of the draw, `sample_shape + batch_shape + event_shape`.
        sample_shape: the part of it the user asked for.
        like: a parameter of the distribution, whose dtype and device are the draw's.
        source: where the numbers come from, to be handed on by a rule that draws from another distribution.
    """

    __slots__ = ("like", "sample_shape", "shape", "source")

    def __init__(self, source: NoiseSource, shape: torch.Size, sample_shape: torch.Size, like: Tensor) -> None:
        self.source = source
        self.shape = shape
        self.sample_shape = sample_shape
        self.like = like

    @property
    def is_torch_stream(self) -> bool:
        """Whether the numbers come from torch's global generator or a `torch.Generator`."""
        return isinstance(self.source, TorchStream)

    @property
    def generator(self) -> torch.Generator | None:
        """What torch's own samplers take as `generator=`, None for the global one; other sources raise."""
        if isinstance(self.source, TorchStream):
            return self.source.generator
        raise InvalidArgument(
            "this distribution is drawn by a sampler of torch's own, which a torch.Generator alone can feed",
            received=f"noise = {self.source!r}",
            instead="noise=torch.Generator().manual_seed(seed), or noise=None",
        )

    def _is_like(self) -> bool:
        """Whether torch's `*_like` functions draw the same numbers, at half the call overhead: 3 of 16 us."""
        return self.source is _GLOBAL_STREAM and self.shape == self.like.shape and self.like.is_contiguous()

    def filled(self, fill: Callable[..., Tensor], *arguments: float) -> Tensor | None:
        """A tensor of the draw's shape filled by one of torch's own samplers, as `noise.filled(Tensor.cauchy_)`.

        None where the numbers come from elsewhere, where nothing may be filled in place (`vmap`, the compiler), and off
        the CPU, whose samplers work in float64 for every dtype. A rule then falls back on `normal` or `uniform`.
        """
        like = self.like
        if not isinstance(self.source, TorchStream) or like.device.type != "cpu" or not values_visible():
            return None
        empty = torch.empty_like(like) if self._is_like() else torch.empty(self.shape, dtype=like.dtype)
        return fill(empty, *arguments, generator=self.source.generator)

    def normal(self, shape: Sequence[int] | None = None) -> Tensor:
        """Standard normal noise, of the draw's shape unless another is given."""
        if shape is None and self._is_like():
            return torch.randn_like(self.like)
        return self.source.normal(self.shape if shape is None else shape, self.like.dtype, self.like.device)

    def scaled_normal(self, loc: Tensor, scale: Tensor) -> Tensor:
        """The sum `loc + scale * eps`, of the draw's shape; eps is not stored where the source can make it anew."""
        fused = None if self.is_torch_stream else getattr(self.source, "scaled_normal", None)
        return loc + self.normal() * scale if fused is None else fused(loc, scale, self.shape)

    def variate(self, law: str, *parameters: Tensor) -> Tensor | None:
        """A draw of a law that is sampled by rejection, without a derivative; None where the source has no such way.

        `Philox` has it, and torch's stream where a kernel serves: there the generator gives the seed.

        Args:
            law: gamma, log_gamma, von_mises, poisson or binomial.
            parameters: the law's, expanded to the shape of the draw.
        """
        source = self.source
        if isinstance(source, TorchStream):
            source = source.counters(parameters)
        sampler = getattr(source, "variate", None)
        return None if sampler is None else sampler(law, parameters)

    def uniform(self, shape: Sequence[int] | None = None) -> Tensor:
        """Uniform noise in the open interval (0, 1), of the draw's shape unless another is given."""
        if shape is None and self._is_like() and values_visible():
            return torch.rand_like(self.like).clamp_min_(torch.finfo(self.like.dtype).eps / 4)
        return self.source.uniform(self.shape if shape is None else shape, self.like.dtype, self.like.device)

    def exponential(self, shape: Sequence[int] | None = None) -> Tensor:
        """Standard exponential noise, of the draw's shape unless another is given."""
        if shape is None and (noise := self.filled(Tensor.exponential_)) is not None:
            return noise
        return self.source.exponential(self.shape if shape is None else shape, self.like.dtype, self.like.device)


def as_source(noise: Noise, sample_shape: torch.Size = _NO_SAMPLES) -> NoiseSource:
    """The user's `noise=` as a `NoiseSource`, for one draw of `sample_shape` or all draws of one program."""
    if noise is None:
        return _GLOBAL_STREAM
    if isinstance(noise, torch.Generator):
        return TorchStream(noise)
    if isinstance(noise, Tensor):
        return TensorNoise(noise)
    if isinstance(noise, Philox):  # said by its class, before the protocols: those look at every method
        return noise.bind(sample_shape)
    if not isinstance(noise, type):  # a class has its instances' methods, which is all that a protocol looks for
        if isinstance(noise, NoiseSource):
            return noise
        if isinstance(noise, NoiseValue):
            return noise.bind(sample_shape)
    raise InvalidArgument(
        "noise must be None, a torch.Generator, a tensor of base noise, or a noise source",
        received=f"noise = {noise!r}",
        instead="noise=torch.Generator().manual_seed(0)",
    )
