"""One distribution through each transform of torch's: what the composition matrix is made of.

Each function takes a *maker* and its parameters, as the checks in `reparam.testing.conformance` do, draws inside one
transform, and raises `AssertionError` saying what was expected where the sample or its gradient is not right. An error
of the library's own, such as `UnsupportedTransform`, passes through. `TRANSFORMS` holds them all by name.
"""

from __future__ import annotations

import contextlib
import copy
import math
import pickle
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam.checks import wrapped
from reparam.errors import InvalidArgument
from reparam.noise import Noise, Philox
from reparam.pathwise import rsample
from reparam.testing.conformance import Maker, Parameters

_SEED = 2014
_BATCH = 3
_PHILOX = Philox(_SEED)
_DRAWS = 32
_PARTS_ROUND = 8  # the parts of a composite are rounded one by one, and an exponential magnifies the first


def vmap_different(make: Maker, parameters: Parameters) -> None:
    """`vmap(randomness="different")` draws an independent sample for each entry of the batch."""
    x = _vmapped(make, parameters, "different")
    assert bool(torch.isfinite(x).all()), f"vmap(randomness='different') draws {x}"
    for i in range(_BATCH - 1):
        assert not torch.equal(x[i], x[i + 1]), f"vmap(randomness='different') repeats the sample {x[i]}"


def vmap_same(make: Maker, parameters: Parameters) -> None:
    """`vmap(randomness="same")` draws one sample, for every entry of the batch."""
    x = _vmapped(make, parameters, "same")
    assert bool(torch.isfinite(x).all()), f"vmap(randomness='same') draws {x}"
    for i in range(1, _BATCH):
        torch.testing.assert_close(x[i], x[0], msg=lambda m: f"vmap(randomness='same') does not repeat its sample. {m}")


def vmap_error(make: Maker, parameters: Parameters) -> None:
    """`vmap(randomness="error")`, torch's default, raises torch's own error."""
    try:
        x = _vmapped(make, parameters, "error")
    except RuntimeError as error:
        if "randomness" not in str(error):
            raise
    else:
        raise AssertionError(f"vmap(randomness='error') raised nothing and drew {x}")


def func_grad(make: Maker, parameters: Parameters) -> None:
    """`torch.func.grad` at fixed noise is what `backward` gives."""
    _same_gradients(torch.func.grad(_cost(make))(dict(parameters)), _backward(make, parameters), "func.grad")


def func_jvp(make: Maker, parameters: Parameters) -> None:
    """`torch.func.jvp` at fixed noise is `backward`'s gradient times the tangent, for each parameter by itself."""
    expected = _backward(make, parameters)
    _finite_gradients(expected, "backward")
    for name, value in parameters.items():
        tangents = {k: _direction(v) * (k == name) for k, v in parameters.items()}
        slope = torch.func.jvp(_cost(make), (dict(parameters),), (tangents,))[1]
        wanted = (expected[name] * _direction(value)).sum()
        torch.testing.assert_close(slope, wanted, msg=lambda m, k=name: f"func.jvp in {k} is not backward's. {m}")


def func_jacrev(make: Maker, parameters: Parameters) -> None:
    """`torch.func.jacrev` of the sample, contracted with the cost's slope, is what `backward` gives."""

    def entries(values: dict[str, Tensor]) -> Tensor:
        return _curved(_fixed(make, values)).flatten()

    jacobian = torch.func.jacrev(entries)(dict(parameters))
    summed = {name: rows.sum(0) for name, rows in jacobian.items()}
    _same_gradients(summed, _backward(make, parameters), "func.jacrev")


def vmap_grad(make: Maker, parameters: Parameters) -> None:
    """`vmap(grad)`: the gradients of a batch; at noise that is a value each equals the one computed by itself."""
    stacked = _stacked(parameters)

    def free(values: dict[str, Tensor]) -> Tensor:
        return _curved(rsample(make(**values), (2,))).sum()

    _finite_gradients(torch.vmap(torch.func.grad(free), randomness="different")(stacked), "vmap(grad)")
    batched = torch.vmap(torch.func.grad(_cost(make, _PHILOX)), randomness="different")(stacked)
    alone = _backward(make, parameters, _PHILOX)
    for i in range(_BATCH):
        _same_gradients({k: g[i] for k, g in batched.items()}, alone, "vmap(grad) at Philox noise")


