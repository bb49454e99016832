"""Why torch's abstract classes have no rule of their own, written down for `coverage()`."""

from __future__ import annotations

from torch import distributions as td

from reparam.pathwise.registry import declare_none

_ABSTRACT = "it is abstract and cannot be sampled; its concrete subclasses have rules of their own"

for _cls in (td.Distribution, td.ExponentialFamily):
    declare_none(_cls, _ABSTRACT)
