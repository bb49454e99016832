"""Detached samples: the door to `reparam.pathwise.sampling`, where a distribution that wraps another needs them too."""

from reparam.pathwise.sampling import sample

__all__ = ["sample"]