def second_derivative(make: Maker, parameters: Parameters) -> None:
    """`grad` of `grad`: finite, not zero for any parameter, and symmetric, as the Hessian at fixed noise is.

    The cost is curved, so that a sample linear in its parameters has a second derivative too.
    """
    hessian = _hessian(make, parameters)
    for (a, b), entry in hessian.items():
        assert bool(torch.isfinite(entry)), f"the second derivative in {a} and {b} is {entry}"
        assert a != b or bool(entry != 0), f"the second derivative in {a} is zero"
        torch.testing.assert_close(
            entry, hessian[b, a], rtol=1e-6, atol=1e-8, msg=lambda m: f"the Hessian is not symmetric. {m}"
        )


def generator(make: Maker, parameters: Parameters) -> None:
    """A `torch.Generator` reproduces the sample and moves on; torch's global stream is not touched."""
    before = torch.get_rng_state()
    source = _seeded()
    first, second = (rsample(make(**parameters), (2,), noise=source) for _ in range(2))
    again = rsample(make(**parameters), (2,), noise=_seeded())
    _finite_gradients(_backward(make, parameters), "a torch.Generator")
    assert torch.equal(first, again), f"one seed gives {first} and {again}"
    assert not torch.equal(first, second), f"a generator gives {first} twice"
    assert torch.equal(before, torch.get_rng_state()), "a draw from a torch.Generator moved torch's global stream"


def philox(make: Maker, parameters: Parameters) -> None:
    """`Philox` noise is a value: the same sample each time, another at another step, the global stream untouched."""
    before = torch.get_rng_state()
    first, again, other = (rsample(make(**parameters), (2,), noise=_PHILOX.at(step)) for step in (1, 1, 2))
    _finite_gradients(_backward(make, parameters, _PHILOX), "Philox noise")
    assert torch.equal(first, again), f"one Philox gives {first} and {again}"
    assert not torch.equal(first, other), f"two steps of a Philox give {first}"
    assert torch.equal(before, torch.get_rng_state()), "a draw from a Philox moved torch's global stream"


def compile_static(make: Maker, parameters: Parameters, backend: str = "aot_eager") -> None:
    """`torch.compile(fullgraph=True)`, forward and backward, for one shape."""
    _compiled(make, parameters, backend, dynamic=False, batches=(2,))


def compile_dynamic(make: Maker, parameters: Parameters, backend: str = "aot_eager") -> None:
    """`torch.compile(fullgraph=True, dynamic=True)`, forward and backward, for two batch shapes."""
    _compiled(make, parameters, backend, dynamic=True, batches=(2, 5))


def bfloat16(make: Maker, parameters: Parameters) -> None:
    """The sample is bfloat16, float32's own rounded once (in a composite each part is), with a finite gradient."""
    _half(make, parameters, torch.bfloat16)


def float16(make: Maker, parameters: Parameters) -> None:
    """The sample is float16, float32's own rounded once (in a composite each part is), with a finite gradient."""
    _half(make, parameters, torch.float16)


def validation(make: Maker, parameters: Parameters) -> None:
    """A NaN parameter raises though torch's process-wide switch is off, and does not with `validate_args=False`."""
    names = [name for name in parameters if name in _constrained(make(**parameters))]
    with _torch_validation(False):
        for name in names:
            bad = {**parameters, name: torch.full_like(parameters[name], math.nan)}
            try:
                x = rsample(make(**bad))
            except (InvalidArgument, torch.linalg.LinAlgError):  # torch's own constructor may factorise a matrix first
                _unchecked(make, bad)
            else:
                raise AssertionError(f"a NaN {name} gave {x} while torch's switch was off")


def no_grad(make: Maker, parameters: Parameters) -> None:
    """Under `torch.no_grad` the sample of parameters that require grad does not."""
    with torch.no_grad():
        x = rsample(make(**{k: v.detach().clone().requires_grad_() for k, v in parameters.items()}))
    assert not x.requires_grad, "a sample drawn under no_grad requires grad"


