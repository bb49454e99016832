"""The kinds of policy that SAC trains: a row of `POLICIES` each, chosen by one option.

A row says how many numbers the network emits, how they become the law of an action in [-1, 1]^n, and which action is
played when it counts. Nothing else in the recipe knows the family: `rp.rsample_with_log_prob` draws an action of any of
these laws with its log-density, and carries the gradient of both.

References:
    Haarnoja, Zhou, Abbeel, Levine (2018), Soft Actor-Critic, ICML (tanh-normal).
    Chou, Maturana, Scherer (2017), Improving Stochastic Policy Gradients in Continuous Control with Deep Reinforcement
        Learning using the Beta Distribution, ICML (concentrations above 1, so that there is one mode).
    Graves (2016), Stochastic Backpropagation through Mixture Density Distributions, arXiv 1607.05690.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    SigmoidTransform,
    TanhTransform,
    TransformedDistribution,
)
from torch.nn.functional import softplus

from reparam.distributions import LogitBeta, TanhNormal

PolicyName: TypeAlias = Literal["tanh-normal", "beta", "mixture"]

COMPONENTS = 4


class Policy(NamedTuple):
    """A kind of policy: what the network emits, and how that becomes a law of actions in [-1, 1]^n."""

    outputs: Callable[[int], int]
    """How many numbers the network emits, from the dimensions of an action."""
    law: Callable[[Tensor], Distribution]
    """From the output, shape (batch, outputs), to the law of the action."""
    best: Callable[[Tensor], Tensor]
    """From the same to the action that is played when it counts."""


# The laws are not validated: their parameters are in range by construction, and the loop stops where the losses are no
# longer finite.


def _loc_and_scale(output: Tensor) -> tuple[Tensor, Tensor]:
    """The scale is between exp(-5) and exp(2), approached smoothly: a clamp would hold an output that is beyond it."""
    loc, log_scale = output.chunk(2, dim=-1)
    return loc, (3.5 * log_scale.tanh() - 1.5).exp()


def tanh_normal(output: Tensor) -> Distribution:
    """A normal, squashed by tanh, in each dimension."""
    return Independent(TanhNormal(*_loc_and_scale(output), validate_args=False), 1, validate_args=False)


def tanh_normal_best(output: Tensor) -> Tensor:
    """Its median."""
    return _loc_and_scale(output)[0].tanh()


def beta(output: Tensor) -> Distribution:
    """A Beta with one mode, stretched to [-1, 1], in each dimension; drawn as its logit, which rounds to no bound."""
    logit = LogitBeta(*_concentrations(output), validate_args=False)
    stretched = TransformedDistribution(logit, [SigmoidTransform(), AffineTransform(-1.0, 2.0)], validate_args=False)
    return Independent(stretched, 1, validate_args=False)


def _concentrations(output: Tensor) -> tuple[Tensor, ...]:
    return (1 + softplus(output)).chunk(2, dim=-1)


def beta_best(output: Tensor) -> Tensor:
    """Its mean."""
    towards_one, towards_zero = _concentrations(output)
    return (towards_one - towards_zero) / (towards_one + towards_zero)


def mixture(output: Tensor) -> Distribution:
    """A weighted mixture of normals over all dimensions, squashed by tanh: several ways to act in one state."""
    parts = output.unflatten(-1, (COMPONENTS, -1))
    weights = Categorical(logits=parts[..., 0], validate_args=False)
    normals = Independent(Normal(*_loc_and_scale(parts[..., 1:]), validate_args=False), 1, validate_args=False)
    modes = MixtureSameFamily(weights, normals, validate_args=False)
    return TransformedDistribution(modes, TanhTransform(), validate_args=False)


def mixture_best(output: Tensor) -> Tensor:
    """The middle of its likeliest component."""
    parts = output.unflatten(-1, (COMPONENTS, -1))
    likeliest = parts[..., 0].argmax(-1)[..., None, None].expand(*parts.shape[:-2], 1, parts.shape[-1])
    return _loc_and_scale(parts.gather(-2, likeliest).squeeze(-2)[..., 1:])[0].tanh()


POLICIES: dict[PolicyName, Policy] = {
    "tanh-normal": Policy(lambda n: 2 * n, tanh_normal, tanh_normal_best),
    "beta": Policy(lambda n: 2 * n, beta, beta_best),
    "mixture": Policy(lambda n: COMPONENTS * (1 + 2 * n), mixture, mixture_best),
}
