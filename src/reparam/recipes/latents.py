"""The kinds of latent that the recipes train with: a row of `LATENTS` each, chosen by one option.

A row says how many numbers the encoder emits, how they become a posterior q(z | x), and which prior p(z) that is held
against. Nothing else in a recipe knows the family: `rp.rsample` carries the gradient through any of these samples.

Positive parameters pass through `positive`, not through an exponential or a clamp. An exponential of a network's output
can overflow in one bad step; a clamp has gradient zero beyond its edge, so that an output once there never returns. A
softplus above a small floor does neither. Only the variance of a normal is the exponential that its paper uses: there
the prior pulls back from a large one in proportion to its size.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes, ICLR (normal).
    Davidson, Falorsi, De Cao, Kipf, Tomczak (2018), Hyperspherical Variational Auto-Encoders, UAI.
    De Cao, Aziz (2020), The Power Spherical Distribution, INNF+.
    Figurnov, Mohamed, Mnih (2018), Implicit Reparameterization Gradients, NeurIPS (gamma, beta, mixtures).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Beta, Categorical, Distribution, Gamma, Independent, MixtureSameFamily, Normal

from reparam.distributions import HypersphericalUniform, PowerSpherical, VonMisesFisher

FamilyName: TypeAlias = Literal["normal", "von-mises-fisher", "power-spherical", "gamma", "beta", "mixture"]

FLOOR = 0.05
COMPONENTS = 4


class LatentFamily(NamedTuple):
    """A kind of latent: what the encoder emits, how that becomes a posterior, and the prior it is held against."""

    outputs: Callable[[int], int]
    """How many numbers the encoder emits, from the dimensions of the latent."""
    posterior: Callable[[Tensor], Distribution]
    """From the encoder's output, shape (batch, outputs), to q(z | x)."""
    prior: Callable[[Tensor], Distribution]
    """From a tensor of zeros, shape (latent,), whose dtype and device it takes, to p(z)."""
    least: int = 1
    """The fewest dimensions it lives in."""


def positive(output: Tensor) -> Tensor:
    """A softplus with a floor: above `FLOOR`, 1 where the output is 0, and linear for large outputs.

    Example:
        >>> positive(torch.tensor([-100.0, 0.0, 10.0]))
        tensor([ 0.0500,  1.0000, 13.7557])
    """
    return FLOOR + (1 - FLOOR) / math.log(2) * nn.functional.softplus(output)


# The posteriors are not validated: their parameters are in range by construction, and the loop stops where the bound is
# no longer finite.


def normal_posterior(output: Tensor) -> Distribution:
    """A normal with a location and a variance of its own in each dimension, of which the output is the logarithm.

    With the logarithm of the scale, twice the step in the same weights, a VAE learns more slowly.
    """
    loc, log_variance = output.chunk(2, dim=-1)
    return Independent(Normal(loc, (log_variance / 2).exp(), validate_args=False), 1, validate_args=False)


def normal_prior(zeros: Tensor) -> Distribution:
    """The standard normal."""
    return Independent(Normal(zeros, torch.ones_like(zeros)), 1)


def mixture_posterior(output: Tensor) -> Distribution:
    """A mixture of `COMPONENTS` normals, each with a weight, and with a location and a scale in each dimension."""
    components = output.unflatten(-1, (COMPONENTS, -1))
    weights = Categorical(logits=components[..., 0], validate_args=False)
    return MixtureSameFamily(weights, normal_posterior(components[..., 1:]), validate_args=False)


def _direction_and_concentration(output: Tensor) -> tuple[Tensor, Tensor]:
    """The concentration in units of the dimension: of that size it begins to gather the mass in one hemisphere."""
    direction, concentration = output[..., :-1], output[..., -1]
    unit = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    return unit, direction.shape[-1] * positive(concentration)


def von_mises_fisher_posterior(output: Tensor) -> Distribution:
    """A direction on the sphere and one concentration about it."""
    return VonMisesFisher(*_direction_and_concentration(output), validate_args=False)


def power_spherical_posterior(output: Tensor) -> Distribution:
    """A direction on the sphere and one concentration about it."""
    return PowerSpherical(*_direction_and_concentration(output), validate_args=False)


def spherical_prior(zeros: Tensor) -> Distribution:
    """The uniform law on the sphere."""
    return HypersphericalUniform(len(zeros), dtype=zeros.dtype, device=zeros.device)


def gamma_posterior(output: Tensor) -> Distribution:
    """A Gamma with a concentration and a rate of its own in each dimension."""
    concentration, rate = positive(output).chunk(2, dim=-1)
    return Independent(Gamma(concentration, rate, validate_args=False), 1, validate_args=False)


def gamma_prior(zeros: Tensor) -> Distribution:
    """Gamma(1, 1), the standard exponential: most of its mass is near zero, so few dimensions are large at once."""
    ones = torch.ones_like(zeros)
    return Independent(Gamma(ones, ones), 1)


def beta_posterior(output: Tensor) -> Distribution:
    """A Beta with two concentrations of its own in each dimension."""
    concentration1, concentration0 = positive(output).chunk(2, dim=-1)
    return Independent(Beta(concentration1, concentration0, validate_args=False), 1, validate_args=False)


def beta_prior(zeros: Tensor) -> Distribution:
    """Beta(1, 1), uniform on the unit interval."""
    ones = torch.ones_like(zeros)
    return Independent(Beta(ones, ones), 1)


def _two_each(latent: int) -> int:
    return 2 * latent


def _direction_and_one(latent: int) -> int:
    return latent + 1


def _weighted_components(latent: int) -> int:
    return COMPONENTS * (1 + 2 * latent)


LATENTS: dict[FamilyName, LatentFamily] = {
    "normal": LatentFamily(_two_each, normal_posterior, normal_prior),
    "von-mises-fisher": LatentFamily(_direction_and_one, von_mises_fisher_posterior, spherical_prior, least=2),
    "power-spherical": LatentFamily(_direction_and_one, power_spherical_posterior, spherical_prior, least=2),
    "gamma": LatentFamily(_two_each, gamma_posterior, gamma_prior),
    "beta": LatentFamily(_two_each, beta_posterior, beta_prior),
    "mixture": LatentFamily(_weighted_components, mixture_posterior, normal_prior),
}
