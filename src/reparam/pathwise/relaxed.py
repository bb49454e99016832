"""Concrete relaxations of the Bernoulli and the categorical law, and their logarithmic forms.

Base noise, for a user who passes it as a tensor: uniform in (0, 1) for the two Bernoulli forms, standard exponential
for the two categorical forms. The temperature is a parameter like the others, where it is a tensor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from reparam.checks import all_true, summary, wants_validation
from reparam.errors import InvalidArgument
from reparam.kernels.memory import within
from reparam.noise import BoundNoise
from reparam.pathwise._precision import rounded_once
from reparam.pathwise.registry import register

_MADDISON = "Maddison, Mnih and Teh, ICLR 2017; Jang, Gu and Poole, ICLR 2017"
_PARAMETERS = ("temperature", "probs", "logits")


@register(LogitRelaxedBernoulli, parameters=_PARAMETERS, reference=_MADDISON)
@rounded_once
def logit_relaxed_bernoulli(dist: LogitRelaxedBernoulli, noise: BoundNoise) -> Tensor:
    """`(logits + logit(u)) / temperature`."""
    return _logistic(dist, noise)


@register(RelaxedBernoulli, parameters=_PARAMETERS, reference=_MADDISON)
@rounded_once
def relaxed_bernoulli(dist: RelaxedBernoulli, noise: BoundNoise) -> Tensor:
    """The sigmoid of the logistic form; a sample within rounding error of 0 or 1 stays inside the open interval."""
    x = torch.sigmoid(_logistic(dist, noise))
    limits = torch.finfo(x.dtype)
    return x.clamp(limits.tiny, 1 - limits.eps / 2)


@register(ExpRelaxedCategorical, parameters=_PARAMETERS, reference=_MADDISON)
@rounded_once
def exp_relaxed_categorical(dist: ExpRelaxedCategorical, noise: BoundNoise) -> Tensor:
    """The logarithm of the simplex form."""
    return torch.log_softmax(_perturbed(dist, noise), -1)


@register(RelaxedOneHotCategorical, parameters=_PARAMETERS, reference=_MADDISON)
@rounded_once
def relaxed_one_hot_categorical(dist: RelaxedOneHotCategorical, noise: BoundNoise) -> Tensor:
    """`softmax((logits + Gumbel) / temperature)`.

    The exponential of the logarithmic form sums to 1 only within `1e-7 |log x|` in float32, which at temperature 0.1
    fails torch's own check of the simplex.
    """
    x = torch.softmax(_perturbed(dist, noise), -1)
    return x.clamp(min=torch.finfo(x.dtype).tiny)


def _logistic(dist: LogitRelaxedBernoulli | RelaxedBernoulli, noise: BoundNoise) -> Tensor:
    return _over(dist.logits + torch.logit(noise.uniform()), _temperature(dist))


def _perturbed(dist: ExpRelaxedCategorical | RelaxedOneHotCategorical, noise: BoundNoise) -> Tensor:
    temperature = _temperature(dist)
    return _over(
        dist.logits - noise.exponential().log(), temperature.unsqueeze(-1) if temperature.shape else temperature
    )


def _over(energy: Tensor, temperature: Tensor) -> Tensor:
    """`energy / temperature`, whose derivative in the temperature is finite where the temperature's square is not.

    In logarithms the derivative is the quotient itself, which a saturated sample multiplies by zero. The inverse
    temperature stops short of the largest float: at a temperature that small a sample has long stopped moving.
    """
    limits = torch.finfo(energy.dtype)
    if within(temperature, limits.tiny**0.5, limits.max):
        return energy / temperature
    return energy * torch.exp((-torch.log(temperature)).clamp(max=math.log(limits.max) - 8))


def _temperature(
    dist: LogitRelaxedBernoulli | RelaxedBernoulli | ExpRelaxedCategorical | RelaxedOneHotCategorical,
) -> Tensor:
    """The temperature, which none of torch's four classes constrains; at 0 a sample would be 0 / 0 or never move."""
    temperature = torch.as_tensor(dist.temperature)
    if temperature.shape and torch.broadcast_shapes(temperature.shape, dist.batch_shape) != dist.batch_shape:
        raise InvalidArgument(
            f"{type(dist).__name__}: temperature must broadcast to the batch shape, which is that of the logits",
            received=f"temperature of shape {tuple(temperature.shape)}, batch_shape {tuple(dist.batch_shape)}",
            instead="logits expanded to the shape of the temperature",
        )
    if wants_validation(dist) and not all_true(temperature > 0):
        raise InvalidArgument(
            f"{type(dist).__name__}: temperature must be positive",
            received=f"temperature = {summary(temperature)}",
            instead="a positive temperature, or the discrete law itself in rp.expect(f, dist)",
        )
    return temperature
