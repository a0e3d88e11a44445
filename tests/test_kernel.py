"""The fused time loop against the plain one: every law, precision, shape, stride and gradient; what it refuses."""

import copy
import gc
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from ipnet import fused, kernel, vector_math
from ipnet.device import Device, card_names, load_device
from ipnet.errors import IPNetError
from ipnet.kernel_source import write_source
from ipnet.neuron import Neuron
from ipnet.surrogate import cloglog, uniform
from ipnet.symbol import Graph, UnknownOperationError, evaluate, gradients

BIAS = {"operation": "bias", "V_bias": 0.2}
LAWS: dict[str, tuple[str, dict[str, object]]] = {
    **{card: (card, {}) for card in ("mtj-thermal", "leaky", "memristor-rnnet", "memoryless")},
    "bias": ("mtj-thermal", BIAS),
    "AP": ("mtj-thermal", {"rest_state": "AP"}),
    "two poles": ("mtj-nyu", {}),
    "varied": ("mtj-thermal", {"variation": "card"}),
}
LARGE = "mtj-uta", "mtj-minnesota"  # the same law with many quadrature nodes, which take long to compile


def inputs(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1.6 * drawn - 0.3).to(dtype)


def neuron(law: str, channels: int, backend: str, **options: object) -> Neuron:
    card, changes = LAWS.get(law, (law, {}))
    return Neuron(load_device(card, **changes), channels, backend=backend, **options)


def results(
    law: str,
    x: torch.Tensor,
    backend: str,
    wanted: tuple[bool, bool, bool] = (True, True, True),
    place: str = "cpu",
    **options: object,
) -> list[torch.Tensor | None]:
    """y, last state, and the gradients of x, gain and first state of a random weighting of both."""
    cell = neuron(law, x.shape[2], backend, **options).to(place)
    cell.log_gain.requires_grad_(wanted[1])
    with torch.no_grad():
        cell.log_gain.copy_(torch.linspace(-0.3, 0.3, x.shape[2]))
    x = x.detach().to(place).requires_grad_(wanted[0])
    size = (cell.devices, *x.shape[1:])
    scale = [1e-3 if "[V]" not in name else 0.1 for name in cell.device.state_names]
    scale = [
        1e-6 if "[S]" in name else 10.0 if "[K]" in name else s
        for name, s in zip(cell.device.state_names, scale, strict=True)
    ]
    first = [(s * inputs(*size, dtype=x.dtype, seed=5).abs()).to(place).requires_grad_(wanted[2]) for s in scale]
    y, last = cell(x, tuple(first))
    loss = (y * inputs(*y.shape, dtype=x.dtype, seed=1).to(place)).sum()
    for part, s in zip(last, scale, strict=True):
        loss = loss + (part * inputs(*part.shape, dtype=x.dtype, seed=2).to(place)).sum() / s
    if loss.requires_grad:
        loss.backward()
    found = [y, *last, x.grad, cell.log_gain.grad, *(part.grad for part in first)]
    return [part if part is None else part.detach().cpu() for part in found]


def compare(law: str, x: torch.Tensor, tolerance: float, place: str = "cpu", **options: object) -> None:
    fused = results(law, x, "fused", place=place, **options)
    pairs = zip(fused, results(law, x, "reference", **options), strict=True)
    for number, (a, b) in enumerate(pairs):
        assert (a is None) == (b is None), number
        if a is not None and b is not None:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert bool(a.isfinite().all())
            assert float((a - b).norm()) <= tolerance * float(b.norm()), (law, number)


@pytest.mark.parametrize("law", LAWS)
def test_double_precision_is_exact(law: str) -> None:
    compare(law, inputs(6, 2, 3, 5, 9), 1e-7 if law == "memoryless" else 1e-10)


@pytest.mark.parametrize("law", ["mtj-thermal", "leaky", "memristor-rnnet", "memoryless"])
def test_single_precision(law: str) -> None:
    compare(law, inputs(6, 2, 3, 5, 9, dtype=torch.float32), 1e-5)


