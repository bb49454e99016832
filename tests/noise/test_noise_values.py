"""Noise as a value: immutable, hashed, pickled, copied, shared by threads and processes; and under transforms."""

import concurrent.futures
import copy
import dataclasses
import multiprocessing
import pickle
import threading

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import reparam as rp
from reparam.noise import Antithetic, BoundNoise, NoiseValue, Philox, Sobol, TorchStream, as_source

CPU = torch.device("cpu")
SHAPE = torch.Size((8,))
ORIGIN = torch.zeros(())
INDEXED = Philox(1).at(torch.tensor(2), index=torch.arange(8))
VALUES = [
    Philox(1),
    Philox(1).at(2, index=3, variable=4),
    INDEXED,
    Sobol(1),
    Sobol(1).at(torch.tensor(2)),
    Sobol(scramble=False),
    Antithetic(Philox(1)),
    Antithetic(Sobol(1)),
]


def draw(noise, loc=ORIGIN, dtype=torch.float32):
    return rp.rsample(torch.distributions.Normal(loc.expand(3), torch.ones(3, dtype=dtype)), SHAPE, noise=noise)


@pytest.mark.parametrize("noise", VALUES, ids=repr)
def test_copies_are_equal_and_draw_the_same(noise):
    for twin in (pickle.loads(pickle.dumps(noise)), copy.deepcopy(noise), copy.copy(noise)):
        assert twin == noise
        assert hash(twin) == hash(noise)
        assert torch.equal(draw(twin), draw(noise))
    assert isinstance(noise, NoiseValue)


def test_values_are_told_apart():
    assert len(set(VALUES)) == len(VALUES)
    assert all((a == b) == (a is b) for a in VALUES for b in VALUES)
    assert Philox(1) != Philox(1).at(torch.tensor(0))
    assert Philox(1) != Sobol(1)
    assert Sobol(1) != Philox(1)


@pytest.mark.parametrize("noise", VALUES, ids=repr)
def test_values_are_immutable(noise):
    for field in dataclasses.fields(noise):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(noise, field.name, 0)


@pytest.mark.parametrize("noise", VALUES, ids=repr)
def test_threads_share_a_value(noise):
    expected, gate = draw(noise), threading.Barrier(4)

    def work(_):
        gate.wait()
        return [torch.equal(draw(noise), expected) for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(all(same) for same in pool.map(work, range(4)))


def _child(noise, queue):
    torch.set_num_threads(1)
    queue.put(draw(noise).tolist())


@pytest.mark.parametrize("noise", [Philox(1).at(5), Sobol(1), Antithetic(Philox(1))], ids=repr)
def test_a_forked_process_draws_the_same(noise):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(noise, queue))
    child.start()
    received = queue.get()
    child.join()
    assert torch.equal(torch.tensor(received), draw(noise))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("noise", VALUES, ids=repr)
def test_draws_keep_the_dtype_and_reach_the_parameters(noise, dtype):
    loc = torch.zeros((), dtype=dtype, requires_grad=True)
    x = draw(noise, loc, dtype)
    assert x.dtype == dtype
    assert torch.autograd.grad(x.sum(), loc)[0].item() == x.numel()


@pytest.mark.parametrize("noise", VALUES, ids=repr)
@pytest.mark.parametrize("randomness", ["same", "different", "error"])
def test_vmap_gives_a_value_to_every_batch_element(noise, randomness):
    locs = torch.tensor([0.0, 5.0])
    batched = torch.func.vmap(lambda m: draw(noise, m), randomness=randomness)(locs)
    assert torch.equal(batched, torch.stack([draw(noise, m) for m in locs]))


@pytest.mark.parametrize("make", [Philox(1).at, Sobol(1).at, lambda s: Antithetic(Philox(1).at(s))])
def test_vmap_over_steps(make):
    steps = torch.arange(4)
    batched = torch.func.vmap(lambda s: draw(make(s)))(steps)
    assert torch.equal(batched, torch.stack([draw(make(s)) for s in steps]))


