"""Streams: frames and outputs are those of the whole clip, whatever the chunks, in constant memory."""

import itertools
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.budget import Backbone
from ipnet.errors import IPNetError
from ipnet.events import EVENT, frame_events, make_events, stream_frames
from ipnet.memory import MEMORIES
from ipnet.network import Network, positions

TINY = Backbone(width=4, blocks=(1, 1))
SHAPE = (2, 8, 10)  # C, H, W
CAUSAL = [
    (name, position)
    for name in MEMORIES
    for position, place in positions(TINY).items()
    if MEMORIES[name].causal and place in MEMORIES[name].places
]


def frames(T: int, B: int, *shape: int) -> torch.Tensor:
    return 2 * torch.rand(T, B, *(shape or SHAPE), generator=torch.Generator().manual_seed(5))


def build(memory: str, *at: str, shape: tuple[int, int, int] = SHAPE, **options: object) -> Network:
    """A network in training mode whose norms have seen something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(shape, 3, TINY, memory, at, **options)
    network(frames(4, 2, *shape))
    return network


def whole(network: Network, x: torch.Tensor, state: dict | None = None) -> tuple[torch.Tensor, dict]:
    training = network.training
    with torch.no_grad():
        y, state = network.eval()(x, state)
    network.train(training)
    return y, state


def close(a: object, b: object) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def cut(x: torch.Tensor, lengths: list[int]) -> Iterator[torch.Tensor]:
    """Chunks of these lengths, and the rest as the last."""
    ends = [0, *(end for end in itertools.accumulate(lengths) if end < len(x)), len(x)]
    return (x[a:b] for a, b in itertools.pairwise(ends))


# ------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(("memory", "position"), CAUSAL)
def test_a_stream_gives_the_outputs_of_the_whole_clip(memory: str, position: str) -> None:
    network, x = build(memory, position), frames(7, 3)
    y, state = whole(network, x)
    for lengths in ([1] * 7, [4], [2, 3]):
        results = list(network.stream(cut(x, lengths)))
        close(torch.cat([result.output for result in results]), y)
        close(results[-1].state, state)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([("intrinsic", "frontier"), ("intrinsic", "stem"), ("rnn",), ("lstm",), ("none",)]),
    st.lists(st.integers(1, 6), max_size=8),
    st.integers(1, 3),
)
def test_any_chunking_gives_the_same(built: dict[tuple, Network], contender: tuple, lengths: list, B: int) -> None:
    network = built.setdefault(contender, build(*contender))
    x = frames(9, B)
    y, state = whole(network, x)
    results = list(network.stream(cut(x, lengths)))
    close(torch.cat([result.output for result in results]), y)
    close(results[-1].state, state)
    assert len({result.state_bytes for result in results}) == 1


@pytest.fixture(scope="module")
def built() -> dict[tuple, Network]:
    return {}


def test_several_memories_and_the_kernel_for_many_junctions() -> None:
    shape = (2, 34, 34)  # enough junctions for the fused kernel
    network, x = build("intrinsic", "frontier", "head", shape=shape), frames(5, 1, *shape)
    results = list(network.stream(cut(x, [1, 3])))
    close(torch.cat([result.output for result in results]), whole(network, x)[0])
    per_junction = results[0].state["frontier"][0].element_size() * len(results[0].state["frontier"])
    assert [result.state_bytes for result in results] == [per_junction * (2 * 34 * 34 + 8)] * 3


def test_a_drawn_stream_is_the_drawn_clip() -> None:
    streamed, other = (build("intrinsic", emission="sample", devices=2, seed=3) for _ in range(2))
    x = frames(6, 2)
    results = list(streamed.stream(cut(x, [1, 4])))
    close(torch.cat([result.output for result in results]), whole(other, x)[0])


def test_a_stream_goes_on_from_the_state_of_a_result() -> None:
    network, x = build("lstm"), frames(8, 2)
    y, _ = whole(network, x)
    first = list(network.stream(x[:3].split(1)))[-1]
    kept = [part.clone() for part in first.state["head"]]
    second = list(network.stream(x[3:].split(2), first.state))
    close(torch.cat([result.output for result in second]), y[3:])
    assert all(torch.equal(part, before) for part, before in zip(first.state["head"], kept, strict=True))
    assert [result.state_bytes for result in second] == [first.state_bytes] * 3 == [2 * 2 * 8 * 4] * 3
    assert 0 < first.seconds_per_frame < 60


def test_training_flags_stay_and_nothing_moves() -> None:
    network, x = build("intrinsic"), frames(4, 2)
    network.parts["stem"].eval()  # a frozen stem stays frozen
    flags = {name: module.training for name, module in network.named_modules()}
    values = {name: value.clone() for name, value in network.state_dict().items()}

    def unmoved() -> bool:
        same = all(torch.equal(value, values[name]) for name, value in network.state_dict().items())
        return same and flags == {name: module.training for name, module in network.named_modules()}

    stream = network.stream(x.split(1))
    next(stream)
    assert unmoved()  # also while the consumer has it
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    stream.close()
    assert unmoved()

    def broken() -> Iterator[torch.Tensor]:
        yield x
        raise OSError("the camera is gone")

    stream = network.stream(broken())
    next(stream)
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)
    assert unmoved()

    def fails(*_: object) -> None:
        raise KeyError("within")

    handle = network.readout.register_forward_hook(fails)
    with pytest.raises(KeyError):
        next(network.stream([x]))
    handle.remove()
    assert unmoved()


@pytest.mark.parametrize("memory", ["intrinsic", "rnn", "lstm"])
def test_what_a_stream_leaves_can_be_trained_on(memory: str) -> None:
    network, x = Network(SHAPE, 3, TINY, memory), frames(3, 1)
    last = list(network.stream([x]))[-1]  # first use of the network is in inference mode
    y, _ = network.train()(x, last.state)
    (y - last.output).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_chunks_are_taken_one_by_one_let_go_and_never_written_to() -> None:
    network, taken, alive = build("intrinsic"), [], []

    def camera() -> Iterator[torch.Tensor]:
        for i in range(6):
            taken.append(i)
            chunk = frames(1 + i % 3, 2)
            alive.append(weakref.ref(chunk))
            yield chunk
            assert torch.equal(chunk, frames(1 + i % 3, 2))
            del chunk

    stream = network.stream(camera())
    assert not taken
    for i in range(6):
        next(stream)
        assert len(taken) == i + 1
        assert sum(chunk() is not None for chunk in alive) == 1


def test_a_buffer_that_is_used_again_does_not_change_results() -> None:
    class Latch(torch.nn.Module):
        """Remembers the last frame itself, as a view."""

        def forward(self, x: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            before = x[:1] * 0 if state is None else state
            return torch.cat([before, x[:-1]]), x[-1:]

    network, x, buffer = build("intrinsic"), frames(6, 1), torch.empty(2, 1, *SHAPE)
    network.memories["frontier"] = Latch()

    def camera() -> Iterator[torch.Tensor]:
        for chunk in x.split(2):
            yield buffer.copy_(chunk)

    results = list(network.stream(camera()))
    close(torch.cat([result.output for result in results]), whole(network, x)[0])
    close(results[0].state["frontier"], x[1:2])


def test_a_memory_that_looks_ahead_is_refused_at_the_call() -> None:
    with pytest.raises(
        IPNetError, match=r"'conv2plus1d' looks at them: run whole clips .* intrinsic, .*lstm, none"
    ):
        build("conv2plus1d").stream([])


def test_no_chunks_no_results() -> None:
    assert list(build("none").stream([])) == []
    first = next(build("none", "head").stream([frames(2, 1)]))
    assert first.state == {"head": None}
    assert first.state_bytes == 0


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (frames(1, 2)[0], r"must be a tensor \[t, B, C, H, W\], no axis empty; got \[2, 2, 8, 10\]: cut a clip"),
        (frames(1, 2)[:0], r"no axis empty; got \[0, 2, 2, 8, 10\]"),
        (frames(1, 2).numpy(), r"must be a tensor .* got ndarray: .* torch.from_numpy"),
        (frames(1, 3), r"sizes of the first chunk, \[2, 2, 8, 10\]; got \[3, 2, 8, 10\]"),
        (frames(1, 2, 3, 8, 10), r"got \[2, 3, 8, 10\]"),
        (frames(1, 2, 2, 10, 8), r"got \[2, 2, 10, 8\]"),
        (frames(1, 2).double(), r"must be of the weights' torch.float32 on 'cpu'; got torch.float64"),
        (frames(1, 2) / 0, r"must be finite; 320 of 320 values are not"),
    ],
)
def test_a_wrong_chunk_is_named_and_what_came_before_stays(chunk: torch.Tensor, message: str) -> None:
    network, x = build("intrinsic"), frames(5, 2)
    stream = network.stream([x[:1], x[1:3], chunk])
    first, second = next(stream), next(stream)
    with pytest.raises(IPNetError, match=f"^chunk 2: .*{message}"):
        next(stream)
    assert network.training
    y, _ = whole(network, x)
    rest = next(network.stream([x[3:]], second.state))
    close(torch.cat([first.output, second.output, rest.output]), y)


def test_a_first_chunk_of_other_channels() -> None:
    with pytest.raises(IPNetError, match=r"^chunk 0: frames must have C = 2 channels; got 3\."):
        next(build("none").stream([frames(1, 2, 3, 8, 10)]))


def test_a_neurons_error_says_the_chunk() -> None:
    network, x = build("intrinsic", "stem"), frames(2, 1)
    network.parts["stem"][1].weight.data *= 100
    with pytest.raises(IPNetError, match=r"^chunk 1: pre-activations must be finite"):
        list(network.stream([x, torch.full_like(x, 3e38)]))


@pytest.mark.parametrize(
    ("memory", "shape", "given"),
    [
        ("intrinsic", (3, *SHAPE), (2, *SHAPE)),
        ("intrinsic", (2, *SHAPE), (1, *SHAPE)),
        ("intrinsic", (2, 2, 34, 34), (1, 2, 34, 34)),  # the fused kernel
        ("intrinsic", (1, 2, 34, 34), (2, 2, 34, 34)),
        ("intrinsic", (1, 2, 34, 34), (1, 2, 30, 34)),
        ("rnn", (2, *SHAPE), (3, *SHAPE)),
        ("lstm", (3, *SHAPE), (1, *SHAPE)),
    ],
)
def test_a_state_of_other_frames(memory: str, shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    network = build(memory)
    state = next(network.stream([frames(2, *shape)])).state
    with pytest.raises(IPNetError, match=r"^chunk 0: the state at '\w+' must be of the sizes of these frames"):
        next(network.stream([frames(2, *given)], state))


def test_a_state_of_another_network() -> None:
    state = next(build("lstm").stream([frames(2, 1)])).state
    with pytest.raises(IPNetError, match=r"memories, \['frontier'\]; got \['head'\]: go on from a state of this"):
        build("intrinsic").stream([], state)


# -------------------------------------------------------------------------------------------------- frames

SENSOR = (4, 6)


def recording(times: list[int] | np.ndarray, seed: int = 0) -> np.ndarray:
    rng, n = np.random.default_rng(seed), len(times)
    return make_events(times, rng.integers(0, 6, n), rng.integers(0, 4, n), rng.integers(0, 2, n))


def by_hand(events: np.ndarray, interval: int, start: int) -> np.ndarray:
    t = [int(time) for time in events["t"]]
    out = np.zeros(((t[-1] - start) // interval + 1, 2, *SENSOR))
    for (_, x, y, p), time in zip(events.tolist(), t, strict=True):
        out[(time - start) // interval, p, y, x] += 1
    return out


@st.composite
def recordings(draw) -> np.ndarray:
    span = draw(st.sampled_from([0, 1, 7, 60, 500]))
    times = draw(st.lists(st.integers(0, span), min_size=1, max_size=40))
    origin = draw(st.sampled_from([0, -300, 13, 2**63 - 501, -(2**63)]))
    return recording([time + origin for time in sorted(times)], draw(st.integers(0, 99)))


@settings(max_examples=100, deadline=None)
@given(
    recordings(),
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from([1, 2, 7, 60, 10**30]),
    st.sampled_from([None, 0, 1, 450]),
)
def test_every_event_is_in_its_frame_whatever_the_chunks(events, cuts, interval, lead) -> None:
    first = int(events["t"][0])
    start = None if lead is None else max(first - lead, -(2**63))
    chunks = np.split(events, sorted(min(c, events.size) for c in cuts))  # some of them empty
    found = np.stack(list(stream_frames(chunks, SENSOR, interval, start=start)))
    assert found.dtype == np.float32
    assert found.sum() == events.size
    assert np.array_equal(found, by_hand(events, interval, first if start is None else start))


def test_frames_by_hand() -> None:
    # frames of 3 us from t = 10: 10-12, 13-15, 16-18, 19-21
    events = make_events([10, 12, 13, 19], [0, 1, 2, 5], [0, 0, 3, 1], [0, 1, 1, 0])
    frames_ = list(stream_frames([events], SENSOR, 3))
    assert [int(frame.sum()) for frame in frames_] == [2, 1, 0, 1]
    assert frames_[0][0, 0, 0] == frames_[0][1, 0, 1] == frames_[1][1, 3, 2] == frames_[3][0, 1, 5] == 1
    assert [int(frame.sum()) for frame in stream_frames([events], SENSOR, 3, start=8)] == [1, 2, 0, 1]


def test_the_frames_of_a_clip_are_those_of_framing_it() -> None:
    events = recording(np.arange(0, 60, 2) + 5)  # 59 us: one frame of either kind
    assert np.array_equal(np.stack(list(stream_frames([events], SENSOR, 59))), frame_events(events, SENSOR, 1))


@pytest.mark.parametrize("size", [(2, 3), (1, 1), (4, 2)])
def test_smaller_frames_are_sums_of_blocks(size: tuple[int, int]) -> None:
    events = recording(np.sort(np.random.default_rng(1).integers(0, 100, 200)))
    full = np.stack(list(stream_frames([events], SENSOR, 10)))
    small = np.stack(list(stream_frames([events], SENSOR, 10, size=size)))
    blocks = full.reshape(len(full), 2, size[0], SENSOR[0] // size[0], size[1], SENSOR[1] // size[1])
    assert np.array_equal(small, blocks.sum((3, 5)))


def test_frames_are_made_one_by_one_from_events_that_stay_as_they_are() -> None:
    taken, events = [], recording(np.arange(40))
    events.setflags(write=False)

    def camera() -> Iterator[np.ndarray]:
        for chunk in np.split(events, 10):
            taken.append(len(chunk))
            yield chunk

    stream = stream_frames(camera(), SENSOR, 4)
    assert not taken
    kept = next(stream)
    assert len(taken) == 2  # the frame is over once an event after it is there
    kept[:] = -1
    assert sum(int(frame.sum()) for frame in stream) == 36


def test_a_camera_may_write_into_the_same_buffer_again() -> None:
    events, buffer = recording(np.arange(0, 90, 3)), np.empty(10, EVENT)

    def camera() -> Iterator[np.ndarray]:
        for chunk in np.split(events, 3):
            buffer[:] = chunk
            yield buffer

    assert np.array_equal(np.stack(list(stream_frames(camera(), SENSOR, 7))), by_hand(events, 7, 0))


def test_memory_does_not_grow_with_the_stream() -> None:
    once = recording(np.arange(1000))

    def camera() -> Iterator[np.ndarray]:
        for i in range(300):
            chunk = once.copy()
            chunk["t"] += 1000 * i
            yield chunk

    stream = stream_frames(camera(), SENSOR, 100)
    next(stream)
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream) == 2999
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * once.nbytes


def test_no_events_no_frames() -> None:
    assert list(stream_frames([], SENSOR, 5)) == []
    assert list(stream_frames([np.empty(0, EVENT)] * 3, SENSOR, 5, start=0)) == []


def test_a_wrong_time_stamp_does_not_ask_for_billions_of_frames() -> None:
    stream = stream_frames([recording([0, 5]), recording([10**12])], SENSOR, 10)
    assert next(stream).sum() == 2  # the frame before the gap is not lost
    with pytest.raises(
        IPNetError,
        match=r"at most 100000 frames; the event at 1000000000000 us comes 99999999999 frames after the "
        r"frame that ends at 10 us: mend its time, or raise gap",
    ):
        next(stream)


@pytest.mark.parametrize(("gap", "fits"), [(9, True), (8, False), (0, False)])
def test_the_longest_gap(gap: int, fits: bool) -> None:
    stream = stream_frames([recording([0, 10])], SENSOR, 1, gap=gap)
    if fits:
        assert [int(frame.sum()) for frame in stream] == [1, *[0] * 9, 1]
    else:
        with pytest.raises(IPNetError, match=f"at most {gap} frames"):
            list(stream)


def _with(field: str, value: int) -> np.ndarray:
    events = recording([30, 31, 40])
    events[field][1] = value
    return events


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (recording([28, 40]), r"must not decrease across chunks, nor lie before start; 28 us follows 29 us: sort"),
        (_with("t", 29), r"times must not decrease; event 1 does"),
        (_with("x", 6), r"sensor of 6x4 pixels; event 1 has x = 6"),
        (_with("p", 2), r"polarity must be 0 or 1; got 2"),
        (np.zeros(3), r"dtype ipnet.events.EVENT; got float64"),
        (np.zeros(0), r"dtype ipnet.events.EVENT; got float64"),
        (recording([30])[0], r"must be an array \[N\]; got 0 axes: give \[events\]"),
    ],
)
def test_a_wrong_chunk_of_events_is_named(chunk: np.ndarray, message: str) -> None:
    stream = stream_frames([recording([0, 29]), np.empty(0, EVENT), chunk], SENSOR, 20)
    assert next(stream).sum() == 1
    with pytest.raises(IPNetError, match=f"^chunk 2: .*{message}"):
        next(stream)


def test_an_event_before_the_start() -> None:
    with pytest.raises(IPNetError, match=r"chunk 0: .* nor lie before start; 4 us follows 5 us"):
        list(stream_frames([recording([4])], SENSOR, 5, start=5))


def test_a_pixel_that_float32_cannot_count() -> None:
    events = np.zeros(2**20, EVENT)
    assert next(stream_frames([events] * 15, SENSOR, 1)).sum() == 15 * 2**20
    with pytest.raises(IPNetError, match=r"fewer than 2\^24 events .* \[0, 0, 0\]: shorten the interval"):
        next(stream_frames([events] * 16, SENSOR, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, r"interval must be a whole number of at least 1; got 0"),
        ({"interval": 2.5}, r"got 2.5: give it as an int"),
        ({"interval": True}, r"got True"),
        ({"start": 1.0}, r"start must be a whole number of at least -9223372036854775808; got 1.0"),
        ({"start": -(2**64)}, r"start must be"),
        ({"gap": -1}, r"gap must be a whole number of at least 0; got -1"),
        ({"size": (3, 6)}, r"must divide the sensor's 6x4 pixels; got 6x3"),
    ],
)
def test_unfit_frames_are_refused_at_the_call(options: dict, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        stream_frames([], SENSOR, **{"interval": 5, **options})


# ---------------------------------------------------------------------------------------------------- both


def test_from_a_camera_to_the_output() -> None:
    events = recording(np.sort(np.random.default_rng(0).integers(0, 1000, 400)))
    network = build("intrinsic", shape=(2, *SENSOR))
    clip = torch.from_numpy(np.stack(list(stream_frames([events], SENSOR, np.int64(100), start=events["t"][0]))))
    y, _ = whole(network, clip[:, None])
    live = (torch.from_numpy(frame)[None, None] for frame in stream_frames(np.split(events, 8), SENSOR, 100))
    close(torch.cat([result.output for result in network.stream(live)]), y)
