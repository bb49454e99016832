"""The registry is open, exact, and says why where there is no rule."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp


def test_a_user_s_rule_is_on_equal_terms():
    class Logistic(td.Distribution):
        arg_constraints = {"loc": td.constraints.real, "scale": td.constraints.positive}  # noqa: RUF012
        support = td.constraints.real

        def __init__(self, loc, scale, validate_args=None):
            self.loc, self.scale = td.utils.broadcast_all(loc, scale)
            super().__init__(self.loc.shape, validate_args=validate_args)

    @rp.register(Logistic, reference="quantile transform")
    def logistic(dist, noise):
        u = noise.uniform()
        return dist.loc + dist.scale * (u.log() - torch.log1p(-u))

    at = {"loc": torch.tensor([0.5], dtype=torch.float64), "scale": torch.tensor([2.0], dtype=torch.float64)}
    moment = (lambda x: x**2, lambda loc, scale: loc**2 + scale**2 * torch.pi**2 / 3)
    rp.testing.check_rule(Logistic, at, moments={"square": moment})
    row = next(row for row in rp.coverage() if row.distribution is Logistic)
    assert (row.kind, row.parameters, row.reference) == ("explicit", ("loc", "scale"), "quantile transform")
    assert isinstance(rp.estimator_for(Logistic(0.0, 1.0)), rp.Pathwise)


def test_coverage_lists_each_class_once_with_its_parameters():
    rows = {row.distribution: row for row in rp.coverage()}
    assert len(rows) == len(rp.coverage())
    assert rows[td.Normal].parameters == ("loc", "scale")
    assert rows[td.MultivariateNormal].parameters == ("loc", "covariance_matrix", "precision_matrix", "scale_tril")
    assert rows[td.Poisson].kind == "none"
    assert "biased" in rows[td.OneHotCategoricalStraightThrough].reference


def test_register_wants_a_class():
    with pytest.raises(rp.InvalidArgument, match="only a subclass"):
        rp.register(td.Normal(0.0, 1.0))


class Halved:
    """A surrogate for the test of `via`: the mean, with half its gradient."""

    def rsample(self, dist, sample_shape, noise):
        return dist.mean.expand(sample_shape + dist.batch_shape) / 2


def test_via_takes_a_surrogate_and_nothing_else():
    rate = torch.tensor(3.0, requires_grad=True)
    x = rp.rsample(td.Poisson(rate), (2,), via=Halved())
    assert torch.autograd.grad(x.sum(), rate)[0].item() == 1.0
    with pytest.raises(rp.InvalidArgument, match="via must be a surrogate"):
        rp.rsample(td.Poisson(rate), via="reinmax")


def test_import_changes_nothing_in_torch():
    assert not hasattr(td.Poisson(3.0), "reparam")
    assert not td.Poisson.has_rsample
    assert not td.VonMises.has_rsample
