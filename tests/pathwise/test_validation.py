"""Bad input raises before any work; torch's process-wide switch does not turn that off."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp

NAN = float("nan")


@pytest.fixture
def torch_validation_off():
    """What making any compiled function does to the whole process."""
    td.Distribution.set_default_validate_args(False)


@pytest.mark.usefixtures("torch_validation_off")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: td.Normal(0.0, -1.0), "Normal: scale must satisfy"),
        (lambda: td.Normal(NAN, 1.0), "Normal: loc must satisfy"),
        (lambda: td.Uniform(1.0, 0.0), "Uniform: low must satisfy"),
        (lambda: td.Uniform(NAN, 0.0), "Uniform: low must satisfy"),
        (lambda: td.Exponential(torch.tensor([1.0, 0.0])), "Exponential: rate"),
        (lambda: td.LogNormal(0.0, -1.0), "Normal: scale must satisfy"),
        (lambda: td.Independent(td.Laplace(torch.zeros(3), -1.0), 1), "Laplace: scale must satisfy"),
        (lambda: td.MultivariateNormal(torch.zeros(2), scale_tril=-torch.eye(2)), "scale_tril must satisfy"),
    ],
)
def test_our_check_stands_when_torch_s_is_off(make, message: str):
    with pytest.raises(rp.InvalidArgument, match=message) as error:
        rp.rsample(make())
    assert error.value.instead


@pytest.mark.usefixtures("torch_validation_off")
def test_expect_checks_too():
    with pytest.raises(rp.InvalidArgument, match="rate must satisfy"):
        rp.expect(lambda x: x, td.Poisson(-1.0))


def test_validation_is_off_for_one_object_by_name():
    assert rp.rsample(td.Normal(0.0, -1.0, validate_args=False), noise=torch.tensor(1.0)).item() == -1.0


@pytest.mark.parametrize(
    ("dist", "message"),
    [
        (td.Normal(torch.zeros(2), torch.ones(2, dtype=torch.float64), validate_args=False), "share one dtype"),
        (td.Normal(torch.tensor(0), torch.tensor(1), validate_args=False), "must be floating point"),
        (td.Gamma(*2 * [torch.ones(2).to_sparse()], validate_args=False), "strided"),
        (td.Chi2(torch.ones(2) + 0j, validate_args=False), "complex64"),
        (td.Exponential(torch.ones(2).to(torch.float8_e4m3fn), validate_args=False), "float8"),
    ],
)
def test_wrong_dtype_always_raises(dist, message: str):
    with pytest.raises(rp.InvalidArgument, match=message):
        rp.rsample(dist)


@pytest.mark.parametrize("shape", [3, (2.5,), (-1,), "ab", None])
def test_bad_sample_shape(shape):
    with pytest.raises(rp.InvalidArgument, match="sample_shape must be a tuple"):
        rp.rsample(td.Normal(0.0, 1.0), shape)


def test_not_a_distribution():
    with pytest.raises(rp.InvalidArgument, match=r"must be a torch\.distributions"):
        rp.rsample(torch.zeros(3))


@pytest.mark.parametrize("cls", [td.RelaxedBernoulli, td.RelaxedOneHotCategorical])
def test_a_temperature_larger_than_the_batch(cls: type):
    """torch lets the sample take the temperature's shape, with noise of the logits' shape shared along it."""
    with pytest.raises(rp.InvalidArgument, match="temperature must broadcast to the batch shape"):
        rp.rsample(cls(torch.ones(4, 3), logits=torch.zeros(3)))


@pytest.mark.parametrize("name", ["loc", "scale"])
def test_a_transform_that_is_not_a_number(name: str):
    values = {"loc": torch.tensor(0.0), "scale": torch.tensor(2.0), name: torch.tensor(NAN)}
    dist = td.TransformedDistribution(td.Normal(0.0, 1.0), [td.AffineTransform(**values)])
    with pytest.raises(rp.InvalidArgument, match=rf"(?s){name} of its AffineTransform.*received: .*nan.*instead: "):
        rp.rsample(dist)
