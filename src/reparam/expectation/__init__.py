"""Expectations of one random variable or of a program of them."""

from reparam.expectation.choice import estimator_for
from reparam.expectation.expect import expect
from reparam.expectation.program import Sampler

__all__ = ["Sampler", "estimator_for", "expect"]
