"""The frontier: event by event it is the clocked layer, for every device, rate and cut of the stream."""

import copy
import itertools
import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.cards import shipped_cards
from ipnet.closed_form import ClosedForm
from ipnet.device import Emit, State, load_device
from ipnet.device.leaky import Leaky
from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events, make_events
from ipnet.frontier import Frontier
from ipnet.koenigs import Koenigs, Table
from ipnet.neuron import Neuron
from ipnet.recording import open_events

SENSOR = H, W = 5, 3
JUNCTIONS = [
    {"operation": operation, "rest_state": rest} | more
    for operation, rest, more in itertools.product(
        ("bias", "drive and probe"), ("P", "AP"), ({}, {"V_bias": 0.28, "gain": 0.02})
    )
]
LAWS = [("mtj-thermal", clock) for clock in JUNCTIONS] + [
    ("mtj-thermal", {"V_probe": 0.31}),  # so hot that the barrier is gone: the law has a kink
    ("mtj-thermal", {"t_cycle": 60e-6}),  # nothing survives a cycle
    ("mtj-nyu", {}),  # two thermal poles
    ("mtj-nyu", {"operation": "bias"}),
    ("mtj-nyu", {"t_cycle": 141e-9}),  # the fast pole is reset at the very end of a cycle
    ("mtj-nyu", {"t_cycle": 60e-6}),
    ("mtj-uta", {"rest_state": "AP"}),
    ("mtj-uta", {"operation": "bias", "V_bias": 0.2, "gain": 0.1}),
    ("mtj-minnesota", {}),
    ("mtj-minnesota", {"operation": "bias"}),
    ("leaky", {}),
    ("leaky", {"t_cycle": 1e-11}),  # almost everything does
    ("memristor-rnnet", {"V_bias": 0.2}),
    ("memoryless", {}),
]
RATES = [100, 1000, 29.97, 44100.0, Fraction(1000, 3), 1e6]


def neuron(card: str = "mtj-thermal", gains: Sequence[float] = (-0.2, 0.3), **clock: object) -> Neuron:
    layer = Neuron(load_device(card, **clock), len(gains), backend="reference")
    with torch.no_grad():
        layer.log_gain.copy_(torch.tensor(gains))
    return layer


