"""Conformance checks for a pathwise rule: what ours pass, and a third party's rule inherits.

A *maker* builds the distribution from its parameters by name, `make(loc=..., scale=...)`, so that the checks can
perturb them, batch them and differentiate through them. Each check raises `AssertionError` that says what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.noise import Noise
from reparam.pathwise import rsample
from reparam.testing.statistics import z_test

Maker = Callable[..., Distribution]
Parameters = Mapping[str, Tensor]
Statistic = Callable[[Tensor], Tensor]
Exact = Callable[..., Tensor]


def check_rule(
    make: Maker,
    parameters: Parameters,
    *,
    moments: Mapping[str, tuple[Statistic, Exact]] | None = None,
    cdf: Callable[..., Tensor] | None = None,
) -> None:
    r"""Every deterministic check below, and the statistical one for each moment given.

    Args:
        make: builds the distribution from keyword parameters.
        parameters: where to test, in float64.
        moments: by name, a statistic of the sample (over event dimensions) and its exact expectation as a
            differentiable function of the parameters.
        cdf: `cdf(x, **parameters)`, the distribution function of a univariate law whose rule is implicit. Its sample is
            held against that, and not against the sampler's path at fixed noise.

    Example:
        >>> import torch, reparam as rp
        >>> from torch.distributions import Normal
        >>> at = {"loc": torch.tensor([0.5], dtype=torch.float64), "scale": torch.tensor([2.0], dtype=torch.float64)}
        >>> square = (lambda x: x**2, lambda loc, scale: loc**2 + scale**2)
        >>> rp.testing.check_rule(Normal, at, moments={"square": square})
    """
    check_shapes(make, parameters)
    check_every_parameter(make, parameters)
    check_layouts(make, parameters)
    check_empty(make, parameters)
    check_vmap(make, parameters)
    if cdf is None:
        check_path(make, parameters)
        check_second_derivative(make, parameters)
    else:
        check_implicit(make, parameters, cdf=cdf)
    for statistic, exact in (moments or {}).values():
        check_moment(make, parameters, statistic, exact)


def check_shapes(make: Maker, parameters: Parameters) -> None:
    """Samples have shape `sample_shape + batch_shape + event_shape`, the parameters' dtype, and lie in the support."""
    for dtype in (torch.float32, torch.float64):
        dist = make(**{name: value.to(dtype) for name, value in parameters.items()})
        for sample_shape in ((), (3,), (2, 0), (2, 3)):
            x = rsample(dist, sample_shape)
            expected = (*sample_shape, *dist.batch_shape, *dist.event_shape)
            assert tuple(x.shape) == expected, f"shape {tuple(x.shape)}, expected {expected}"
            assert x.dtype == dtype, f"dtype {x.dtype}, expected {dtype}"
            # torch's own constraints cannot reduce over the event dimensions of an empty sample.
            if dist.support is not None and x.numel():
                assert bool(dist.support.check(x).all()), f"a sample of {dist} lies outside its support"


def check_every_parameter(make: Maker, parameters: Parameters) -> None:
    """The sample carries a finite gradient to each parameter, and none where nobody asks for one."""
    assert not rsample(make(**parameters)).requires_grad, "a sample of constant parameters requires grad"
    for name in parameters:
        leaves = {k: v.detach().clone().requires_grad_(k == name) for k, v in parameters.items()}
        x = rsample(make(**leaves), (5,))
        assert x.requires_grad, f"no gradient reaches {name}"
        (gradient,) = torch.autograd.grad(_mix(x), leaves[name])
        assert bool(torch.isfinite(gradient).all()), f"the gradient to {name} is not finite: {gradient}"


