"""Statistical checks with a declared false-alarm rate."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist

import torch
from torch import Tensor

from reparam.errors import InvalidArgument

# The chance that one run of the whole suite raises a false alarm, divided among its comparisons (Bonferroni).
FALSE_ALARM_RATE = 1e-4
COMPARISONS = 20_000


def threshold(comparisons: int = COMPARISONS, rate: float = FALSE_ALARM_RATE) -> float:
    r"""The |z| beyond which one of `comparisons` two-sided tests is an alarm, at a false-alarm rate for all of them.

    .. math:: z^* = -\Phi^{-1}\left(\frac{\text{rate}}{2 \cdot \text{comparisons}}\right)

    Example:
        >>> round(threshold(1, 0.05), 2), round(threshold(), 2)
        (1.96, 5.85)
    """
    return -NormalDist().inv_cdf(rate / (2 * comparisons))


@dataclasses.dataclass(frozen=True)
class ZTest:
    """Outcome of a comparison of estimates with an exact value.

    Attributes:
        z: the error of each component in standard errors.
        threshold: the |z| that a suite at the declared false-alarm rate tolerates.
    """

    z: Tensor
    threshold: float

    @property
    def passed(self) -> bool:
        """Whether every component is within the threshold; a NaN is not."""
        return bool((self.z.abs() <= self.threshold).all())

    def __str__(self) -> str:
        worst = self.z.abs().max().item() if self.z.numel() else 0.0
        return f"worst |z| = {worst:.2f}, threshold {self.threshold:.2f}"


def z_test(estimates: Tensor, exact: Tensor | float, *, comparisons: int = COMPARISONS) -> ZTest:
    r"""Compare the mean of independent estimates with an exact value, component by component, two-sided.

    .. math:: z = \frac{\bar g - g}{s / \sqrt n}

    A component without any spread must be right to rounding: there, z is zero or infinite.

    Args:
        estimates: shape `(n, ...)`: n independent estimates.
        exact: what they estimate, of shape `(...)` or broadcasting to it.
        comparisons: how many comparisons share the suite's false-alarm rate.

    Errors:
        `InvalidArgument` for fewer than 100 estimates, too few to call their mean normal.

    Example:
        >>> import torch
        >>> g = torch.Generator().manual_seed(0)
        >>> fair = torch.randn(10_000, generator=g)
        >>> z_test(fair, 0.0).passed, z_test(fair + 0.1, 0.0).passed
        (True, False)
    """
    n = estimates.shape[0] if estimates.dim() else 0
    if n < 100:
        raise InvalidArgument(
            "a z-test needs at least 100 independent estimates along the first dimension",
            received=f"estimates of shape {tuple(estimates.shape)}",
            instead="torch.stack([gradient() for _ in range(1000)])",
        )
    estimates = estimates.detach().double()
    exact = torch.as_tensor(exact, dtype=torch.float64).detach()
    error = estimates.mean(0) - exact
    spread = estimates.std(0) / math.sqrt(n)
    rounding = 1e-12 * exact.abs().clamp(min=1.0)
    z = torch.where(
        spread > rounding, error / spread.clamp(min=1e-300), torch.where(error.abs() <= 10 * rounding, 0.0, math.inf)
    )
    return ZTest(z, threshold(comparisons))
