"""What a second derivative of a sample is made of, against 90-digit differences (`tools/second_derivatives.py`)."""

from __future__ import annotations

import json
import pathlib

import pytest
import torch
from torch import Tensor

from reparam.special import (
    beta_dx_dconcentration0,
    beta_dx_dconcentration1,
    gamma_dlogx_dconcentration,
    gamma_dx_dconcentration,
    student_t_dx_ddf,
    von_mises_dx_dconcentration,
)

ROWS = json.loads((pathlib.Path(__file__).parent / "second_derivatives.json").read_text())
# As the docstrings say.
LIMITS = {
    "gamma": (gamma_dx_dconcentration, 1e-11),
    "beta": (beta_dx_dconcentration1, 2e-12),
    "student_t": (student_t_dx_ddf, 1e-13),
    "von_mises": (von_mises_dx_dconcentration, 1e-13),
}


def columns(name: str) -> tuple[list[Tensor], Tensor, Tensor]:
    """The arguments, and the slopes of the pathwise derivative in the parameter and in the variate."""
    rows = [row for row in ROWS if row[0] == name]
    arguments = [
        torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in zip(*(r[1] for r in rows), strict=True)
    ]
    in_parameter, in_variate = torch.tensor([row[2:] for row in rows], dtype=torch.float64).unbind(-1)
    return arguments, in_parameter, in_variate


@pytest.mark.parametrize("name", LIMITS)
def test_slopes_of_the_pathwise_derivative(name: str):
    function, limit = LIMITS[name]
    arguments, *wanted = columns(name)
    slopes = torch.autograd.grad(function(*arguments).sum(), (arguments[0], arguments[-1]))
    torch.testing.assert_close(list(slopes), wanted, rtol=limit, atol=0)


def test_the_logarithms_slope_is_the_same_over_x():
    (a, x), wanted, _ = columns("gamma")
    (slope,) = torch.autograd.grad(gamma_dlogx_dconcentration(a, x.detach().log()).sum(), a)
    near = a.detach() < 1e5  # beyond, the rounding of log x alone moves the slope by more
    torch.testing.assert_close(slope[near], (wanted / x.detach())[near], rtol=1e-11, atol=0)


def test_the_other_concentration_is_the_mirror_image():
    (a, b, x), wanted, _ = columns("beta")
    exact = x.detach() > 0.5  # where 1 - x is a float
    (slope,) = torch.autograd.grad(beta_dx_dconcentration0(b, a, 1 - x.detach()).sum(), a)
    torch.testing.assert_close(slope[exact], -wanted[exact], rtol=2e-12, atol=0)
