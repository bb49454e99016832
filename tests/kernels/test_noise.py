"""The Philox kernels against the stream's definition in torch operations: the same words, whatever runs them."""

from __future__ import annotations

import os
import select
import signal

import pytest
import torch

import reparam as rp
from instruction_sets import INSTRUCTION_SETS, instruction_set, needs_kernels
from reparam.kernels import noise as kernels
from reparam.kernels.noise import Place, philox_noise
from reparam.noise import Philox, as_source, philox
from reparam.noise.quantile import QuantileStream

pytestmark = needs_kernels
CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float64]
SHAPES = [(), (1,), (7,), (5000,), (2500, 2), (33, 3), (9, 70), (4, 1001), (2, 3, 700), (0, 3), (3, 0)]


def by_kernel(noise, law, shape, dtype):
    return getattr(as_source(noise), law)(shape, dtype, CPU)


def by_definition(noise, law, shape, dtype):
    return getattr(QuantileStream, law)(as_source(noise), shape, dtype, CPU)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_every_instruction_set_finds_the_same_words(name, shape, dtype):
    rows = torch.randint(1 << 32, shape[:1])
    # The second row number passes 2**32 on the way.
    for noise in (Philox(7), Philox((1 << 63) + 5, index=(1 << 32) - 2, variable=9).at(1 << 31), Philox(1, index=rows)):
        with instruction_set(name):
            assert torch.equal(by_kernel(noise, "uniform", shape, dtype), by_definition(noise, "uniform", shape, dtype))
            for law in ("normal", "exponential"):
                drawn = by_kernel(noise, law, shape, dtype)
                exact = by_definition(noise, law, shape, torch.float64) if dtype == torch.float64 else None
                wide = exact if exact is not None else by_definition(noise, law, shape, dtype)
                eps = torch.finfo(dtype).eps
                torch.testing.assert_close(drawn, wide, rtol=8 * eps, atol=eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_noise_is_accurate_out_to_the_last_cell(dtype):
    """Against mpmath, at the words that give each depth of either tail."""
    import mpmath

    z = by_kernel(Philox(3), "normal", (4000,), dtype)
    width = 53 if dtype == torch.float64 else 32
    cells = as_source(Philox(3)).cells((4000,), width, CPU)
    order = cells.argsort()
    picked = torch.cat([order[:60], order[-60:], order[1970:2030]])
    with mpmath.workdps(40):
        exact = [mpmath.sqrt(2) * mpmath.erfinv((2 * mpmath.mpf(c) + 1) / 2**width - 1) for c in cells[picked].tolist()]
    exact = torch.tensor([float(x) for x in exact], dtype=torch.float64)
    assert ((z[picked].double() - exact).abs() / exact.abs()).max() < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    before = torch.get_num_threads()
    alone = [by_kernel(Philox(2), law, (100, 333), torch.float32) for law in kernels.LAWS]
    try:
        torch.set_num_threads(threads)
        together = [by_kernel(Philox(2), law, (100, 333), torch.float32) for law in kernels.LAWS]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_of_fork_draws_the_same():
    """OpenMP's threads do not survive the fork; the child must neither hang nor differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = by_kernel(Philox(2), "normal", (50_000,), torch.float64).numpy().tobytes()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            # Nothing of torch's own that runs in threads: it would hang here.
            there = by_kernel(Philox(2), "normal", (50_000,), torch.float64).numpy().tobytes()
            os.write(writing, b"same" if here == there else b"other")
            os._exit(0)
        answered = select.select([reading], [], [], 30)[0]
        if not answered:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert answered, "the child hangs"
        assert os.read(reading, 5) == b"same"
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def small_draws_too(monkeypatch):
    monkeypatch.setattr(philox, "_WORTH_MAKING_ANEW", 0)


@pytest.mark.usefixtures("small_draws_too")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fused_normal_is_its_composition(dtype):
    loc, scale = torch.randn(3, 1, dtype=dtype), torch.rand(500, dtype=dtype)
    shape = (4, 3, 500)
    z = as_source(Philox(5)).scaled_normal(loc, scale, shape)
    assert torch.equal(z, loc + by_kernel(Philox(5), "normal", shape, dtype) * scale)


@pytest.mark.usefixtures("small_draws_too")
def test_the_fused_normal_saves_nothing_and_differentiates_to_any_order():
    loc = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    scale = torch.rand(5, dtype=torch.float64, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        z = rp.rsample(torch.distributions.Normal(loc, scale), (7,), noise=Philox(5))
    assert not saved

    def draw(loc, scale):
        return as_source(Philox(5)).scaled_normal(loc, scale, (7, 3, 5)) ** 2

    assert torch.autograd.gradcheck(draw, (loc, scale), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(draw, (loc, scale))
    eps = by_kernel(Philox(5), "normal", (7, 3, 5), torch.float64)
    slopes = torch.autograd.grad((z * z).sum(), (loc, scale))
    expected = torch.autograd.grad(((loc + eps * scale) ** 2).sum(), (loc, scale))
    torch.testing.assert_close(slopes, expected)


@pytest.mark.parametrize("least", [0, 5])
def test_backward_makes_the_noise_of_its_forward_pass(least, monkeypatch):
    """A step or an index that moves on in place, as in a training loop, changes no gradient of the step before."""
    monkeypatch.setattr(philox, "_WORTH_MAKING_ANEW", least)
    step, index, scale = torch.tensor(3), torch.arange(4), torch.ones(4, requires_grad=True)
    z = rp.rsample(torch.distributions.Normal(0.0, scale), noise=Philox(5).at(step, index=index))
    step += 1
    index += 7
    z.sum().backward()
    assert torch.equal(scale.grad, z.detach())


@pytest.mark.usefixtures("small_draws_too")
def test_the_transforms_and_the_compiler_see_one_operation():
    def draw(loc, step):
        return rp.rsample(torch.distributions.Normal(loc, 2.0, validate_args=False), noise=Philox(5).at(step))

    loc, steps = torch.randn(4), torch.arange(3)
    alone = torch.stack([draw(loc, int(step)) for step in steps])
    assert torch.equal(torch.vmap(draw, in_dims=(None, 0))(loc, steps), alone)
    assert torch.equal(torch.vmap(draw, in_dims=(None, 0), randomness="same")(loc, steps), alone)
    assert torch.equal(torch.func.jvp(lambda v: draw(v, 1), (loc,), (torch.ones(4),))[1], torch.ones(4))
    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(loc, steps[1]), alone[1])
    assert torch.equal(compiled(loc, steps[2]), alone[2])


def test_the_operation_obeys_torchs_own_checks():
    seed, step, tag, index = [3, 4], torch.tensor(5), 6, torch.tensor(7)
    torch.library.opcheck(philox_noise, ("normal", [4, 3], torch.float32, seed, step, tag, index, CPU))
    drawn = philox_noise("normal", [4, 3], torch.float32, seed, step, tag, index, CPU)
    assert torch.equal(drawn, kernels.noise("normal", (4, 3), torch.float32, Place(3 | 4 << 32, 5, 6, 7)))