def check_layouts(make: Maker, parameters: Parameters) -> None:
    """Strided, expanded and broadcast parameters draw what contiguous ones do, and move as much."""
    whole = {name: torch.stack([value, value]) for name, value in parameters.items()}
    strided = {name: torch.stack([value] * 4)[::2] for name, value in parameters.items()}
    expanded = {name: value.expand(2, *value.shape) for name, value in parameters.items()}
    narrowed = [{**expanded, name: value.expand(1, *value.shape)} for name, value in parameters.items()]
    # Not every class broadcasts every parameter: the batch of a relaxed law is that of its logits.
    shape = make(**whole).batch_shape
    broadcast = [batch for batch in narrowed if make(**batch).batch_shape == shape]
    expected, slopes = _drawn(make, whole)
    for batch in (strided, expanded, *broadcast):
        x, moved = _drawn(make, batch)
        torch.testing.assert_close(x, expected, msg=lambda text: f"the layout of the parameters matters: {text}")
        for name, slope in moved.items():
            torch.testing.assert_close(slope.sum(0), slopes[name].sum(0))
    dist = make(**parameters)
    if type(dist).expand is not Distribution.expand:
        again = rsample(dist.expand((2, *dist.batch_shape)), (3,), noise=torch.Generator().manual_seed(2014))
        torch.testing.assert_close(again, expected)


def check_empty(make: Maker, parameters: Parameters) -> None:
    """A batch of no parameters draws no samples, and its gradient is empty too."""
    x, slopes = _drawn(make, {name: value.expand(0, *value.shape) for name, value in parameters.items()})
    dist = make(**parameters)
    expected = (3, 0, *dist.batch_shape, *dist.event_shape)
    assert tuple(x.shape) == expected, f"an empty batch draws {tuple(x.shape)}, expected {expected}"
    assert all(slope.shape[0] == 0 for slope in slopes.values())


def _drawn(make: Maker, batch: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
    """Three samples at fixed noise, and the gradient of a function of them in each parameter."""
    leaves = {name: value.detach().requires_grad_() for name, value in batch.items()}
    x = rsample(make(**leaves), (3,), noise=torch.Generator().manual_seed(2014))
    return x.detach(), dict(zip(leaves, torch.autograd.grad(_mix(x), list(leaves.values())), strict=True))


def check_path(
    make: Maker, parameters: Parameters, *, draws: int = 20, rtol: float = 1e-6, noise: Noise = None
) -> None:
    """The derivative of the sample at fixed noise is the slope of the path, for a rule that is explicit.

    The noise is fixed by a generator, and the derivative in each parameter is compared with a fourth-order central
    difference of the sample itself: at a step of 1e-3 its truncation and its rounding are both near 1e-12. A rule that
    rejects under a generator or a `Philox` and inverts under other noise is checked under `noise=rp.noise.Sobol(seed)`.
    """
    h = 1e-3
    for name in parameters:
        path = _path(make, parameters, [name], draws, noise)
        at = torch.zeros((), dtype=torch.float64, requires_grad=True)
        x = path(at).flatten()
        exact = torch.stack([torch.autograd.grad(x_i, at, retain_graph=True)[0] for x_i in x])
        with torch.no_grad():
            one, two = (path(torch.tensor(k * h)) - path(torch.tensor(-k * h)) for k in (1.0, 2.0))
        slope = ((8 * one - two) / (12 * h)).flatten()
        worst = ((exact - slope).abs() / (slope.abs() + slope.abs().mean() + 1e-12)).max().item()
        assert worst <= rtol, f"the derivative in {name} is off by {worst:.1e} relative to the slope of the path"


def check_second_derivative(make: Maker, parameters: Parameters, *, draws: int = 3, noise: Noise = None) -> None:
    """The sample differentiates twice at fixed noise, mixed derivatives included, as finite differences say.

    As `check_path`, for a rule that is explicit in the noise given.
    """
    path = _path(make, parameters, list(parameters), draws, noise)
    steps = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in parameters]
    torch.autograd.gradgradcheck(path, steps)


