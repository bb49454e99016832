"""Antithetic noise: each piece of noise is used twice, once reflected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reparam.errors import InvalidArgument
from reparam.noise.bound import Noise, NoiseSource, as_source
from reparam.noise.quantile import into_open_interval


@dataclasses.dataclass(frozen=True)
class Antithetic:
    r"""Noise in mirrored pairs along the first sample dimension: sample `i + n / 2` reflects sample `i`.

    .. math:: \epsilon_{i + n/2} = -\epsilon_i, \qquad u_{i + n/2} = 1 - u_i, \qquad
              e_{i + n/2} = -\log\left(1 - \exp(-e_i)\right)

    Each law is reflected through its own quantile function, so every sample on its own has exactly the law
    it had, and the mean over the draw stays unbiased. For a cost that is monotone in the noise the pairs'
    errors cancel in part: the variance is at most that of independent samples. An odd cost (in the noise) is
    integrated exactly; for an even one the pairs are twins, and the variance doubles.

    Args:
        base: where the first half comes from: None (torch's global generator), a `torch.Generator`, a
            `Philox` or a `Sobol`. A `Philox` numbers the pairs: row i of its index is the
            pair `(i, i + n / 2)`.

    Gradient:
        None: noise is a constant. `vmap` treats it as it treats its base.

    Errors:
        `InvalidArgument` for a draw without a sample dimension or with an odd number of samples, and for a
        base that is base noise itself or already antithetic.

    References:
        Hammersley and Morton, A New Monte Carlo Technique: Antithetic Variates, Proc. Cambridge Phil. Soc.
        1956. Wu, Goodman and Ermon, Differentiable Antithetic Sampling for Variance Reduction in Stochastic
        Variational Inference, AISTATS 2019.

    Example:
        >>> import torch, reparam as rp
        >>> x = rp.rsample(torch.distributions.Normal(5.0, 2.0), (4,), noise=rp.noise.Antithetic())
        >>> (x[:2] + x[2:]).tolist()
        [10.0, 10.0]
    """

    base: Noise = None

    def __post_init__(self) -> None:
        if isinstance(self.base, Tensor | Antithetic | NoiseSource):
            raise InvalidArgument(
                "the base of antithetic noise is None, a torch.Generator, or another value",
                received=f"base = {self.base!r}",
                instead="Antithetic(), Antithetic(generator), Antithetic(Philox(seed)) or Antithetic(Sobol(seed))",
            )

    def bind(self, sample_shape: torch.Size) -> AntitheticStream:
        """A source for one draw whose first sample dimension is even."""
        pairs = sample_dimension("antithetic pairs lie", sample_shape, "Antithetic()") // 2
        if 2 * pairs != sample_shape[0]:
            raise InvalidArgument(
                "antithetic samples come in pairs, so the first sample dimension must be even",
                received=f"sample_shape = {tuple(sample_shape)}",
                instead=f"sample_shape = {(2 * pairs + 2, *sample_shape[1:])}",
            )
        return AntitheticStream(as_source(self.base, torch.Size((pairs, *sample_shape[1:]))), sample_shape)


def sample_dimension(what: str, sample_shape: torch.Size, noise: str) -> int:
    """The length of the first sample dimension; raises where there is none for the samples to be coupled along."""
    if not sample_shape:
        raise InvalidArgument(
            f"{what} along the first sample dimension, and this draw has none",
            received="sample_shape = ()",
            instead=f"rp.rsample(dist, (n,), noise={noise})",
        )
    return sample_shape[0]


def require_leading(shape: Sequence[int], sample_shape: torch.Size, noise: str) -> None:
    """Raise unless a rule's request begins with the sample dimensions, along which its samples are coupled."""
    if tuple(shape[: len(sample_shape)]) != tuple(sample_shape):
        raise InvalidArgument(
            f"{noise} couples samples, so every request of a rule must begin with the sample dimensions",
            received=f"a request of shape {tuple(shape)} in a draw of sample_shape {tuple(sample_shape)}",
            instead="noise=None for this distribution, or a rule that keeps the sample dimensions in front",
        )


@dataclasses.dataclass
class AntitheticStream:
    """An `Antithetic` bound to one draw."""

    base: NoiseSource
    sample_shape: torch.Size

    def _pairs(self, half: Callable, reflect: Callable[[Tensor], Tensor], shape: Sequence[int], *where) -> Tensor:
        require_leading(shape, self.sample_shape, "Antithetic")
        first = half((shape[0] // 2, *shape[1:]), *where)
        return torch.cat([first, reflect(first)])

    def normal(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard normal noise and its negative."""
        return self._pairs(self.base.normal, torch.neg, shape, dtype, device)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform noise and its distance from 1."""
        return self._pairs(self.base.uniform, _reflect_uniform, shape, dtype, device)

    def exponential(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Standard exponential noise, and the quantile of the opposite probability."""
        return self._pairs(self.base.exponential, _reflect_exponential, shape, dtype, device)


def _reflect_uniform(u: Tensor) -> Tensor:
    return into_open_interval(1 - u)


def _reflect_exponential(e: Tensor) -> Tensor:
    wide = e if e.dtype == torch.float64 else e.float()
    # Each branch keeps its digits on its own side of the median.
    reflected = -torch.where(wide > 0.7, torch.log1p(-torch.exp(-wide)), torch.log(-torch.expm1(-wide)))
    return reflected.to(e.dtype).clamp(min=torch.finfo(e.dtype).tiny)