@pytest.mark.parametrize("noise", [Sobol(), Antithetic()], ids=repr)
def test_noise_from_torchs_generator_obeys_the_mode_of_vmap(noise):
    def rows(randomness):
        return torch.func.vmap(lambda m: draw(noise, m), randomness=randomness)(torch.zeros(2))

    assert torch.equal(*rows("same"))
    assert not torch.equal(*rows("different"))
    with pytest.raises(RuntimeError, match="randomness error mode"):
        rows("error")


# torch's own forward-mode rules are written in torch.jit, which warns of its retirement when they are first loaded.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("noise", [*VALUES, Sobol(), Antithetic()], ids=repr)
def test_grad_jvp_and_second_derivatives_see_a_constant(noise):
    def f(m):
        torch.manual_seed(0)
        return (draw(noise, m) ** 2).sum()

    m = torch.tensor(0.3)
    slope = torch.func.grad(f)(m)
    torch.testing.assert_close(slope, torch.func.jvp(f, (m,), (torch.ones(()),))[1])
    torch.manual_seed(0)
    torch.testing.assert_close(slope, 2 * draw(noise, m).sum())
    torch.testing.assert_close(torch.func.grad(torch.func.grad(f))(m), torch.tensor(48.0))


def check_compiled(noise, dynamic, backend, exact):
    torch._dynamo.reset()

    def f(loc, n):
        dist = torch.distributions.Normal(loc, torch.ones(3), validate_args=False)
        return rp.rsample(dist, (n,), noise=noise)

    compiled = torch.compile(f, fullgraph=True, dynamic=dynamic, backend=backend)
    for n in (8, 16, 12) if dynamic and noise != INDEXED else (8, 8):
        loc = torch.randn(3, requires_grad=True)
        got, expected = compiled(loc, n), f(loc, n)
        torch.testing.assert_close(got, expected, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)
        got.sum().backward()
        assert loc.grad is not None
        assert torch.equal(loc.grad, torch.full((3,), float(n)))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("noise", VALUES, ids=repr)
def test_compiled_draws_are_the_same(noise, dynamic):
    check_compiled(noise, dynamic, "aot_eager", exact=True)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the compiler's own imports
@pytest.mark.parametrize("noise", [VALUES[1], VALUES[4], VALUES[6]], ids=repr)
def test_the_real_compiler_draws_the_same_up_to_rounding(noise):
    check_compiled(noise, False, "inductor", exact=False)


@pytest.mark.parametrize("make", [Philox(1).at, Sobol(1).at, lambda s: Antithetic(Philox(1).at(s))])
def test_a_tensor_step_compiles_once(make):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda step: draw(make(step)), fullgraph=True, backend=counter)
    for step in range(4):
        assert torch.equal(compiled(torch.tensor(step)), draw(make(step)))
    assert counter.frame_count == 1


def test_rules_are_told_whether_the_stream_is_torchs():
    like, generator = torch.zeros(3), torch.Generator()
    for noise in (None, generator):
        bound = BoundNoise(as_source(noise, SHAPE), SHAPE, SHAPE, like)
        assert bound.is_torch_stream
        assert bound.generator is noise
    for noise in (torch.zeros(8), Philox(1), Sobol(1), Antithetic()):
        bound = BoundNoise(as_source(noise, SHAPE), SHAPE, SHAPE, like)
        assert not bound.is_torch_stream
        with pytest.raises(rp.InvalidArgument, match="Generator alone can feed") as caught:
            _ = bound.generator
        assert "noise = " in caught.value.received


def test_a_bound_source_goes_on_where_it_stopped():
    source = as_source(Philox(1), SHAPE)
    a, b = draw(source), draw(source)
    assert not (a == b).any()
    assert torch.equal(a, draw(Philox(1)))


def test_what_is_no_noise_is_refused():
    with pytest.raises(rp.InvalidArgument, match="noise must be"):
        as_source(3)  # pyright: ignore[reportArgumentType]
    assert isinstance(as_source(None), TorchStream)
