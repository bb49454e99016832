"""Run by `test_triton.py` with TRITON_INTERPRET=1: the Gamma derivative's twin on a CPU against the CPU's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reparam.kernels import triton_gamma
from reparam.special import gamma_dlogx_dconcentration, gamma_dx_dconcentration, log_gammaincinv

F64 = torch.float64
INF, NAN = float("inf"), float("nan")


def grid() -> tuple[Tensor, Tensor]:
    """Concentrations and log x over the whole box, to both 1e-12 tails and as far again beyond them."""
    a = torch.logspace(-4, 6, 21, dtype=F64)[:, None]
    log_p = torch.special.log_ndtr(torch.linspace(-10, 10, 19, dtype=F64))
    log_x = log_gammaincinv(a, log_p)
    return a.expand_as(log_x).flatten(), log_x.flatten()


def ends(dtype: torch.dtype, in_log: bool) -> tuple[Tensor, Tensor]:
    limits = torch.finfo(dtype)
    a = torch.tensor([1e-30, 0.3, 7.0, 1e5, limits.max / 4, 0.0, -1.0, INF, NAN], dtype=dtype)
    u = [-INF, -1e5, 0.0, 1e4, INF, NAN] if in_log else [0.0, limits.smallest_normal / 8, 1.0, limits.max, INF, NAN, -1]
    first, second = torch.cartesian_prod(a, torch.tensor(u, dtype=dtype)).unbind(-1)
    return first, second


def check(a: Tensor, u: Tensor, in_log: bool, rtol: float) -> None:
    out = torch.empty_like(u)
    triton_gamma.fill("gamma_dlogx_da" if in_log else "gamma_dx_da", out, a, u)
    value = (gamma_dlogx_dconcentration if in_log else gamma_dx_dconcentration)(a, u)
    torch.testing.assert_close(out, value, rtol=rtol, atol=0, equal_nan=True)


if __name__ == "__main__":
    np.seterr(all="ignore")  # the formulas of regions that an element is not in
    for dtype, rtol in ((torch.float32, 4e-6), (F64, 2e-13)):
        for in_log in (False, True):
            a, log_x = grid()
            u = log_x if in_log else log_x.clamp(min=-690 if dtype == F64 else -87).exp()
            last_a, last_u = ends(dtype, in_log)
            check(torch.cat((a.to(dtype), last_a)), torch.cat((u.to(dtype), last_u)), in_log, rtol)
    # A row of concentrations that repeats.
    check(torch.tensor([0.2, 3.0]).expand(5, 2), torch.rand(5, 2) + 0.7, False, 4e-6)
    print("agree")