def check_implicit(
    make: Maker, parameters: Parameters, *, cdf: Callable[..., Tensor] | None = None, draws: int = 6
) -> None:
    r"""A univariate sample keeps its probability as the parameters move, to second order.

    .. math:: \frac{d^k}{d\theta^k} F(x(\theta); \theta) = 0, \quad k = 1, 2

    Its first derivative says that :math:`dx/d\theta = -\partial_\theta F / p` at the sample, whichever sampler drew it.
    Both are taken by fourth-order central differences of `F` along the path that the sample's own derivatives foretell,
    one parameter at a time and all together, and must vanish to 1e-6 and 1e-4 of the sample's motion.

    Args:
        make: builds the distribution from keyword parameters.
        parameters: where to test, in float64.
        cdf: `cdf(x, **parameters)`, the distribution function; that of the distribution itself unless given.
        draws: how many samples.
    """
    function = cdf or (lambda x, **moved: make(**moved).cdf(x))
    for names in [*([name] for name in parameters), list(parameters)]:
        _check_held(make, parameters, names, function, draws)


def _check_held(
    make: Maker, parameters: Parameters, names: Sequence[str], cdf: Callable[..., Tensor], draws: int
) -> None:
    # A copy of the parameters for each draw, so that one backward pass serves all of them.
    h, at = 1e-2, torch.zeros(draws, dtype=torch.float64, requires_grad=True)

    def moved(step: Tensor | float) -> dict[str, Tensor]:
        return {**parameters, **{name: _stepped(parameters[name], step) for name in names}}

    copies = {k: v if k in names else v.expand(draws, *v.shape) for k, v in moved(at).items()}
    x = rsample(make(**copies), noise=torch.Generator().manual_seed(2014))
    first, second = _two_derivatives(x, at)

    def probability(step: float) -> Tensor:
        return cdf(x.detach() + step * first + step**2 / 2 * second, **moved(step)).detach()

    back2, back, middle, ahead, ahead2 = (probability(k * h) for k in (-2, -1, 0, 1, 2))
    density = make(**parameters).log_prob(x.detach()).exp()
    velocity = (8 * (ahead - back) - (ahead2 - back2)) / (12 * h) / density
    acceleration = (16 * (ahead + back) - (ahead2 + back2) - 30 * middle) / (12 * h * h) / density
    speed = first.abs() + first.abs().mean() + 1e-12
    for order, off, size, rtol in ((1, velocity, speed, 1e-6), (2, acceleration, second.abs() + speed, 1e-4)):
        worst = (off.abs() / size).max().item()
        assert worst <= rtol, f"derivative {order} in {', '.join(names)} leaves the distribution function: {worst:.1e}"


def _stepped(value: Tensor, step: Tensor | float) -> Tensor:
    """The value moved along its tangent, by a step or by one for each draw."""
    if isinstance(step, Tensor):
        step = step.view(-1, *[1] * value.dim())
    return value + step * _tangent(value)


