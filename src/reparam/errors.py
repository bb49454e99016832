"""Errors in three parts: what is wrong, what was received, what to write instead.

Every error the library raises on purpose is a `ReparamError`, and also the built-in exception a caller would
guess (`ValueError` for a bad argument, `NotImplementedError` for a gradient that does not exist).
"""

from __future__ import annotations


class ReparamError(Exception):
    """The root of every error that reparam raises on purpose.

    Args:
        what: what is wrong, one sentence.
        received: what was received: names, shapes, dtypes, values.
        instead: what to write instead, preferably a call that works.

    Example:
        >>> raise ReparamError("scale must be positive", received="scale = -1.0", instead="pass scale > 0")
        Traceback (most recent call last):
        ...
        reparam.errors.ReparamError: scale must be positive
          received: scale = -1.0
          instead:  pass scale > 0
    """

    def __init__(self, what: str, *, received: str, instead: str) -> None:
        # `super().__init__` is not called: the compiler cannot trace it, and `BaseException.__new__` has done its work.
        self.what = what
        self.received = received
        self.instead = instead

    def __str__(self) -> str:
        return f"{self.what}\n  received: {self.received}\n  instead:  {self.instead}"

    def __reduce__(self):
        # Keyword-only arguments do not survive the default pickling of exceptions, and worker processes pickle.
        return _rebuild, (type(self), self.what, self.received, self.instead)


def _rebuild(cls: type[ReparamError], what: str, received: str, instead: str) -> ReparamError:
    return cls(what, received=received, instead=instead)


class NoPathwiseGradient(ReparamError, NotImplementedError):
    """The sample cannot move with its parameters, or no rule says how; an estimator of the expectation may exist."""


class InvalidArgument(ReparamError, ValueError):
    """An argument has a value, shape, dtype or type that the call cannot serve."""


class UnsupportedTransform(ReparamError, NotImplementedError):
    """A promise of the library (a transform, an order of derivative) that this call cannot keep, and says so."""


class DataError(ReparamError, OSError):
    """A data set, checkpoint or run folder is missing, damaged, or not what it claims to be."""

    def __str__(self) -> str:
        # `OSError.__str__` would print its own triple.
        return ReparamError.__str__(self)
