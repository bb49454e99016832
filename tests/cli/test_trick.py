"""`reparam trick`: five exact lines, and the story."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

import reparam as rp
from reparam.cli import main
from reparam.cli.story import REPLICATES, measure
from reparam.cli.trick import Options, reparameterized

SEED_47 = """\
Sample from N(0, 1): -1.4624308347702026
Sampled z: -5.312154293060303
Loss: -5.312154293060303
Gradient wrt mu: 1.0
Gradient wrt sigma: -1.4624308347702026
"""


def test_the_five_lines(capsys):
    assert main(["trick", "--seed", "47", "--loc", "2", "--scale", "5"]) == 0
    assert capsys.readouterr().out == SEED_47


@pytest.mark.parametrize(("seed", "loc", "scale"), [(0, 0.0, 1.0), (1, -3.25, 0.1), (2**40, 1e6, 1e-6)])
def test_other_runs_are_what_torch_computes(capsys, seed, loc, scale):
    assert main(["trick", "--seed", str(seed), "--loc", str(loc), "--scale", str(scale)]) == 0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mu, sigma = torch.tensor(loc, requires_grad=True), torch.tensor(scale, requires_grad=True)
        epsilon = torch.randn_like(mu)
    z = mu + sigma * epsilon
    z.backward()
    assert mu.grad is not None
    assert sigma.grad is not None
    numbers = [float(line.rpartition(": ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert numbers == [epsilon.item(), z.item(), z.item(), mu.grad.item(), sigma.grad.item()]


def test_noise_in_hand(capsys):
    assert main(["trick", "--loc", "2", "--scale", "3", "--noise", "-1.5"]) == 0
    assert "Sampled z: -2.5\n" in capsys.readouterr().out


def test_torchs_generator_is_left_alone():
    before = torch.get_rng_state()
    assert main(["trick"]) == 0
    assert torch.equal(before, torch.get_rng_state())


def test_the_numbers_come_through_rsample(capsys, monkeypatch):
    """Break rsample, and the printed gradient breaks: nothing is remembered."""
    original = rp.rsample
    monkeypatch.setattr(rp, "rsample", lambda dist, noise: original(Normal(dist.loc, 2 * dist.scale), noise=noise))
    assert main(["trick"]) == 0
    assert "Gradient wrt sigma: -2.924861669540405" in capsys.readouterr().out


def test_explain_tells_the_run(capsys):
    assert main(["trick", "--explain"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(SEED_47)
    for words in (
        "z = mu + sigma * eps = 2 + 5 * (-1.46243) = -5.31215",
        "dL/dsigma = dL/dz * dz/dsigma = 1 * eps",
        "z.requires_grad is False",
        "RuntimeError: element 0 of tensors does not require grad",
        "E[z] = mu",
        "Pathwise",
        "LeaveOneOut",
        "ScoreFunction",
    ):
        assert words in told


@pytest.mark.parametrize("estimator", [rp.Pathwise(8), rp.LeaveOneOut(8), rp.ScoreFunction(8)], ids=str)
def test_measured_gradients_are_the_exact_ones(estimator):
    to_loc, to_scale = measure(estimator, reparameterized(Options()), seed=1)
    # Five standard errors: a false alarm once in three million runs, and the seed is fixed.
    assert abs(to_loc.mean - 1) <= 5 * to_loc.error + 1e-12
    assert abs(to_scale.mean) <= 5 * to_scale.error
    assert to_scale.error == pytest.approx(math.sqrt(to_scale.variance / REPLICATES))


@pytest.mark.parametrize(
    ("words", "received"),
    [
        (["--scale", "-5"], "scale = -5.0"),
        (["--scale", "0"], "scale = 0.0"),
        (["--scale", "nan"], "scale = nan"),
        (["--scale", "inf"], "scale = inf"),
        (["--scale", "1e-46"], "scale = 1e-46"),
        (["--loc", "nan"], "loc = nan"),
        (["--loc=-inf"], "loc = -inf"),
        (["--loc", "1e39"], "1e+39"),
        (["--noise", "nan"], "noise = nan"),
        (["--noise", "1e38", "--scale", "100"], "1e+38"),
        (["--seed", "-1"], "seed = -1"),
        (["--seed", str(2**64)], "seed = 18446744073709551616"),
    ],
    ids=str,
)
def test_bad_input_in_three_parts(capsys, words, received):
    assert main(["trick", *words]) == 2
    out, err = capsys.readouterr()
    what, second, third = err.splitlines()
    assert out == ""
    assert what.startswith("error: ")
    assert second.startswith("  received: ")
    assert received in second
    assert third.startswith("  instead:  ")
