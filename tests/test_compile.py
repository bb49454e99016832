"""`torch.compile(fullgraph=True)`, on the backend that traces forward and backward but generates no code."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

import reparam as rp

PRIOR = td.Independent(td.Normal(torch.zeros(4), 1.0), 1)
L, S = torch.tensor([0.3, -1.0, 0.0, 2.0]), torch.tensor([0.5, 1.0, 2.0, 0.1])


def posterior(loc, scale):
    return td.Independent(td.Normal(loc, scale), 1)


def credited(a, b):
    def program(sample):
        z = sample(td.Normal(a, b))
        sample.cost(z**2, of=z)
        x = sample(td.Bernoulli(logits=z), rp.LeaveOneOut())
        return (x - 0.4) ** 2

    return rp.expect(program, samples=4)


PROGRAMS = {
    "rsample": lambda a, b: rp.rsample(td.Laplace(a, b), (3,)),
    "Pathwise": lambda a, b: rp.expect(lambda z: z**2, td.Normal(a, b), rp.Pathwise(3)),
    "Enumerate": lambda a, b: rp.expect(lambda x: x**2 * b, td.Bernoulli(logits=a)),
    "Enumerate product": lambda a, b: rp.expect(
        lambda x: (x * b).sum(-1) ** 2, td.Independent(td.Bernoulli(logits=a), 1)
    ),
    "LeaveOneOut": lambda a, b: rp.expect(lambda x: x**2 * b, td.Poisson(a.exp()), rp.LeaveOneOut(4)),
    "program": credited,
    "elbo": lambda a, b: rp.objectives.elbo(lambda z: z.square().sum(-1), posterior(a, b), PRIOR),
    "sticking": lambda a, b: rp.objectives.elbo(
        lambda z: z.square().sum(-1), posterior(a, b), PRIOR, stick_the_landing=True
    ),
    "iwae": lambda a, b: rp.objectives.iwae(lambda z: z.square().sum(-1), posterior(a, b), PRIOR, samples=3),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_value_and_gradient_are_those_of_eager_mode(name: str, dynamic: bool):
    results = []
    torch._dynamo.reset()
    compiled = torch.compile(PROGRAMS[name], fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for call in (PROGRAMS[name], compiled):
        leaves = [L.clone().requires_grad_(), S.clone().requires_grad_()]
        torch.manual_seed(3)
        value = call(*leaves)
        results.append([value.detach(), *torch.autograd.grad(value.sum(), leaves)])
    for eager, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, eager)


def test_dreg_cannot_be_compiled_and_says_so():
    call = torch.compile(
        lambda a, b: rp.objectives.iwae(torch.sum, posterior(a, b), PRIOR, samples=3, doubly_reparameterized=True),
        fullgraph=True,
        backend="aot_eager",
    )
    with pytest.raises(torch._dynamo.exc.Unsupported, match="cannot be compiled"):
        call(L, S)
