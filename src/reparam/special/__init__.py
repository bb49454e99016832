"""Differentiable special functions and the pathwise derivatives built on them."""

from reparam.special.gamma import (
    gamma_dlogx_dconcentration,
    gamma_dx_dconcentration,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    log_gammaincinv,
)

__all__ = [
    "gamma_dlogx_dconcentration",
    "gamma_dx_dconcentration",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "log_gammaincinv",
]
