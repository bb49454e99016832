"""Why the samples of torch's discrete classes carry no gradient, written down for `coverage()` and for the error."""

from __future__ import annotations

from torch import distributions as td

from reparam.pathwise.registry import declare_none

_STEP = "its values are isolated points, so a sample does not move when a parameter moves a little"

for _cls in (
    td.Bernoulli,
    td.Binomial,
    td.Categorical,
    td.Geometric,
    td.Multinomial,
    td.NegativeBinomial,
    td.OneHotCategorical,
    td.Poisson,
):
    declare_none(_cls, _STEP)
declare_none(
    td.OneHotCategoricalStraightThrough,
    "its own rsample is the straight-through surrogate, whose gradient is biased; what is biased is used only by name",
)
