"""Differentiable special functions and the pathwise derivatives built on them."""
