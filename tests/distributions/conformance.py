"""What every new distribution must do: a table row (`Case`) is handed to each of the checks below.

A family's test file lists its rows and parametrises over `pairs(rows, CHECKS)`, or over `UNIVARIATE_CHECKS` where it
has a reference distribution function in mpmath.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor
from torch.distributions import AffineTransform, Distribution, Independent, TransformedDistribution

import reparam as rp
from reparam.errors import InvalidArgument

with warnings.catch_warnings():  # torch imports this at the first jvp, and it warns about torch.jit
    warnings.simplefilter("ignore")
    import torch._decomp.decompositions_for_jvp

FALSE_ALARM = 1e-7
"""The probability that one goodness-of-fit test fails though the sampler is right (Massart's bound)."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row: a class, its parameters, and what is known of its law.

    Attributes:
        cls: the class.
        parameters: float64 values by name: a number each for a univariate class, tensors otherwise.
        cdf: the distribution function in mpmath, `cdf(x, **parameters)`, for a univariate class.
        fixed: further constructor arguments, which are not differentiated.
        moments: exact `mean` and `variance`, where scipy or a paper gives them.
        extremes: parameters at which float32 must stay finite.
        build: what makes the distribution of the parameters, where the class itself takes others.
    """

    cls: type[Distribution]
    parameters: dict[str, Any]
    cdf: Callable[..., Any] | None = None
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)
    moments: dict[str, float] = dataclasses.field(default_factory=dict)
    extremes: tuple[dict[str, Any], ...] = ()
    build: Callable[..., Distribution] | None = None

    def __str__(self) -> str:
        return self.cls.__name__ + "-" + "-".join(f"{v:g}" for v in self.parameters.values() if isinstance(v, float))

    def tensors(self, dtype: torch.dtype = torch.float64, *, grad: bool = False) -> list[Tensor]:
        values = (torch.as_tensor(value, dtype=dtype) for value in self.parameters.values())
        return [value.clone().requires_grad_(grad) for value in values]

    def make(self, *values: Any, **options: Any) -> Any:
        build = self.build or self.cls
        return build(**dict(zip(self.parameters, values, strict=True)), **self.fixed, **options)

    def at(self, **changed: Any) -> Any:
        values = (torch.as_tensor(v, dtype=torch.float64) for v in (self.parameters | changed).values())
        return self.make(*values)

    def exact_cdf(self, x: Any, **changed: Any) -> Any:
        assert self.cdf is not None, f"{self} has no reference distribution function"
        exact = {name: mpmath.mpf(value) for name, value in self.parameters.items()}
        return self.cdf(mpmath.mpf(x), **exact | changed)

    def exact_density(self, x: float) -> float:
        return float(mpmath.diff(self.exact_cdf, x))

    def exact_slope(self, x: float, name: str) -> float:
        """The pathwise derivative at x: -(dF/dtheta) / (dF/dx)."""
        moved = mpmath.diff(lambda t: self.exact_cdf(x, **{name: t}), mpmath.mpf(self.parameters[name]))
        return float(-moved / mpmath.diff(self.exact_cdf, x))

    @property
    def univariate(self) -> bool:
        return all(isinstance(value, float) for value in self.parameters.values())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(case: Case, *values: Any, shape: tuple[int, ...] = (3,), seed: int = 0) -> Tensor:
    """A sample at fixed noise, as a function of the parameters."""
    return rp.rsample(case.make(*values), shape, noise=seeded(seed))


def is_registered(case: Case) -> None:
    row = next(row for row in rp.coverage() if row.distribution is case.cls)
    assert row.kind in ("explicit", "implicit", "composite")
    assert row.reference
    assert case.build is not None or set(case.parameters) <= set(row.parameters)


def has_torch_shapes(case: Case) -> None:
    d = case.at()
    event = d.event_shape
    for batch in ((), (3,), (0,), (2, 1)):
        e = d.expand(batch + d.batch_shape)
        assert type(e) is case.cls
        assert e.batch_shape == torch.Size(batch) + d.batch_shape
        x = e.rsample((4,))
        assert x.shape == torch.Size((4, *batch)) + d.batch_shape + event
        assert e.log_prob(x).shape == torch.Size((4, *batch)) + d.batch_shape
        assert torch.isfinite(e.log_prob(x)).all()
    assert d.sample((0,)).shape == torch.Size((0,)) + d.batch_shape + event
    assert repr(d).startswith(case.cls.__name__)


def broadcasts(case: Case) -> None:
    if not case.univariate:
        return
    for changed in case.parameters:
        d = case.at(**{changed: [case.parameters[changed]] * 5})
        assert d.batch_shape == (5,)
        x = d.sample((2,))
        torch.testing.assert_close(d.log_prob(x), case.at().log_prob(x))


def reaches_every_parameter(case: Case) -> None:
    values = case.tensors(grad=True)
    x = case.make(*values).rsample((50,))
    grads = torch.autograd.grad((x * torch.arange(1.0, x.numel() + 1).view_as(x)).sum(), values)
    for name, grad in zip(case.parameters, grads, strict=True):
        assert torch.isfinite(grad).all(), name
        assert (grad != 0).any(), name
    assert not case.make(*values).sample().requires_grad
    assert case.make(*values).has_rsample


def holds_in_half_precision(case: Case) -> None:
    for dtype in (torch.bfloat16, torch.float32):
        values = case.tensors(dtype, grad=True)
        d = case.make(*values)
        x = d.rsample((20,))
        assert x.dtype == dtype
        assert d.support.check(x).all()
        log_prob = d.log_prob(x.detach())
        assert log_prob.dtype == dtype
        assert torch.isfinite(log_prob).all()
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(x.sum() + log_prob.sum(), values))


def survives_extremes(case: Case) -> None:
    for changed in case.extremes:
        values = {n: torch.as_tensor(v, dtype=torch.float32) for n, v in (case.parameters | changed).items()}
        values = {name: value.requires_grad_() for name, value in values.items()}
        d = case.make(*values.values())
        x = rp.rsample(d, (500,), noise=seeded())
        assert d.support.check(x).all(), changed
        log_prob = d.log_prob(x.detach())
        assert torch.isfinite(log_prob).all(), changed
        grads = torch.autograd.grad(x.sum() + log_prob.sum(), list(values.values()))
        for name, grad in zip(values, grads, strict=True):
            assert torch.isfinite(grad).all(), (changed, name)


def maps(case: Case) -> None:
    values = [torch.stack([value] * 4) for value in case.tensors()]

    def one(*parameters: Tensor) -> Tensor:
        return case.make(*parameters).rsample((2,))

    different = torch.func.vmap(one, randomness="different")(*values)
    assert different[0].ne(different[1]).any()
    same = torch.func.vmap(one, randomness="same")(*values)
    assert torch.equal(same[0], same[1])
    slopes = torch.func.vmap(torch.func.grad(lambda *p: one(*p).sum()), randomness="different")(*values)
    assert torch.isfinite(slopes).all()
    scores = torch.func.vmap(lambda *p: case.make(*p).log_prob(case.at().sample().detach()), randomness="same")
    assert scores(*values).shape[0] == 4


def agrees_under_func(case: Case) -> None:
    values = case.tensors(grad=True)
    plain = torch.autograd.grad(draw(case, *values).sum(), values)
    detached = [value.detach() for value in values]
    argnums = tuple(range(len(values)))
    func = torch.func.grad(lambda *p: draw(case, *p).sum(), argnums)(*detached)
    tangents = tuple(torch.ones_like(value) for value in detached)
    forward = torch.func.jvp(lambda *p: draw(case, *p).sum(), tuple(detached), tangents)[1]
    for a, b in zip(plain, func, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(forward, sum(grad.sum() for grad in plain))


def compiles(case: Case) -> None:
    values = case.tensors(grad=True)
    x = case.at().sample((3,))

    def both(*parameters: Tensor) -> tuple[Tensor, Tensor]:
        d = case.make(*parameters)
        return d.log_prob(x), d.rsample((3,))

    # The compiler itself instantiates a custom function, which torch has deprecated.
    warnings.filterwarnings("ignore", ".*should not be instantiated", DeprecationWarning)
    torch._dynamo.reset()
    log_prob, sample = torch.compile(both, fullgraph=True, backend="aot_eager", dynamic=False)(*values)
    torch.testing.assert_close(log_prob, case.make(*values).log_prob(x))
    for name, grad in zip(case.parameters, torch.autograd.grad(sample.sum(), values), strict=True):
        assert torch.isfinite(grad).all(), name
        assert (grad != 0).any(), name


def copies(case: Case) -> None:
    d = case.at()
    x = d.sample((3,))
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        torch.testing.assert_close(twin.log_prob(x), d.log_prob(x))
        assert torch.equal(rp.rsample(twin, noise=seeded()), rp.rsample(d, noise=seeded()))


def wraps(case: Case) -> None:
    values = case.tensors(grad=True)
    shape = (3, *case.at().batch_shape)
    for wrap in (lambda d: Independent(d, 1), lambda d: TransformedDistribution(d, [AffineTransform(1.0, 2.0)])):
        outer = wrap(case.make(*values).expand(shape))
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(outer.rsample().sum(), values))
        assert torch.isfinite(rp.rsample(outer)).all()


def raises_in_three_parts(case: Case) -> None:
    for index, name in enumerate(case.parameters):
        values = case.tensors()
        values[index] = torch.full_like(values[index], math.nan)
        with pytest.raises(InvalidArgument, match=rf"(?s){name}.*received: .*instead: "):
            case.make(*values)
        case.make(*values, validate_args=False)
    d = case.at()
    with pytest.raises(InvalidArgument, match=r"(?s)support.*received: .*nan.*instead: "):
        d.log_prob(torch.full(d.event_shape, math.nan, dtype=torch.float64))
    with pytest.raises(InvalidArgument, match=r"(?s)broadcast.*received: .*instead: "):
        d.expand((3, *d.batch_shape)).log_prob(d.sample((2,)))


def validates_though_torch_does_not(case: Case) -> None:
    values = [torch.full_like(value, math.nan) for value in case.tensors()]
    Distribution.set_default_validate_args(False)
    with pytest.raises(InvalidArgument):
        case.make(*values)


def refuses_what_cannot_move(case: Case) -> None:
    """Integers, which would round every result, and parameters of two dtypes, whatever `validate_args`."""
    if case.build is not None:
        return
    values = case.tensors()
    for changed in ([v.round().long() for v in values], [values[0].float(), *values[1:]][: len(values)]):
        if len({v.dtype for v in changed}) > 1 or not changed[0].is_floating_point():
            with pytest.raises(InvalidArgument, match=r"(?s) must .*received: .*instead: "):
                case.make(*changed, validate_args=False)


CHECKS = [
    is_registered,
    has_torch_shapes,
    broadcasts,
    reaches_every_parameter,
    holds_in_half_precision,
    survives_extremes,
    maps,
    agrees_under_func,
    compiles,
    copies,
    wraps,
    raises_in_three_parts,
    validates_though_torch_does_not,
    refuses_what_cannot_move,
]
"""For every class, univariate or not."""


def fits_its_distribution_function(case: Case) -> None:
    """log_prob is the derivative of the reference distribution function, hence also normalised; cdf is it."""
    d = case.at()
    with mpmath.workdps(40):
        for x in d.sample((4,)).tolist():
            point = torch.tensor(x, dtype=torch.float64)
            assert d.log_prob(point).exp().item() == pytest.approx(case.exact_density(x), rel=1e-10)
            if _offers(case.cls, "cdf"):
                assert d.cdf(point).item() == pytest.approx(float(case.exact_cdf(x)), rel=1e-9)


def moves_along_its_distribution_function(case: Case) -> None:
    """The gradient of a sample is minus the change of the distribution function over the density."""
    values = case.tensors(grad=True)
    for seed in range(4):
        x = draw(case, *values, shape=(), seed=seed)
        grads = torch.autograd.grad(x, values)
        with mpmath.workdps(40):
            for name, grad in zip(case.parameters, grads, strict=True):
                assert grad.item() == pytest.approx(case.exact_slope(x.item(), name), rel=1e-8, abs=1e-10), name


def ends_with_its_support(case: Case) -> None:
    """Where validation does not refuse a value without density, its log-density is minus infinity."""
    for dtype in (torch.float32, torch.float64):
        d = case.make(*case.tensors(dtype))
        d._validate_args = False
        low, high = (getattr(d.support, f"{end}_bound", math.inf) for end in ("lower", "upper"))
        low = -low if low == math.inf else low
        outside = torch.stack([torch.as_tensor(end, dtype=dtype) for end in (low - 1, high + 1)])
        assert (d.log_prob(outside) == -math.inf).all()
        if _offers(case.cls, "cdf"):
            assert d.cdf(outside).tolist() == [0, 1]


def inverts(case: Case) -> None:
    if not (_offers(case.cls, "icdf") and _offers(case.cls, "cdf")):
        return
    d = case.at()
    p = torch.tensor([1e-12, 1e-4, 0.02, 0.3, 0.5, 0.8, 0.999], dtype=torch.float64)
    x = d.icdf(p)
    # A quantile is rounded to a float, which moves its probability by the density times half a spacing.
    size = x.abs() + max(abs(value) for value in case.parameters.values())
    rounding = 4 * torch.finfo(p.dtype).eps * size * d.log_prob(x).exp()
    assert ((d.cdf(x) - p).abs() <= 1e-9 * p + rounding).all()


def passes_kolmogorov_smirnov(case: Case) -> None:
    """Massart: P(sup |F_n - F| > t) <= 2 exp(-2 n t^2), at every n."""
    n, d = 20_000, case.at()
    x = rp.rsample(d, (n,), noise=seeded(1)).sort().values
    u = d.cdf(x) if _offers(case.cls, "cdf") else torch.tensor([float(case.exact_cdf(t)) for t in x.tolist()])
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum(grid[1:] - u, u - grid[:-1]).max().item()
    assert distance < math.sqrt(math.log(2 / FALSE_ALARM) / (2 * n))


def has_its_moments(case: Case) -> None:
    for name, value in case.moments.items():
        assert _statistic(case.at(), name).item() == pytest.approx(value, rel=1e-9, abs=1e-12), name


def differentiates_twice(case: Case) -> None:
    """gradgradcheck of the density, and of the sample where it is a smooth function of base noise."""
    values = case.tensors(grad=True)
    x = case.at().sample((2,))
    row = next(row for row in rp.coverage() if row.distribution is case.cls)
    functions: list[Callable[..., Tensor]] = [lambda *p: case.make(*p).log_prob(x)]
    if row.kind == "explicit":
        functions.append(lambda *p: draw(case, *p))
    for function in functions:
        assert torch.autograd.gradcheck(function, values)
        assert torch.autograd.gradgradcheck(function, values, atol=1e-4)


def has_differentiable_statistics(case: Case) -> None:
    values = case.tensors(grad=True)
    x = case.at().sample((2,))
    functions = [lambda *p, n=name: _statistic(case.make(*p), n) for name in case.moments]
    if _offers(case.cls, "cdf"):
        functions.append(lambda *p: case.make(*p).cdf(x))
    for function in functions:
        assert torch.autograd.gradcheck(function, values)


def _statistic(d: Distribution, name: str) -> Tensor:
    value: Any = getattr(d, name)
    return value if isinstance(value, Tensor) else value()


def _offers(cls: type[Distribution], method: str) -> bool:
    return inspect.getattr_static(cls, method) is not inspect.getattr_static(Distribution, method)


UNIVARIATE_CHECKS = [
    *CHECKS,
    fits_its_distribution_function,
    ends_with_its_support,
    moves_along_its_distribution_function,
    inverts,
    passes_kolmogorov_smirnov,
    has_its_moments,
    differentiates_twice,
    has_differentiable_statistics,
]
"""For a univariate class whose row has a reference `cdf`."""


def pairs(cases: Sequence[Case], checks: Sequence[Callable[[Case], None]]) -> list[Any]:
    """Every row with every check, but one compilation a class, and that in the long suite: it takes tens of seconds.

    The default suite compiles every class once, in the matrix.
    """
    return [
        pytest.param(case, check, id=f"{case}-{check.__name__}", marks=[pytest.mark.long] if check is compiles else [])
        for index, case in enumerate(cases)
        for check in checks
        if index == 0 or check is not compiles
    ]
