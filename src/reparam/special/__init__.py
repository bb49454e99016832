"""Differentiable special functions and the pathwise derivatives built on them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam.special.bessel import (
        bessel_ratio,
        bessel_ratio_complement,
        log_ive,
    )
    from reparam.special.beta import (
        beta_dlogit_dconcentration0,
        beta_dlogit_dconcentration1,
        beta_dx_dconcentration0,
        beta_dx_dconcentration1,
        betainc,
        betaincc,
    )
    from reparam.special.gamma import (
        gamma_dlogx_dconcentration,
        gamma_dx_dconcentration,
        gammainc,
        gammaincc,
        gammainccinv,
        gammaincinv,
        log_gammaincinv,
    )
    from reparam.special.normal import (
        log_diff_ndtr,
        log_ndtr,
        ndtri,
        ndtri_exp,
        truncated_ndtri,
    )
    from reparam.special.spherical import (
        von_mises_fisher_dangle_dconcentration,
        von_mises_fisher_dw_dconcentration,
        von_mises_fisher_log_normalizer,
    )
    from reparam.special.student_t import (
        stdtr,
        student_t_dx_ddf,
    )
    from reparam.special.von_mises import (
        von_mises_cdf,
        von_mises_dx_dconcentration,
    )

__all__ = [
    "bessel_ratio",
    "bessel_ratio_complement",
    "beta_dlogit_dconcentration0",
    "beta_dlogit_dconcentration1",
    "beta_dx_dconcentration0",
    "beta_dx_dconcentration1",
    "betainc",
    "betaincc",
    "gamma_dlogx_dconcentration",
    "gamma_dx_dconcentration",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "log_diff_ndtr",
    "log_gammaincinv",
    "log_ive",
    "log_ndtr",
    "ndtri",
    "ndtri_exp",
    "stdtr",
    "student_t_dx_ddf",
    "truncated_ndtri",
    "von_mises_cdf",
    "von_mises_dx_dconcentration",
    "von_mises_fisher_dangle_dconcentration",
    "von_mises_fisher_dw_dconcentration",
    "von_mises_fisher_log_normalizer",
]

# Loaded at the first mention of a name: the rules need half of these rooms, and name the module they need.
_HOME = {
    "bessel_ratio": "bessel",
    "bessel_ratio_complement": "bessel",
    "beta_dlogit_dconcentration0": "beta",
    "beta_dlogit_dconcentration1": "beta",
    "beta_dx_dconcentration0": "beta",
    "beta_dx_dconcentration1": "beta",
    "betainc": "beta",
    "betaincc": "beta",
    "gamma_dlogx_dconcentration": "gamma",
    "gamma_dx_dconcentration": "gamma",
    "gammainc": "gamma",
    "gammaincc": "gamma",
    "gammainccinv": "gamma",
    "gammaincinv": "gamma",
    "log_diff_ndtr": "normal",
    "log_gammaincinv": "gamma",
    "log_ive": "bessel",
    "log_ndtr": "normal",
    "ndtri": "normal",
    "ndtri_exp": "normal",
    "stdtr": "student_t",
    "student_t_dx_ddf": "student_t",
    "truncated_ndtri": "normal",
    "von_mises_cdf": "von_mises",
    "von_mises_dx_dconcentration": "von_mises",
    "von_mises_fisher_dangle_dconcentration": "spherical",
    "von_mises_fisher_dw_dconcentration": "spherical",
    "von_mises_fisher_log_normalizer": "spherical",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"reparam.special.{_HOME[name]}"), name)
    raise AttributeError(f"module 'reparam.special' has no attribute {name!r}")
