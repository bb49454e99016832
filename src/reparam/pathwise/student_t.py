"""Student's t law."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import StudentT

from reparam.kernels.implicit import attach
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import draw_log_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.student_t import student_t_dx_ddf

_LARGEST = 600.0  # as the logarithm of a float64 with room for its derivative


@register(StudentT, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def student_t(dist: StudentT, noise: BoundNoise) -> Tensor:
    """`loc + scale z sqrt(k / g)`, g a Gamma of concentration k = df / 2; the magnitude is moved in logarithms.

    At df = 0.01 half the float32 samples are beyond the largest float; they are that float, with derivative 0.
    """
    z, k = noise.normal(), dist.df.detach() / 2
    log_size = z.abs().log() + (k.log() - draw_log_gamma(k, noise)) / 2
    log_size = attach(_slope, log_size, dist.df) + dist.scale.log()
    return dist.loc + z.sign() * exp_in_range(log_size)


def _slope(log_t: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    df, exact = parameters[0].double(), log_t.double()
    inside = exact.clamp(-_LARGEST, _LARGEST)
    t = torch.exp(inside)
    # Where t overflows the tail is a power of t, and log t moves in proportion to itself.
    power_law = (exact - inside).clamp(min=0) / df
    return ((student_t_dx_ddf(df, t) / t - power_law).to(log_t.dtype),)