def pickling(make: Maker, parameters: Parameters) -> None:
    """A distribution that was pickled or deep-copied draws what the original draws."""
    dist = make(**parameters)
    x = rsample(dist, (2,), noise=_seeded())
    for twin in (pickle.loads(pickle.dumps(dist)), copy.deepcopy(dist)):
        assert type(twin) is type(dist), f"a copy of {type(dist).__name__} is a {type(twin).__name__}"
        y = rsample(twin, (2,), noise=_seeded())
        assert torch.equal(x, y), f"a copy draws {y}, the original {x}"


TRANSFORMS: dict[str, Callable[..., None]] = {
    "vmap different": vmap_different,
    "vmap same": vmap_same,
    "vmap error": vmap_error,
    "grad": func_grad,
    "jvp": func_jvp,
    "jacrev": func_jacrev,
    "vmap(grad)": vmap_grad,
    "grad(grad)": second_derivative,
    "Generator": generator,
    "Philox": philox,
    "compile": compile_static,
    "compile dynamic": compile_dynamic,
    "bfloat16": bfloat16,
    "float16": float16,
    "validation": validation,
    "no_grad": no_grad,
    "pickle": pickling,
}


def _curved(x: Tensor) -> Tensor:
    """An entrywise cost whose terms have weights of their own, so that no gradient cancels by symmetry."""
    weights = torch.arange(1, x.numel() + 1, dtype=x.dtype, device=x.device).view(x.shape)
    return weights.sin() * (x + x * x / 4)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(_SEED)


def _fixed(make: Maker, values: Parameters, noise: Noise = None, *, draws: int = 2) -> Tensor:
    """A draw at fixed noise: that of a fresh generator unless a value is given."""
    return rsample(make(**values), (draws,), noise=_seeded() if noise is None else noise)


def _cost(make: Maker, noise: Noise = None) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda values: _curved(_fixed(make, values, noise)).sum()


def _backward(make: Maker, parameters: Parameters, noise: Noise = None) -> dict[str, Tensor]:
    leaves = {k: v.detach().clone().requires_grad_() for k, v in parameters.items()}
    return _gradients(_cost(make, noise)(leaves), leaves)


def _gradients(cost: Tensor, leaves: Parameters) -> dict[str, Tensor]:
    """By name; zeros where the cost does not depend on a parameter, and none for a class that has no parameters."""
    if not cost.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    return dict(zip(leaves, torch.autograd.grad(cost, list(leaves.values()), materialize_grads=True), strict=True))


def _hessian(make: Maker, parameters: Parameters) -> dict[tuple[str, str], Tensor]:
    """By pairs of names, the second derivative of the cost along a direction of each."""
    leaves = {k: v.detach().clone().requires_grad_() for k, v in parameters.items()}
    tensors = list(leaves.values())
    gradients = torch.autograd.grad(_cost(make)(leaves), tensors, create_graph=True, materialize_grads=True)
    hessian = {}
    for a, gradient in zip(leaves, gradients, strict=True):
        assert gradient.requires_grad, f"the gradient to {a} does not differentiate again"
        slope = (gradient * _direction(gradient)).sum()
        row = torch.autograd.grad(slope, tensors, retain_graph=True, materialize_grads=True)
        hessian |= {(a, b): (entry * _direction(entry)).sum() for b, entry in zip(leaves, row, strict=True)}
    return hessian


def _direction(value: Tensor) -> Tensor:
    """A tangent whose entries differ (one shift of all logits moves nothing), symmetric where the parameter may be."""
    direction = 1 + torch.arange(value.numel()).to(value).view(value.shape) / max(value.numel(), 1)
    square = value.dim() >= 2 and value.shape[-1] == value.shape[-2]
    return (direction + direction.mT) / 2 if square else direction


def _stacked(parameters: Parameters) -> dict[str, Tensor]:
    return {name: torch.stack([value] * _BATCH) for name, value in parameters.items()}


def _vmapped(make: Maker, parameters: Parameters, randomness: str) -> Tensor:
    def one(_index: Tensor, values: dict[str, Tensor]) -> Tensor:
        return rsample(make(**values), (2,))

    return torch.vmap(one, randomness=randomness)(torch.arange(_BATCH), _stacked(parameters))


def _finite_gradients(gradients: Parameters, under: str, *, zero: bool = False) -> None:
    for name, gradient in gradients.items():
        assert bool(torch.isfinite(gradient).all()), f"{under}: the gradient to {name} is not finite: {gradient}"
        assert zero or bool((gradient != 0).any()), f"{under}: the gradient to {name} is zero"


