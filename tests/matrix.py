"""The composition matrix: a row for every class with a rule, and the cells that cannot hold, each with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from reparam import distributions as rd


def t(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Row:
    """One class, a maker that hands `validate_args` on, and one parameter point in float64."""

    cls: type[td.Distribution]
    parameters: Mapping[str, Tensor]
    make: Callable[..., td.Distribution]

    @property
    def name(self) -> str:
        return self.cls.__name__


def row(cls: type[td.Distribution], make: Callable[..., td.Distribution] | None = None, **parameters: Tensor) -> Row:
    return Row(cls, parameters, make or cls)


def _independent(loc: Tensor, scale: Tensor, **options) -> td.Distribution:
    return td.Independent(td.Normal(loc, scale, **options), 1, **options)


def _transformed(loc: Tensor, scale: Tensor, shift: Tensor, stretch: Tensor, **options) -> td.Distribution:
    chain = [td.AffineTransform(shift, stretch), td.SigmoidTransform()]
    return td.TransformedDistribution(td.Normal(loc, scale, **options), chain, **options)


def _mixture(logits: Tensor, loc: Tensor, scale: Tensor, **options) -> td.Distribution:
    weights, components = td.Categorical(logits=logits, **options), td.Normal(loc, scale, **options)
    return td.MixtureSameFamily(weights, components, **options)


def _lkj(concentration: Tensor, **options) -> td.Distribution:
    return td.LKJCholesky(3, concentration, **options)


def _sphere(**options) -> td.Distribution:
    return rd.HypersphericalUniform(3, **options)


def _truncated(loc: Tensor, scale: Tensor, low: Tensor, high: Tensor, **options) -> td.Distribution:
    return rd.Truncated(td.Laplace(loc, scale, **options), low, high, **options)


_POSITIVE = {"concentration1": t(1.7), "concentration0": t(0.6)}
_LOC_SCALE = {"loc": t(0.5), "scale": t(1.3)}
_VECTOR = {"loc": t(0.5, -1.0), "scale_tril": t((1.2, 0.0), (0.3, 0.8))}
_WEIGHTS = {"temperature": t(0.7)[0], "logits": t(0.3, -0.5, 0.1)}
_BERNOULLI = {"temperature": t(0.7, 0.4), "logits": t(0.3, -0.5)}
_DIRECTION = {"loc": t(0.6, 0.0, 0.8), "concentration": t(2.5)[0]}

ROWS = [
    row(td.Beta, **_POSITIVE),
    row(td.Cauchy, **_LOC_SCALE),
    row(td.Chi2, df=t(3.5)),
    row(td.ContinuousBernoulli, logits=t(0.4)),
    row(td.Dirichlet, concentration=t(0.7, 2.0, 1.1)),
    row(rd.ExpDirichlet, concentration=t(0.7, 2.0, 1.1)),
    row(rd.ExpGamma, concentration=t(0.7), rate=t(2.0)),
    row(ExpRelaxedCategorical, **_WEIGHTS),
    row(td.Exponential, rate=t(1.5)),
    row(td.FisherSnedecor, df1=t(5.0), df2=t(7.0)),
    row(td.Gamma, concentration=t(0.7), rate=t(2.0)),
    row(rd.GeneralizedNormal, **_LOC_SCALE, power=t(1.4)),
    row(td.Gumbel, **_LOC_SCALE),
    row(td.HalfCauchy, scale=t(1.3)),
    row(td.HalfNormal, scale=t(1.3)),
    row(rd.HalfStudentT, df=t(4.0), scale=t(1.3)),
    row(rd.HypersphericalUniform, _sphere),
    row(td.Independent, _independent, loc=t(0.5, -2.0), scale=t(1.3, 0.4)),
    row(td.InverseGamma, concentration=t(3.0), rate=t(2.0)),
    row(rd.InverseGaussian, loc=t(1.2), concentration=t(2.0)),
    row(rd.InverseWishart, df=t(6.0)[0], scale_tril=_VECTOR["scale_tril"]),
    row(rd.JohnsonSU, skewness=t(0.5), tailweight=t(1.8), **_LOC_SCALE),
    row(td.Kumaraswamy, **_POSITIVE),
    row(td.LKJCholesky, _lkj, concentration=t(1.5)[0]),
    row(td.Laplace, **_LOC_SCALE),
    row(td.LogNormal, **_LOC_SCALE),
    row(td.LogisticNormal, loc=t(0.5, -1.0), scale=t(1.3, 0.4)),
    row(rd.LogitBeta, **_POSITIVE),
    row(LogitRelaxedBernoulli, **_BERNOULLI),
    row(td.LowRankMultivariateNormal, loc=t(0.5, -1.0), cov_factor=t((0.4,), (-0.7,)), cov_diag=t(0.5, 1.2)),
    row(
        rd.MatrixNormal,
        loc=t((0.5, -1.0, 0.0), (1.0, 2.0, 0.3)),
        row_scale_tril=_VECTOR["scale_tril"],
        column_scale_tril=t((0.7, 0.0, 0.0), (0.9, 1.1, 0.0), (0.2, -0.3, 0.5)),
    ),
    row(td.MixtureSameFamily, _mixture, logits=t(0.4, -0.2), loc=t(-1.0, 1.5), scale=t(0.8, 1.1)),
    row(td.MultivariateNormal, **_VECTOR),
    row(rd.MultivariateStudentT, df=t(5.0)[0], **_VECTOR),
    row(td.Normal, **_LOC_SCALE),
    row(td.Pareto, scale=t(1.3), alpha=t(4.0)),
    row(rd.PowerSpherical, **_DIRECTION),
    row(td.RelaxedBernoulli, **_BERNOULLI),
    row(td.RelaxedOneHotCategorical, **_WEIGHTS),
    row(rd.SinhArcsinh, **_LOC_SCALE, skewness=t(0.3), tailweight=t(0.8)),
    row(td.StudentT, df=t(5.0), **_LOC_SCALE),
    row(rd.TanhNormal, **_LOC_SCALE, low=t(-2.0), high=t(1.0)),
    row(td.TransformedDistribution, _transformed, **_LOC_SCALE, shift=t(-0.3), stretch=t(0.8)),
    row(rd.Triangular, low=t(-1.0), high=t(2.0), peak=t(0.3)),
    row(rd.Truncated, _truncated, **_LOC_SCALE, low=t(-1.0), high=t(2.0)),
    row(rd.TruncatedNormal, **_LOC_SCALE, low=t(-1.0), high=t(2.0)),
    row(td.Uniform, low=t(-1.0), high=t(2.0)),
    row(td.VonMises, loc=t(0.5), concentration=t(1.7)),
    row(rd.VonMisesFisher, **_DIRECTION),
    row(td.Weibull, scale=t(1.3), concentration=t(1.7)),
    row(td.Wishart, df=t(6.0)[0], scale_tril=_VECTOR["scale_tril"]),
]

if hasattr(td, "GeneralizedPareto"):  # torch 2.10 or later
    ROWS.append(row(td.GeneralizedPareto, **_LOC_SCALE, concentration=t(0.2)))


@dataclasses.dataclass(frozen=True)
class Cannot:
    """A cell that cannot hold: the error that says so, by its full name, and why.

    An empty `error` marks a cell that has no meaning, as a derivative in the parameters of a class that has none.
    """

    error: str
    reason: str


_NO_PARAMETERS = Cannot("", "It has no parameter to differentiate in, to check, or to take a dtype from.")
_WISHART_VMAP = Cannot(
    "builtins.RuntimeError",
    "torch's constructor of a Wishart looks at the value of df, which `vmap` forbids: the error is torch's. Build one "
    "batched Wishart outside `vmap`; its samples are independent along the batch.",
)
_WISHART_COMPILE = Cannot(
    "torch._dynamo.exc.Unsupported",
    "torch's constructor of a Wishart branches on the value of df, which the compiler cannot trace: the error is "
    "torch's. Build the distribution outside the compiled function.",
)
_LOW_RANK = Cannot(
    "builtins.NotImplementedError",
    "torch's constructor factorises a matrix, which torch cannot do in half precision: the error is torch's. Build the "
    "distribution in float32 and round its samples.",
)
_TRUNCATED = Cannot(
    "reparam.errors.UnsupportedTransform",
    "The base's distribution function knows 256 probabilities in bfloat16. Build the base in float32 and round its "
    "samples, or take a TruncatedNormal.",
)

CANNOT: dict[tuple[str, str], Cannot] = {
    **{
        ("HypersphericalUniform", transform): _NO_PARAMETERS
        for transform in (
            *("grad", "jvp", "jacrev", "vmap(grad)", "grad(grad)"),
            *("bfloat16", "float16", "validation"),
        )
    },
    **{
        ("Wishart", transform): _WISHART_VMAP
        for transform in ("vmap different", "vmap same", "vmap error", "vmap(grad)")
    },
    **{("Wishart", transform): _WISHART_COMPILE for transform in ("compile", "compile dynamic")},
    **{("LowRankMultivariateNormal", dtype): _LOW_RANK for dtype in ("bfloat16", "float16")},
    **{("Truncated", dtype): _TRUNCATED for dtype in ("bfloat16", "float16")},
}
"""By row and transform; every cell that is not here holds."""
