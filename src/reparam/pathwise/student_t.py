"""Student's t law."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import StudentT

from reparam.kernels.implicit import Drawn, attach
from reparam.noise import BoundNoise
from reparam.pathwise._log_gamma import draw_log_gamma, moderate_gamma
from reparam.pathwise._precision import rounded_once
from reparam.pathwise._range import exp_in_range
from reparam.pathwise.registry import register
from reparam.special.student_t import student_t_dx_ddf

# A tensor of the dtype: torch takes longer to convert a Python number than to divide sixty-four others.
_HALF = {dtype: torch.tensor(0.5, dtype=dtype) for dtype in (torch.float32, torch.float64)}
_LARGEST = 600.0  # as the logarithm of a float64 with room for its derivative


@register(StudentT, kind="implicit", reference="implicit; Figurnov, Mohamed and Mnih, NeurIPS 2018")
@rounded_once
def student_t(dist: StudentT, noise: BoundNoise) -> Tensor:
    """`loc + scale z sqrt(k / g)`, g a Gamma of concentration k = df / 2; small df move its logarithm.

    At df = 0.01 half the float32 samples are beyond the largest float; they are that float, with derivative 0.
    """
    z = noise.normal()
    standard = moderate_gamma(noise, dist.df, floor=1.0)
    if standard is not None:
        halved = _HALF[dist.df.dtype]
        t = _drawn_t(lambda df: (k := df * halved).div(standard(k)).sqrt_().mul_(z), dist.df)
        return torch.addcmul(dist.loc, dist.scale, t)
    k = dist.df.detach() / 2
    # A normal is exactly 0 once in twenty million float32 draws; its sign keeps the sample at the centre.
    log_size = z.abs().clamp(min=torch.finfo(z.dtype).tiny).log() + (k.log() - draw_log_gamma(k, noise)) / 2
    log_size = attach(_slope, log_size, dist.df) + dist.scale.log()
    return dist.loc + z.sign() * exp_in_range(log_size)


def _slope_of_t(t: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    return (student_t_dx_ddf(parameters[0], t),)


_drawn_t = Drawn(_slope_of_t)


def _slope(log_t: Tensor, parameters: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor]:
    df, exact = parameters[0].double(), log_t.double()
    inside = exact.clamp(-_LARGEST, _LARGEST)
    t = torch.exp(inside)
    # Where t overflows the tail is a power of t, and log t moves in proportion to itself.
    power_law = (exact - inside).clamp(min=0) / df
    return ((student_t_dx_ddf(df, t) / t - power_law).to(log_t.dtype),)
