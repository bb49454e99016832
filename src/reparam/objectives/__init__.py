"""Objectives of variational inference."""

from reparam.objectives.elbo import elbo
from reparam.objectives.iwae import iwae

__all__ = ["elbo", "iwae"]