def _two_derivatives(x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """The first two derivatives of each entry of x in its draw's step; the second is zero where x is linear in it."""
    columns = x.reshape(len(at), -1).unbind(-1)
    first = [torch.autograd.grad(column.sum(), at, create_graph=True)[0] for column in columns]
    second = [
        torch.autograd.grad(slope.sum(), at, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        if slope.requires_grad
        else torch.zeros_like(slope)
        for slope in first
    ]
    return torch.stack(first, -1).detach().view(x.shape), torch.stack(second, -1).view(x.shape)


def _path(make: Maker, parameters: Parameters, names: Sequence[str], draws: int, noise: Noise) -> Callable[..., Tensor]:
    """The sample at fixed noise as a function of a step for each named parameter, in a direction it stays valid in."""
    directions = {name: _tangent(parameters[name]) for name in names}

    def path(*steps: Tensor) -> Tensor:
        moved = {k: parameters[k] + step * directions[k] for k, step in zip(names, steps, strict=True)}
        fixed = torch.Generator().manual_seed(2014) if noise is None else noise
        return rsample(make(**{**parameters, **moved}), (draws,), noise=fixed)

    return path


def _tangent(value: Tensor) -> Tensor:
    """A direction symmetric or triangular where the parameter is, and small against its size."""
    direction = torch.randn(value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(1))
    if value.dim() >= 2 and torch.equal(value, value.mT):
        direction = (direction + direction.mT) / 2
    if value.dim() >= 2 and torch.equal(value, value.tril()):
        direction = direction.tril()
    return 0.1 * direction.clamp(-1, 1) * value.abs().clamp(min=0.01, max=1)


def check_vmap(make: Maker, parameters: Parameters) -> None:
    """`vmap` over a batch of parameters draws as many independent samples, and its gradient is finite."""
    stacked = {name: torch.stack([value, value, value]) for name, value in parameters.items()}

    def one(values: dict[str, Tensor]) -> Tensor:
        return rsample(make(**values))

    def cost(values: dict[str, Tensor]) -> Tensor:
        return _mix(one(values))

    x = torch.vmap(one, randomness="different")(stacked)
    if x[0].numel():
        assert not torch.equal(x[0], x[1]), "vmap(randomness='different') repeats a sample"
    same = torch.vmap(one, randomness="same")(stacked)
    # Up to rounding: the lanes of a vector register and the tail after them may round a logarithm differently.
    torch.testing.assert_close(
        same[0], same[1], msg=lambda reason: f"vmap(randomness='same') does not repeat the sample: {reason}"
    )
    gradients = torch.vmap(torch.func.grad(cost), randomness="different")(stacked)
    for name, gradient in gradients.items():
        assert bool(torch.isfinite(gradient).all()), f"the vmapped gradient to {name} is not finite"


def check_moment(
    make: Maker, parameters: Parameters, statistic: Statistic, exact: Exact, *, samples: int = 20_000
) -> None:
    """The gradient of a moment, estimated pathwise, passes the calibrated z-test against the exact one.

    Each sample carries its own copy of the parameters, so that the spread of single-draw gradients is seen.
    """
    _check_moment(make, parameters, statistic, exact, samples, order=1)


def check_curvature(
    make: Maker, parameters: Parameters, statistic: Statistic, exact: Exact, *, samples: int = 20_000
) -> None:
    """The same for the second derivatives of a moment: its Hessian times a direction in all parameters at once.

    For a rule whose sample is not a function of its noise alone, and whose distribution function is not univariate.
    """
    _check_moment(make, parameters, statistic, exact, samples, order=2)


def _check_moment(
    make: Maker, parameters: Parameters, statistic: Statistic, exact: Exact, samples: int, order: int
) -> None:
    at = {k: v.detach().clone().requires_grad_() for k, v in parameters.items()}
    leaves = {k: v.detach().expand(samples, *v.shape).clone().requires_grad_() for k, v in parameters.items()}
    value, truth = statistic(rsample(make(**leaves))), exact(**at)
    result = z_test(value, truth)
    assert result.passed, f"the moment itself is off: {result}"
    directions = {name: _tangent(v) for name, v in parameters.items()}
    estimates, expected = (_derivatives(y, of, directions, order) for y, of in ((value, leaves), (truth, at)))
    for name in parameters:
        result = z_test(estimates[name], expected[name])
        assert result.passed, f"derivative {order} of the moment in {name} is off: {result}"


def _derivatives(value: Tensor, leaves: Parameters, directions: Parameters, order: int) -> dict[str, Tensor]:
    """The gradient of the sum of `value`, or the gradient of its derivative in a fixed direction."""
    total, again = value.sum(), order > 1
    if not total.requires_grad:  # the derivative of something linear
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    gradients = torch.autograd.grad(
        total, list(leaves.values()), create_graph=again, allow_unused=True, materialize_grads=True
    )
    if again:
        along = [(g * directions[name]).sum() for g, name in zip(gradients, leaves, strict=True)]
        return _derivatives(torch.stack(along), leaves, directions, order - 1)
    return dict(zip(leaves, gradients, strict=True))


def _mix(x: Tensor) -> Tensor:
    """A scalar that depends on every entry of x with its own weight, so that no gradient cancels by symmetry."""
    weights = torch.arange(1, x.numel() + 1, dtype=x.dtype, device=x.device).view(x.shape)
    return (weights.sin() * x).sum()
