from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import distributions as td

from reparam.errors import InvalidArgument, NoPathwiseGradient
from reparam.pathwise.joint import rsample_with_log_prob

with warnings.catch_warnings():  # torch imports this at the first jvp, and it warns about torch.jit
    warnings.simplefilter("ignore")
    import torch._decomp.decompositions_for_jvp


def normal(*shape: int) -> td.Normal:
    loc = torch.linspace(-1, 1, math.prod(shape), dtype=torch.float64).view(shape)
    return td.Normal(loc, torch.full_like(loc, 0.7))


DISTRIBUTIONS = {
    "normal": normal(3),
    "gamma": td.Gamma(torch.tensor([0.5, 3.0]), 2.0),
    "log-normal": td.LogNormal(torch.tensor([0.5, 3.0]), 0.3),
    "independent": td.Independent(normal(2, 3), 1),
    "weibull, whose rule skips its transforms": td.Weibull(torch.tensor([0.5, 3.0]), 2.0),
    "tanh": td.TransformedDistribution(normal(3), [td.TanhTransform(), td.AffineTransform(1.0, -2.0)]),
    "sigmoid of independent": td.TransformedDistribution(td.Independent(normal(2, 3), 1), td.SigmoidTransform()),
    "independent of sigmoid": td.Independent(td.TransformedDistribution(normal(2, 3), td.SigmoidTransform()), 2),
    "coupled": td.TransformedDistribution(normal(2, 3), td.StickBreakingTransform()),
    "coupled, then not": td.TransformedDistribution(
        normal(2, 3), [td.StickBreakingTransform(), td.AffineTransform(0.0, 3.0)]
    ),
    "nested": td.TransformedDistribution(td.TransformedDistribution(normal(3), td.TanhTransform()), td.ExpTransform()),
    "composed": td.TransformedDistribution(normal(3), td.ComposeTransform([td.TanhTransform(), td.ExpTransform()])),
    "reshaped": td.TransformedDistribution(normal(2, 6), td.ReshapeTransform((6,), (2, 3))),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_agrees_with_log_prob_where_that_is_accurate(name: str) -> None:
    dist = DISTRIBUTIONS[name]
    x, log_prob = rsample_with_log_prob(dist, (4,), noise=torch.Generator().manual_seed(0))
    assert x.shape == (4, *dist.batch_shape, *dist.event_shape)
    assert log_prob.shape == (4, *dist.batch_shape)
    # A copy, for which the transforms' caches do not know the origin.
    tolerance = 1e-10 if x.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(log_prob, dist.log_prob(x.detach().clone()), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("transform", [td.TanhTransform(), td.SigmoidTransform()], ids=["tanh", "sigmoid"])
@pytest.mark.parametrize("at", [-80.0, -20.0, 20.0, 80.0])
def test_saturation_gives_neither_infinity_nor_nan(transform: td.Transform, at: float) -> None:
    loc = torch.tensor([at], requires_grad=True)
    policy = td.Independent(td.TransformedDistribution(td.Normal(loc, torch.ones(1)), transform), 1)
    x, log_prob = rsample_with_log_prob(policy, noise=torch.tensor([0.5]))
    z = at + 0.5
    slope = 2.0 if isinstance(transform, td.TanhTransform) else 1.0
    log_jacobian = -slope * abs(z) + (2 * math.log(2) if slope == 2.0 else 0.0)
    expected = -0.125 - 0.5 * math.log(2 * math.pi) - log_jacobian
    assert abs(x.item()) <= 1
    assert log_prob.item() == pytest.approx(expected, rel=1e-6)
    # At fixed noise only the Jacobian moves with loc.
    assert torch.autograd.grad(log_prob, loc)[0].item() == pytest.approx(math.copysign(slope, at), rel=1e-6)


def test_composes() -> None:
    def log_prob(loc: torch.Tensor) -> torch.Tensor:
        policy = td.TransformedDistribution(td.Normal(loc, 1.0, validate_args=False), td.TanhTransform())
        return rsample_with_log_prob(policy, noise=torch.tensor(0.5))[1]

    loc = torch.tensor(20.0, requires_grad=True)
    assert torch.func.grad(log_prob)(loc.detach()).item() == pytest.approx(2.0)
    forward = torch.func.jvp(log_prob, (loc.detach(),), (torch.ones(()),))[1]
    assert forward.item() == pytest.approx(2.0)
    mapped = torch.func.vmap(log_prob)(torch.tensor([-20.0, 0.0, 20.0]))
    assert mapped[0].item() == pytest.approx(log_prob(torch.tensor(-20.0)).item())
    compiled = torch.compile(log_prob, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(loc), log_prob(loc))


def test_errors_in_three_parts() -> None:
    with pytest.raises(InvalidArgument, match=r"(?s)one to one.*received: .*Abs.*instead: "):
        rsample_with_log_prob(td.TransformedDistribution(td.Normal(0.0, 1.0), td.AbsTransform()))
    with pytest.raises(NoPathwiseGradient, match=r"(?s)Poisson.*received: .*instead: "):
        rsample_with_log_prob(td.Poisson(3.0))
    with pytest.raises(InvalidArgument, match=r"(?s)must be a torch.distributions.Distribution.*instead: "):
        rsample_with_log_prob(3.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="sample_shape must be a tuple"):
        rsample_with_log_prob(td.Normal(0.0, 1.0), 3)  # pyright: ignore[reportArgumentType]