def synthetic(count: int, duration: int, *, seed: int = 0, start: int = 12345) -> Events:
    """Events that are dense at first and rare at the end; some pixels have many and others none."""
    rng = np.random.default_rng(seed)
    pixels = (rng.random(count) ** 3 * H * W).astype(int)
    t = (rng.random(count) ** 3 * duration).astype(np.int64) + start
    return make_events(np.sort(t), pixels % W, pixels // W, rng.integers(0, 2, count))


def cycles_of(events: Events, rate: float | Fraction, start: int) -> list[int]:
    exact = Fraction(str(rate))
    return [int((t - start) * exact // 1_000_000) for t in events["t"].tolist()]


def clocked(
    layer: Neuron, events: Events, rate: float | Fraction, cycles: int, *, sensor: tuple[int, int] = SENSOR
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clocked layer on binned frames: emission [cycles, 2, H, W], states [variables, cycles + 1, 2, H, W]."""
    frames = torch.zeros(cycles, 2, *sensor, dtype=torch.float64)
    for c, (_, x, y, p) in zip(cycles_of(events, rate, int(events["t"][0])), events.tolist(), strict=True):
        frames[c, p, y, x] += 1
    emitted, states, state = [], [], layer.device.rest(frames[:1, None])
    with torch.no_grad():
        for frame in frames:
            states.append(state)
            y, state = layer(frame[None, None], state)
            emitted.append(y[0, 0])
    variables = [torch.cat(parts)[:, 0] for parts in zip(*states, state, strict=True)]
    return torch.stack(emitted), torch.stack(variables) if variables else torch.empty(0)


def check_maps(found: torch.Tensor, true: torch.Tensor, within: float = 1e-9) -> None:
    assert found.shape == true.shape
    assert float(((found - true).abs() / true.abs().clamp(min=1e-15)).max()) < within


def run(frontier: Frontier, *chunks: Events, every: int = 7) -> torch.Tensor:
    return torch.stack(list(frontier.maps(chunks, every)))


@pytest.mark.parametrize(("card", "clock"), LAWS)
def test_event_by_event_is_the_clocked_layer(card: str, clock: dict[str, object]) -> None:
    layer, events = neuron(card, **clock), synthetic(400, 120_000)
    y, states = clocked(layer, events, 1000, 121)
    frontier = Frontier(layer, SENSOR, 1000)
    maps = run(frontier, events[:150], events[150:])
    assert len(maps) == frontier.cycle // 7 > 12
    check_maps(maps, y[6::7][: len(maps)])
    for cycle in (frontier.cycle, frontier.cycle + 1, 120):
        check_maps(frontier.sample(cycle), y[cycle])
        state = frontier.state(cycle)
        assert len(state) == len(layer.device.state_names)
        for part, true in zip(state, states, strict=True):
            assert part.shape == (1, 1, 2, H, W)
            assert float((part - true[cycle]).abs().max()) <= 1e-9 * float(true.max())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("start", [3, 1_700_000_000_000_000])
def test_at_every_rate_the_boundaries_of_the_cycles_are_exact(rate: float | Fraction, start: int) -> None:
    layer, cycles = neuron("leaky"), 150
    borders = [start - (-c * 1_000_000 // Fraction(str(rate))) for c in range(1, cycles - 1)]
    t = sorted({start, *borders, *(b - 1 for b in borders)})
    events = make_events(
        t, [i % W for i in range(len(t))], [i % H for i in range(len(t))], [i % 2 for i in range(len(t))]
    )
    y, _ = clocked(layer, events, rate, cycles)
    frontier = Frontier(layer, SENSOR, rate)
    check_maps(run(frontier, events, every=1), y[: cycles - 2])
    assert frontier.cycle == cycles - 2
    frontier = Frontier(layer, SENSOR, rate)
    frontier.update(events)
    check_maps(frontier.sample(), y[cycles - 2])


STREAM = synthetic(300, 60_000)
LAYER = neuron()
BASE = Frontier(LAYER, SENSOR, 1000)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, STREAM.size), max_size=8), st.integers(1, 25))
def test_the_cut_into_chunks_makes_no_difference(cuts: list[int], every: int) -> None:
    whole, parts = copy.deepcopy(BASE), copy.deepcopy(BASE)
    maps = run(whole, STREAM, every=every)
    borders = [0, *sorted(cuts), STREAM.size]
    chunks = [STREAM[a:b] for a, b in itertools.pairwise(borders)]
    half = len(chunks) // 2
    split = [*parts.maps(chunks[:half], every), *parts.maps(chunks[half:], every)]
    assert torch.equal(torch.stack(split), maps)
    assert torch.equal(parts.state()[0], whole.state()[0])
    assert (parts.cycle, parts.counted) == (whole.cycle, whole.counted) == (whole.cycle, STREAM.size)


def test_a_run_goes_on_from_a_state() -> None:
    events = synthetic(300, 60_000)
    whole, first = Frontier(LAYER, SENSOR, 1000), Frontier(LAYER, SENSOR, 1000)
    border = int(events["t"][0]) + 20_000
    cut = int(np.searchsorted(events["t"], border))
    whole.update(events)
    first.update(events[:cut])
    second = Frontier(LAYER, SENSOR, 1000, start=border, state=first.state(20))
    second.update(events[cut:])
    assert second.cycle == whole.cycle - 20 > 10
    check_maps(second.sample(), whole.sample())
    y, state = LAYER(torch.zeros(30, 1, 2, H, W, dtype=torch.float64), whole.state(whole.cycle + 1))
    check_maps(whole.sample(whole.cycle + 30), y[29, 0].detach())
    assert torch.allclose(whole.state(whole.cycle + 31)[0], state[0].detach(), rtol=1e-9)


def test_a_long_silence_costs_nothing_and_is_exact() -> None:
    leaky = neuron("leaky", t_cycle=1e-9)
    device, gap = leaky.device, 70_000
    frontier = Frontier(leaky, SENSOR, 1e6)
    frontier.update(make_events([0], [1], [4], [1]))
    after_pulse, faded = (float(frontier.state(c)[0][0, 0, 1, 4, 1]) for c in (1, 1 + gap))
    assert faded / after_pulse == pytest.approx(math.exp(-gap * 1e-9 / float(device.tau)), rel=1e-9)
    frontier.update(make_events([10**15], [1], [4], [1]))  # thirty years later
    assert float(frontier.state(10**15 + 1)[0][0, 0, 1, 4, 1]) == pytest.approx(after_pulse, rel=1e-12)
    junction = Frontier(LAYER, SENSOR, 1e6)
    junction.update(STREAM)
    rest = Frontier(LAYER, SENSOR, 1e6, state=junction.state(10**14))
    assert torch.allclose(rest.state(0)[0], rest.state(1)[0], rtol=1e-12)
    assert float(rest.state(0)[0].min()) > 1  # its own probes keep the junction warm


def test_a_pulse_saturates() -> None:
    one, two, many = (
        Frontier(neuron(gains=(0.0, 0.0)), SENSOR, 1000, start=0) for _ in range(3)
    )  # 0.30 V per event, 0.40 V at most
    for frontier, count in ((one, 1), (two, 2), (many, 5000)):
        frontier.update(make_events([5] * count, [2] * count, [3] * count, [0] * count))
    assert float(one.state(1)[0][0, 0, 0, 3, 2]) < float(two.state(1)[0][0, 0, 0, 3, 2])
    assert torch.equal(two.state(1)[0], many.state(1)[0])
    assert many.counted == 5000
    assert ClosedForm(neuron(gains=(0.0, -3.0))).most == math.ceil(0.4 / (0.3 * math.exp(-3.0)))


def test_events_touch_their_own_pixel_and_polarity_alone() -> None:
    frontier = Frontier(LAYER, SENSOR, 1000)
    frontier.update(make_events([0], [2], [4], [1]))
    cold = Frontier(LAYER, SENSOR, 1000).state(1)[0]
    changed = (frontier.state(1)[0] != cold).nonzero().tolist()
    assert changed == [[0, 0, 1, 4, 2]]


def test_looking_changes_nothing_and_memory_does_not_grow() -> None:
    frontier = Frontier(LAYER, SENSOR, 1000)
    assert frontier.state_bytes == 32 * H * W
    for number in range(3):
        frontier.update(synthetic(100, 10_000, start=number * 10_000))
        seen = frontier.sample()
        frontier.sample(frontier.cycle + 5)
        assert torch.equal(frontier.sample(), seen)
        assert frontier.state_bytes == 32 * H * W
    assert seen.dtype == torch.float64


def test_nothing_else_is_touched() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    layer, events = neuron(), synthetic(50, 20_000)
    gains, kept = layer.log_gain.detach().clone(), events.copy()
    frozen = events.copy()
    frozen.setflags(write=False)
    whole, sliced = (run(Frontier(layer, SENSOR, 1000), part) for part in (frozen, np.repeat(events, 2)[::2]))
    assert torch.equal(whole, sliced)
    assert np.array_equal(events, kept)
    assert torch.equal(layer.log_gain, gains)
    assert layer.log_gain.grad is None
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def one(t: int = 10, x: int = 0, y: int = 0, p: int = 0) -> Events:
    events = np.zeros(3, EVENT)
    events["t"] = 5
    events[1:] = (t, x, y, p)
    return events


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (one(t=4), r"event 1 of the chunk has t = 4 us after 5 us\. Sort"),
        (one()[::-1], r"event 2 of the chunk has t = 5 us after 10 us\. Sort"),
        (one(x=W), r"sensor of 3x5 pixels; event 1 of the chunk has x = 3, y = 0"),
        (one(x=-1), r"event 1 of the chunk has x = -1"),
        (one(y=H), r"event 1 of the chunk has x = 0, y = 5"),
        (one(y=-2), r"event 1 of the chunk has x = 0, y = -2"),
        (one(p=2), r"polarity must be 0 or 1; event 1 of the chunk has p = 2"),
        (one(t=2**60), r"event 2 of the chunk has t = 1152921504606846976 us: begin a new frontier"),
        (one()["t"], r"must be an event array \[N\] of dtype ipnet\.events\.EVENT; got int64 \[3\]"),
        (one().reshape(1, 3), r"got .* \[1, 3\]"),
        ([1, 2], r"got list"),
    ],
)
def test_a_bad_chunk_is_refused_whole(chunk: Events, message: str) -> None:
    frontier = Frontier(LAYER, SENSOR, 1000)
    with pytest.raises(IPNetError, match=message):
        frontier.update(chunk)
    assert (frontier.start, frontier.counted) == (None, 0)
    frontier.update(STREAM)
    state = frontier.state()[0]
    with pytest.raises(IPNetError):
        list(frontier.maps([chunk], 3))
    assert torch.equal(frontier.state()[0], state)
    assert frontier.counted == STREAM.size


def test_the_past_is_closed() -> None:
    frontier = Frontier(LAYER, SENSOR, 1000, start=50)
    with pytest.raises(IPNetError, match=r"event 0 of the chunk has t = 49 us after 50 us, where earlier chunks"):
        frontier.update(make_events([49], [0], [0], [0]))
    frontier.update(make_events([50, 2050], [0, 0], [0, 0], [0, 0]))
    with pytest.raises(IPNetError, match=r"has t = 2049 us after 2050 us"):
        frontier.update(make_events([2049], [0], [0], [0]))
    for look in (frontier.sample, frontier.state):
        with pytest.raises(IPNetError, match=r"the current cycle, 2, and later ones .* got cycle 1"):
            look(1)
    assert next(frontier.maps([make_events([3050], [0], [0], [0])], 3)).shape == (2, H, W)
    with pytest.raises(IPNetError, match=r"has t = 3049 us after 3050 us"):  # the map of cycle 2 is out
        frontier.update(make_events([3049], [0], [0], [0]))
    for every in (0, 2.0):
        with pytest.raises(IPNetError, match=f"cycles apart, at least 1; got every = {every}"):
            next(frontier.maps([], every))
    assert list(frontier.maps([make_events([9000], [0], [0], [0])], 2**70)) == []
    assert frontier.cycle == 8


def test_no_event_and_an_empty_chunk() -> None:
    frontier = Frontier(LAYER, SENSOR, 1000)
    frontier.update(np.empty(0, EVENT))
    assert list(frontier.maps([np.empty(0, EVENT)], 2)) == []
    y, _ = LAYER(torch.zeros(4, 1, 2, H, W, dtype=torch.float64))
    check_maps(frontier.sample(3), y[3, 0].detach())
    frontier.update(STREAM)
    assert frontier.start == STREAM["t"][0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frontier(neuron(gains=(0, 0, 0)), SENSOR, 1000), "2 channels, darker and brighter; got 3"),
        (lambda: Frontier(LAYER, (5,), 1000), r"must be \(H, W\).*got \(5,\)"),
        (lambda: Frontier(LAYER, (5, 40_000), 1000), "sides of 1 to 32767"),
        (lambda: Frontier(LAYER, SENSOR, 0), "got 0 Hz"),
        (lambda: Frontier(LAYER, SENSOR, math.inf), "got inf Hz"),
        (lambda: Frontier(LAYER, SENSOR, 1000 / 3), "fewer digits"),
        (
            lambda: Frontier(LAYER, SENSOR, 9, state=(torch.full((1, 1, 2, H, W), 60.0),)),
            "between 0 and 48.*got 60",
        ),
        (lambda: Frontier(LAYER, SENSOR, 9, state=(torch.zeros(1, 1, 2, W, H),)), r"got \[\[1, 1, 2, 3, 5\]\]"),
        (lambda: Frontier(LAYER, SENSOR, 9, state=()), r"1 tensors \[1, 1, 2, 5, 3\].*got \[\]"),
        (lambda: ClosedForm(Neuron(load_device("leaky"), 2, emission="sample")), "got 'sample': use the clocked"),
        (lambda: ClosedForm(Neuron(load_device("mtj-thermal", variation="card"), 2)), "'mtj-thermal' vary"),
        (
            lambda: ClosedForm(Neuron(load_device("mtj-nyu", operation="bias", t_cycle=131e-9), 2)),
            r"1e-09 of all state variables but one; card 'mtj-nyu' leaves 0\.00\d+ of one of .*: use the clocked",
        ),
        (
            lambda: Frontier(neuron("mtj-nyu"), SENSOR, 9, state=(torch.full((1, 1, 2, H, W), 0.5),) * 2),
            r"or one that whole events leave, .* pole 2 \[K\]; got one .* away: start at rest",
        ),
        (lambda: ClosedForm(neuron("mtj-nyu", gain=1e-3)), r"must reach V_max = .* with 62 events"),
        (lambda: ClosedForm(neuron("leaky", gain=1e-5)), r"must reach V_max = .* with 4095 events"),
    ],
)
def test_what_cannot_be_done_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        make()


def test_two_slow_poles_are_refused(tmp_path: Path) -> None:
    card = tmp_path / "slow.toml"
    card.write_text(shipped_cards()["mtj-nyu"].read_text().replace("[5, 1000]", "[900, 500]"))
    with pytest.raises(IPNetError, match=r"card 'mtj-nyu' leaves 0\.6\d of one of temperature rise of pole 1"):
        ClosedForm(Neuron(load_device(card), 2))
    card.write_text(card.read_text().replace("[900, 500]", "[900, 5]"))  # the slow one need not be the last
    assert ClosedForm(Neuron(load_device(card), 2)).idle.multiplier == pytest.approx(
        math.exp(-220 / 900), rel=0.03
    )


def test_a_run_goes_on_from_the_states_of_several_poles() -> None:
    layer, events = neuron("mtj-nyu"), synthetic(300, 60_000)
    fresh, start = Frontier(layer, SENSOR, 1000), int(events["t"][0])
    first = copy.deepcopy(fresh)
    first.update(events[events["t"] < start + 20_000])
    for cycle in (20, 22):  # right after events, and after silence
        early, late = events["t"] < start + 20_000, events["t"] >= start + 1000 * cycle
        expected = copy.deepcopy(fresh)
        expected.update(events[early | late])
        second = Frontier(layer, SENSOR, 1000, start=start + 1000 * cycle, state=first.state(cycle))
        for kept, taken in zip(first.state(cycle), second.state(0), strict=True):
            assert torch.allclose(kept, taken, rtol=1e-9, atol=0)
        second.update(events[late])
        check_maps(second.sample(), expected.sample())


class Overshoot(Leaky):
    """A pulse lifts an empty device above all that steady pulses reach."""

    def cycle(self, V: torch.Tensor, state: State, emit: Emit) -> tuple[torch.Tensor, State]:
        return emit(0 * V), (0.5 * state[0] + V * torch.exp(-50 * state[0]),)


def test_a_law_that_leaves_its_range_is_refused() -> None:
    layer = neuron("leaky")
    layer.device.__class__ = Overshoot
    with pytest.raises(IPNetError, match="must keep states between those that steady pulses reach"):
        ClosedForm(layer)


@pytest.mark.parametrize(("card", "clock"), [LAWS[i] for i in (1, 4, 7, 8, 9, 10, 19)])
def test_the_coordinate_makes_idle_cycles_a_multiplication(card: str, clock: dict[str, object]) -> None:
    form = ClosedForm(neuron(card, **clock))
    idle, s = form.idle, np.linspace(*form.interval, 701)
    scale = np.abs(idle(s)).max()
    assert np.abs(idle(idle.f(s)) - idle.multiplier * idle(s)).max() < 1e-13 * scale
    assert np.abs(idle.inverse(idle(s)) - s).max() < 1e-13 * np.ptp(s)
    assert form.error < 1e-8


@pytest.mark.parametrize("lam", [0.05, 0.8, 0.999])
def test_the_coordinate_of_a_fraction_is_known(lam: float) -> None:
    a = 0.7
    found = Koenigs(lambda s: lam * s / (1 + a * s), lambda s: lam / (1 + a * s) ** 2, (0.0, 4.0))
    s = np.linspace(0, 4, 101)
    assert np.allclose(found(s), s / (1 + a * s / (1 - lam)), rtol=1e-10)
    assert found.multiplier == lam


def test_the_coordinate_crosses_a_kink() -> None:
    found = Koenigs(
        lambda s: np.where(s < 1, 0.5 * s, 0.5 + 0.2 * (s - 1)), lambda s: np.where(s < 1, 0.5, 0.2), (-1.0, 5.0)
    )
    s = np.linspace(-1, 3, 57)
    assert np.allclose(found(s), np.where(s < 1, s, 1 + 0.4 * (s - 1)), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda s: 1.5 * s, lambda s: 0 * s + 1.5),
        (lambda s: 1 - 0.5 * s, lambda s: 0 * s - 0.5),
        (lambda s: s**2, lambda s: 2 * s),
    ],
)
def test_other_maps_have_no_coordinate(f: Callable, slope: Callable) -> None:
    with pytest.raises(IPNetError, match="can be linearised if it is increasing"):
        Koenigs(f, slope, (0.0, 1.0))


def test_a_table_says_what_it_missed() -> None:
    def functions(x: np.ndarray) -> np.ndarray:
        return np.stack([np.exp(x), 5 * np.abs(x - 0.3)])

    x, errors = np.linspace(-1, 2, 1000), []
    for pieces in (4, 64):
        table = Table(functions, (-1.0, 2.0), precision=1e-13, pieces=pieces)
        seen = np.abs(table(x) - functions(x)).max(1) / np.abs(functions(x)).max(1)
        assert table.coefficients.shape == (2, pieces, 8)
        assert 0.3 * table.error < seen.max() < 3 * table.error
        errors.append(table.error)
    assert errors[1] < errors[0] / 8
    smooth = Table(lambda x: np.exp(x)[None], (-1.0, 2.0), precision=1e-13, pieces=64)
    assert smooth.error < 1e-13
    assert np.allclose(smooth(x), np.exp(x), rtol=1e-12)


POLES = ["mtj-nyu", "mtj-uta", "mtj-minnesota"]
RECORDINGS = ["nmnist1100/4.bs2", "recordings/davis346_aestream_0.13s.aedat4", "recordings/evt2_sample.raw"]


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize(("rate", "side", "cycles"), [(100, 34, 30), (1000, 31, 120), (10**6, 24, 700)])
def test_a_recording_event_by_event_is_the_clocked_layer(
    data_root: Path, name: str, rate: int, side: int, cycles: int
) -> None:
    """In the busiest square of the sensor, so that the clocked layer can follow."""
    recording = open_events(data_root / name, sensor=(34, 34) if name.endswith("bs2") else None)
    events = np.concatenate(list(recording))
    squares = events["y"].astype(int) // side * 1000 + events["x"] // side
    events = events[squares == np.bincount(squares).argmax()]
    for axis in ("x", "y"):
        events[axis] %= side
    if rate > 1000:  # the moment at which 40 events are closest together
        events = events[(events["t"][40:] - events["t"][:-40]).argmin() :]
    events = events[: np.searchsorted(events["t"], events["t"][0] + cycles * 1_000_000 // rate)]
    cycles = cycles_of(events, rate, int(events["t"][0]))[-1] + 1
    assert events.size > 20
    for layer in [LAYER, neuron(POLES[RECORDINGS.index(name)])] if rate == 1000 else [LAYER]:
        y, states = clocked(layer, events, rate, cycles, sensor=(side, side))
        frontier = Frontier(layer, (side, side), rate)
        check_maps(run(frontier, *np.array_split(events, 7), every=2), y[1 : cycles - 1 : 2])
        for part, true in zip(frontier.state(cycles), states, strict=True):
            check_maps(part[0, 0], true[cycles])