def test_every_shipped_card_is_covered() -> None:
    assert {card for card, _ in LAWS.values()} | set(LARGE) == set(card_names())


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 2, 3), (5, 1, 2, 129), (3, 2, 1, 16, 16), (2, 0, 3, 4), (4, 3, 200)]
)
def test_shapes(shape: tuple[int, ...]) -> None:
    compare("mtj-thermal", inputs(*shape), 1e-10)


@pytest.mark.parametrize("law", ["mtj-thermal", "two poles", "leaky", "memoryless"])
@pytest.mark.parametrize("steps", [16, 37])
def test_several_segments_and_strips(law: str, steps: int) -> None:
    compare(law, inputs(steps, 1, 2, 1171), 1e-7 if law == "memoryless" else 1e-10)


@pytest.mark.parametrize(
    "wanted", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]
)
def test_any_gradient_may_be_wanted(wanted: tuple[bool, bool, bool]) -> None:
    compare("mtj-thermal", inputs(4, 2, 3, 7), 1e-10, wanted=wanted)


LAYOUTS = {
    "transposed": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels last": lambda x: x.movedim(2, -1).contiguous().movedim(-1, 2),
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "expanded": lambda x: x[:, :1].expand_as(x),
    "flipped": lambda x: x.flip(0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_stride(layout: str) -> None:
    x = LAYOUTS[layout](inputs(4, 2, 3, 5, 6))
    fused, plain = (
        neuron("mtj-thermal", 3, backend)(part)[0] for backend, part in (("fused", x), ("reference", x.clone()))
    )
    assert float((fused - plain).detach().abs().max()) < 1e-10


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(1, 4), st.integers(1, 150)),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_any_shape_and_cut(shape: tuple[int, ...], cut: int, seed: int) -> None:
    x, cell = inputs(*shape, seed=seed), neuron("leaky", shape[2], "fused")
    whole, (end,) = cell(x)
    first, state = cell(x[:cut])
    parts = [first]
    if cut < len(x):
        second, state = cell(x[cut:], state)
        parts.append(second)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(state[0], end)
    assert torch.allclose(whole, neuron("leaky", shape[2], "reference")(x)[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("law", LAWS)
def test_gradients_are_those_of_finite_differences(law: str) -> None:
    cell = neuron(law, 2, "fused")
    cell.double()
    cell.device.double()
    x = (0.9 * inputs(3, 1, 2, 2).abs()).requires_grad_()
    state = cell.device.rest(x.detach()[0].unsqueeze(0))
    scale = 1e6 if law == "memristor-rnnet" else 1.0  # siemens are small numbers

    def run(x: torch.Tensor, log_gain: torch.Tensor, *first: torch.Tensor) -> tuple[torch.Tensor, ...]:
        gain = cell.device.gain * torch.exp(log_gain)
        stacked = torch.stack(first) / scale if first else x.new_empty(0, 1, *x.shape[1:])
        y, last = fused.run_fused(
            fused.number_of(cell.device), x, gain, stacked, torch.empty(0, dtype=torch.int64)
        )
        return y, scale * last

    first = [(part + 0.1).requires_grad_() for part in state]
    assert torch.autograd.gradcheck(run, (x, torch.zeros(2, dtype=torch.float64, requires_grad=True), *first))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("devices", [1, 3])
def test_samples_are_the_same_draws(dtype: torch.dtype, devices: int) -> None:
    x = inputs(6, 2, 3, 40, dtype=dtype)
    fused, plain = (
        neuron("mtj-thermal", 3, backend, emission="sample", devices=devices, seed=4)(x)[0]
        for backend in ("fused", "reference")
    )
    assert (
        float((fused != plain).double().mean()) < 1e-3
    )  # a draw may lie between two roundings of one probability
    assert 0.01 < float(fused.detach().mean()) < 0.99


def test_the_gradient_of_samples() -> None:
    compare("mtj-thermal", inputs(4, 2, 3, 40), 1e-10, emission="sample", devices=2, seed=1)


def test_uniform_numbers() -> None:
    for dtype, compiled, bits in (
        (torch.float32, vector_math.uniform_32, 24),
        (torch.float64, vector_math.uniform_64, 53),
    ):
        key = -1234567890123456789
        drawn = uniform(key, torch.empty(3, 50_000, dtype=dtype))
        assert float(drawn.min()) >= 0
        assert float(drawn.max()) < 1
        assert abs(float(drawn.double().mean()) - 0.5) < 5 / (12 * drawn.numel()) ** 0.5
        assert drawn.unique().numel() > 0.98 * min(drawn.numel(), 2**bits)
        assert [float(compiled(key & (2**64 - 1), i)) for i in range(5)] == drawn.view(-1)[:5].tolist()


@pytest.mark.parametrize("backend", ["fused", "reference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(backend: str, value: float) -> None:
    x = inputs(4, 2, 3, 60)
    x[2, 1, 2, 59] = value
    with pytest.raises(IPNetError, match=r"pre-activations must be finite; 1 of 1440 are not, the first is"):
        neuron("mtj-thermal", 3, backend)(x)
    cell = neuron("mtj-thermal", 3, backend)
    with torch.no_grad():
        cell.log_gain[1] = value if value != -float("inf") else float("nan")
    with pytest.raises(IPNetError, match=r"gains must be finite; 1 of 3 are not"):
        cell(inputs(4, 2, 3, 60))


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(IPNetError, match=r"of torch.int64: arrange it so, in floating point"):
        neuron("leaky", 3, "fused")(torch.ones(4, 2, 3, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(3, 4), (0, 2, 3), (4, 2, 1, 5), (4, 2, 6)])
def test_bad_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(IPNetError, match=r"3 channels takes x \[T, B, 3, \.\.\.\] with T >= 1; got the shape \["):
        neuron("leaky", 3, "fused")(torch.zeros(shape))


@pytest.mark.parametrize("backend", ["fused", "reference"])
@pytest.mark.parametrize("shapes", [[], [(1, 4, 3, 5)], [(1, 2, 3)], [(2, 2, 3, 5)], [(1, 2, 3, 5)] * 2])
def test_a_state_of_another_run_is_refused(backend: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(IPNetError, match=r"must hold 1 tensors \[1, 2, 3, 5\] .* got \["):
        neuron("leaky", 3, backend)(torch.zeros(4, 2, 3, 5), tuple(map(torch.zeros, shapes)))


def test_arguments_are_left_alone() -> None:
    x, state = inputs(4, 2, 3, 8), (torch.full((1, 2, 3, 8), 5.0, dtype=torch.float64),)
    before = x.clone(), state[0].clone(), torch.get_rng_state()
    neuron("mtj-thermal", 3, "fused")(x, state)
    assert torch.equal(x, before[0])
    assert torch.equal(state[0], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_half_precision_is_computed_in_single() -> None:
    x = inputs(4, 2, 3, 8, dtype=torch.float32).bfloat16()
    y = neuron("mtj-thermal", 3, "fused")(x)[0]
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, neuron("mtj-thermal", 3, "fused")(x.float())[0].bfloat16())


def test_a_replaced_value_is_seen() -> None:
    cell, x = neuron("mtj-thermal", 3, "fused"), inputs(3, 1, 3, 8)
    before = cell(x)[0]
    cell.device.register_buffer("V_c0", cell.device.V_c0 * 1.01, persistent=False)
    replaced = cell(x)[0]
    assert not torch.allclose(before, replaced, rtol=1e-3)
    cell.device.V_c0.mul_(1.01)
    assert not torch.allclose(cell(x)[0], replaced, rtol=1e-3)
    cell.backend = "reference"
    plain = cell(x)[0]
    cell.backend = "fused"
    assert torch.allclose(cell(x)[0], plain, rtol=1e-10)


def test_a_state_that_is_not_a_number_stays_so() -> None:
    for backend in ("fused", "reference"):
        y, (end,) = neuron("leaky", 3, backend)(inputs(2, 1, 3, 8), (torch.full((1, 1, 3, 8), math.nan).double(),))
        assert bool(y.isnan().all())
        assert bool(end.isnan().all())


def test_what_is_drawn_for_inference_serves_to_train() -> None:
    for backend in ("fused", "reference"):
        cell, x = neuron("varied", 3, backend), inputs(2, 1, 3, 8)
        with torch.inference_mode():
            cell(x)
        cell(x)[0].sum().backward()
        assert bool(cell.log_gain.grad.isfinite().all())
        assert neuron("varied", 3, backend)(x[:, :0])[0].shape == (2, 0, 3, 8)


def test_a_copy_and_a_neuron_that_is_gone() -> None:
    x = inputs(3, 1, 3, 8).requires_grad_()
    twin = copy.deepcopy(neuron("mtj-thermal", 3, "fused"))
    y = twin(x)[0]
    del twin
    gc.collect()
    y.sum().backward()
    assert bool((x.grad != 0).any())


@pytest.mark.parametrize("emission", ["expectation", "sample"])
def test_threads_do_not_matter(emission: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_WORTH_A_THREAD", 1)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(results("mtj-thermal", inputs(19, 3, 2, 600), "fused", emission=emission))
    for one, three in zip(*found, strict=True):
        assert torch.allclose(one, three, rtol=1e-13)


def test_a_state_and_its_gradient_of_any_stride() -> None:
    x, weights = inputs(4, 2, 3, 5), inputs(3, 5, 2, 1, seed=1).permute(3, 2, 0, 1)
    found = []
    for backend in ("fused", "reference"):
        rise = (10 * inputs(3, 5, 2, 1, seed=2).abs()).requires_grad_()
        _, (last,) = neuron("mtj-thermal", 3, backend)(x, (rise.permute(3, 2, 0, 1),))
        (last * weights).sum().backward()
        found.append((last.detach(), rise.grad))
    for one, plain in zip(*found, strict=True):
        assert torch.allclose(one, plain, rtol=1e-10)


def test_activation_checkpointing() -> None:
    x, grads = inputs(4, 2, 3, 5), []
    cell = neuron("mtj-thermal", 3, "fused")
    for call in (cell, partial(checkpoint, cell, use_reentrant=False)):
        u = x.clone().requires_grad_()
        call(u)[0].sum().backward()
        grads.append(u.grad)
    assert torch.equal(*grads)


def test_torch_compile_takes_it_whole() -> None:
    x = inputs(4, 2, 3, 60, dtype=torch.float32)
    grads = []
    for compiled in (False, True):
        cell = neuron("mtj-thermal", 3, "fused")
        call = torch.compile(cell, backend="aot_eager", fullgraph=True) if compiled else cell
        y, (rise,) = call(x)
        (y.sum() + rise.sum()).backward()
        grads.append((y.detach(), rise.detach(), cell.log_gain.grad))
    for plain, through in zip(*grads, strict=True):
        assert torch.equal(plain, through)


class Odd(Device):
    """A law with an operation that no kernel has."""

    def cycle(self, V, state, emit):  # type: ignore[no-untyped-def]
        return emit(cloglog(torch.tanh(V))), state


def test_an_unknown_operation_falls_back() -> None:
    odd = load_device("memoryless")
    odd.__class__ = Odd
    with pytest.raises(UnknownOperationError, match=r"'tanh' is not known; known: add, "):
        write_source(odd, (1, 1, 1), torch.float32, sample=False)
    y = Neuron(odd, 3)(inputs(2, 4, 3, 200))[0]
    assert bool((y > 0).all())
    with pytest.raises(IPNetError, match=r"card 'memoryless' on 'cpu': use backend = 'auto'"):
        Neuron(odd, 3, backend="fused")(inputs(2, 4, 3, 200))


def test_small_steps_are_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, run = [], fused.run_fused
    monkeypatch.setattr("ipnet.neuron.run_fused", lambda *a: taken.append(1) or run(*a))
    neuron("leaky", 4, "auto")(inputs(2, 1, 4, 255))
    assert not taken
    neuron("leaky", 4, "auto")(inputs(2, 1, 4, 256))
    assert taken


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = (
        "import torch; from ipnet.device import load_device; from ipnet.neuron import Neuron;"
        "print(Neuron(load_device('memoryless'), 2, backend='fused')(torch.ones(1, 1, 2))[0].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"IPNET_CACHE": str(blocked / "below"), "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "torch.Size([1, 1, 2])\n", done.stderr


def test_compiles_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = numba.njit

    def njit(*arguments: object, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(*arguments, **options)

    monkeypatch.setattr(vector_math.numba, "njit", njit)
    assert vector_math.compiled()(lambda x: x + 1.0)(1.0) == 2.0


OPERATIONS = {
    "exp": lambda a, b: torch.exp(a * b),
    "expm1": lambda a, b: torch.expm1(-a) + b,
    "log": lambda a, b: torch.log(2 * a) * torch.log(torch.exp(b)),
    "log1p": lambda a, b: torch.log1p(a) / b,
    "pow": lambda a, b: a**1.7 + b**3 - a**2 + b**0.5 - a**0 + 2 ** (-b),
    "power of a negative number": lambda a, b: (a - 2) ** 4 + (b - 3) ** -3 + (a - 2) ** -1,
    "power of zero": lambda a, b: (a - a.clamp(min=1e-9)) ** 1.5 + b,
    "clamp": lambda a, b: (a - b).clamp(-0.2, 0.1) + (a * b).clamp(max=torch.tensor(0.3)),
    "choose": lambda a, b: torch.minimum(a, b) + torch.maximum(a, 2 * b) + a.minimum(torch.tensor(0.5)),
    "where": lambda a, b: torch.where(torch.ones(()) > 0, a * b, a) - torch.where(torch.ones(()) < 0, a, b),
    "stack": lambda a, b: torch.logsumexp(torch.stack([a, b, a * b]), 0),
    "minus": lambda a, b: -(a - b) - (-a) * (-b) + 1 - (2 - a) + a.square() - -b + (0.0 + a) * 1.0,
    "over": lambda a, b: 1 / (a / (b / (1 + a))) - 3 / (2 * b) + torch.sqrt(a + b) / 7,
    "cloglog": lambda a, b: cloglog(3 * a - 2 * b),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_symbols_and_their_derivatives(name: str) -> None:
    """A recorded law, evaluated with torch, is the law; its derivative is torch's."""
    graph = Graph((3,), torch.float64)
    symbols = graph.given("a"), graph.given("b")
    result = graph.constant(OPERATIONS[name](*symbols))
    d_a, d_b = gradients([result], [graph.given("g")], symbols)
    a, b = (inputs(3, seed=i).abs().add(0.1).requires_grad_() for i in (1, 2))
    g = inputs(3, seed=3)
    expected = OPERATIONS[name](a, b)
    expected.backward(g)
    values = {graph.given("a"): a.detach(), graph.given("b"): b.detach(), graph.given("g"): g}
    for symbol, truth in ((result, expected), (d_a, a.grad), (d_b, b.grad)):
        assert torch.allclose(evaluate(symbol, values), truth.detach(), rtol=1e-12), name


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("exp", -80, 80),
        ("expm1", -5, 5),
        ("expm1", -1e-3, 1e-3),
        ("log", 1e-6, 1e6),
        ("log1p", -0.5, 4),
        ("log1p", 0, 1e-3),
    ],
)
def test_elementary_functions(name: str, low: float, high: float, bits: int) -> None:
    real = np.float32 if bits == 32 else np.float64
    x = np.random.default_rng(0).uniform(low, high, 2000).astype(real)
    exact = getattr(np, name)(x.astype(np.longdouble))
    found = np.array([getattr(vector_math, f"{name}_{bits}")(value) for value in x], real)
    assert float(np.abs(found / exact - 1).max()) < 2 * np.finfo(real).eps


@pytest.mark.parametrize("bits", [32, 64])
def test_elementary_functions_at_their_ends(bits: int) -> None:
    real = np.float32 if bits == 32 else np.float64
    exp, expm1, log = (getattr(vector_math, f"{name}_{bits}") for name in ("exp", "expm1", "log"))
    assert 0 < exp(real(-1e4)) < 1.3e-38
    assert 1e38 < exp(real(1e4)) < math.inf
    assert expm1(real(-1e4)) == -1
    assert expm1(real(0)) == 0
    assert log(real(0)) == -math.inf
    assert math.isnan(log(real(-1)))