def _same_gradients(gradients: Parameters, expected: Parameters, under: str) -> None:
    _finite_gradients(expected, "backward")
    for name, wanted in expected.items():
        torch.testing.assert_close(
            gradients[name], wanted, msg=lambda m, k=name: f"{under}: the gradient to {k} is not backward's. {m}"
        )


def _compiled(make: Maker, parameters: Parameters, backend: str, *, dynamic: bool, batches: tuple[int, ...]) -> None:
    if not _compiles_alike(make, parameters, None, backend, dynamic=dynamic, batches=batches):
        # The compiler has a random stream of its own, or a sampler takes another way in it: Philox is the same for all.
        alike = _compiles_alike(make, parameters, _PHILOX, backend, dynamic=dynamic, batches=batches)
        assert alike, "compiled: the sample at Philox noise is not the eager one"


def _compiles_alike(
    make: Maker, parameters: Parameters, noise: Noise, backend: str, *, dynamic: bool, batches: tuple[int, ...]
) -> bool:
    """Whether compiled samples are the eager ones; gradients equal then, and in any case finite and not zero."""

    def draw(values: dict[str, Tensor]) -> Tensor:
        return rsample(make(**values), noise=noise)

    torch.compiler.reset()
    alike = True
    with _torch_validation(False):  # as torch's compiler does: it cannot trace the checks of torch's own constructors
        compiled = torch.compile(draw, fullgraph=True, backend=backend, dynamic=dynamic)
        for batch in batches:
            stacked = {k: v.detach().expand(batch, *v.shape) for k, v in parameters.items()}
            (x, expected), (y, gradients) = (_from_seed(call, stacked) for call in (draw, compiled))
            assert x.shape == y.shape, f"compiled: shape {tuple(y.shape)}, expected {tuple(x.shape)}"
            assert x.dtype == y.dtype, f"compiled: dtype {y.dtype}, expected {x.dtype}"
            assert bool(torch.isfinite(y).all()), f"compiled: the sample is {y}"
            _finite_gradients(gradients, "compiled")
            if torch.allclose(x, y):
                _same_gradients(gradients, expected, "compiled")
            else:
                alike = False
    return alike


def _from_seed(draw: Callable[[dict[str, Tensor]], Tensor], parameters: Parameters) -> tuple[Tensor, dict[str, Tensor]]:
    leaves = {k: v.clone().requires_grad_() for k, v in parameters.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        x = draw(leaves)
    return x.detach(), _gradients(_curved(x).sum(), leaves)


def _half(make: Maker, parameters: Parameters, dtype: torch.dtype) -> None:
    leaves = {k: v.to(dtype).requires_grad_() for k, v in parameters.items()}
    x = _fixed(make, leaves, draws=_DRAWS)
    assert x.dtype == dtype, f"the sample of {dtype} parameters is {x.dtype}"
    _finite_gradients(_gradients(_curved(x.float()).sum(), leaves), str(dtype))
    # A unit vector rounded to half precision is none in float32.
    dist = make(**{k: v.detach().float() for k, v in leaves.items()}, validate_args=False)
    wide = rsample(dist, (_DRAWS,), noise=_seeded())
    roundings = _PARTS_ROUND if wrapped(dist) else 1
    error = (x.detach().float() - wide).abs()
    rounding = roundings * (1.01 * wide.abs() * torch.finfo(dtype).eps / 2 + torch.finfo(dtype).tiny)
    assert bool((error <= rounding).all()), f"{x} is not {wide} rounded once"


def _unchecked(make: Maker, bad: Parameters) -> None:
    with contextlib.suppress(torch.linalg.LinAlgError):
        rsample(make(**bad, validate_args=False))


def _constrained(dist: Distribution) -> set[str]:
    """The names of the parameters that a constraint of the distribution or of one of its parts checks."""
    names = set(dist.arg_constraints)
    return names.union(*(_constrained(part) for part in wrapped(dist)))


@contextlib.contextmanager
def _torch_validation(value: bool) -> Iterator[None]:
    """Torch's process-wide switch at `value`, and back where it was: compiling anything turns it off."""
    before = Distribution._validate_args
    try:
        Distribution.set_default_validate_args(value)
        yield
    finally:
        Distribution.set_default_validate_args(before)
