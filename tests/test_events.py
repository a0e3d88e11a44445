"""Framing conserves events and commutes with time reversal, for any clip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.errors import IPNetError
from ipnet.events import EVENT, check_events, frame_events, make_events, reverse_time

SENSOR = (4, 6)
modes = st.sampled_from(["time", "count"])
steps = st.integers(1, 9)


@st.composite
def clips(draw):
    span = draw(st.sampled_from([0, 1, 7, 60, 10**6]))
    times = draw(st.lists(st.integers(0, span), min_size=1, max_size=40))
    start = draw(st.sampled_from([0, 13, 10**10]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n = len(times)
    return make_events(
        np.array(times) + start, rng.integers(0, 6, n), rng.integers(0, 4, n), rng.integers(0, 2, n)
    )


@settings(max_examples=100, deadline=None)
@given(clips(), steps, modes)
def test_every_event_is_counted_once_where_it_was(events, T, by) -> None:
    frames = frame_events(events, SENSOR, T, by=by)
    assert frames.shape == (T, 2, *SENSOR)
    assert frames.dtype == np.float32
    expected = np.zeros((2, *SENSOR))
    np.add.at(expected, (events["p"], events["y"], events["x"]), 1)
    assert np.array_equal(frames.sum(0), expected)


@settings(max_examples=100, deadline=None)
@given(clips(), steps, modes, st.booleans())
def test_frames_of_the_reverse_are_the_frames_reversed(events, T, by, swap) -> None:
    forward = frame_events(events, SENSOR, T, by=by)
    backward = frame_events(reverse_time(events, swap_polarity=swap), SENSOR, T, by=by)
    assert np.array_equal(backward, (forward[:, ::-1] if swap else forward)[::-1])


@settings(max_examples=50, deadline=None)
@given(clips(), steps, modes, st.sampled_from([(2, 3), (1, 1), (4, 2), (2, 6)]))
def test_smaller_frames_are_sums_of_blocks(events, T, by, size) -> None:
    full = frame_events(events, SENSOR, T, by=by)
    small = frame_events(events, SENSOR, T, by=by, size=size)
    blocks = full.reshape(T, 2, size[0], SENSOR[0] // size[0], size[1], SENSOR[1] // size[1])
    assert np.array_equal(small, blocks.sum((3, 5)))


@settings(max_examples=50, deadline=None)
@given(clips(), st.booleans())
def test_reversing_twice_is_the_identity_up_to_the_start(events, swap) -> None:
    twice = reverse_time(reverse_time(events, swap_polarity=swap), swap_polarity=swap)
    expected = events.copy()
    expected["t"] -= events["t"][0]
    assert np.array_equal(twice, expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7))
def test_by_count_every_frame_holds_its_share(T, share) -> None:
    n = T * share
    events = make_events(np.sort(np.random.default_rng(n).integers(0, 5, n)), np.zeros(n), np.zeros(n), np.ones(n))
    assert frame_events(events, SENSOR, T, by="count").sum((1, 2, 3)).tolist() == [share] * T


def test_by_time_against_a_count_by_hand() -> None:
    # 9 microseconds in 3 frames: 0-2, 3-5, 6-8; 8 microseconds in 3: t = 4 is in the middle one.
    events = make_events([0, 2, 3, 6, 8], [0, 1, 2, 3, 5], [0, 0, 0, 0, 3], [1, 0, 1, 0, 1])
    frames = frame_events(events, SENSOR, 3)
    assert frames.sum((1, 2, 3)).tolist() == [2.0, 1.0, 2.0]
    assert frames[2, 1, 3, 5] == frames[0, 0, 0, 1] == frames[1, 1, 0, 2] == 1


def test_an_event_on_the_border_counts_half_on_either_side() -> None:
    # 3 microseconds in 2 frames: the middle of the middle one is the border.
    frames = frame_events(make_events([0, 1, 2], [0, 1, 2], [0, 0, 0], [1, 1, 1]), SENSOR, 2)
    assert frames[:, 1, 0, :3].tolist() == [[1, 0.5, 0], [0, 0.5, 1]]


def test_making_events_sorts_them_and_keeps_the_order_of_equals() -> None:
    n = 300  # sorts of short arrays keep the order by accident
    events = make_events([2, 1] * (n // 2), range(n), [0] * n, [0, 1] * (n // 2))
    assert events.dtype == EVENT
    assert events["x"].tolist() == [*range(1, n, 2), *range(0, n, 2)]


def test_arguments_are_left_alone() -> None:
    events = make_events([3, 5, 9], [1, 2, 3], [0, 1, 2], [0, 1, 1])
    kept = events.copy()
    events.setflags(write=False)
    reversed_ = reverse_time(events, swap_polarity=True)
    frame_events(events, SENSOR, 2, by="count", size=(2, 3))
    reversed_["t"] = 0
    assert np.array_equal(events, kept)


GOOD = make_events([3, 5, 9], [1, 2, 3], [0, 1, 2], [0, 1, 1])


def _with(field: str, index: int, value: int) -> np.ndarray:
    events = GOOD.copy()
    events[field][index] = value
    return events


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (GOOD[:0], r"clip 5: a clip must hold at least one event; got none"),
        (_with("x", 1, 6), r"sensor of 6x4 pixels; event 1 has x = 6, y = 1"),
        (_with("y", 2, 4), r"event 2 has x = 3, y = 4"),
        (_with("x", 0, -1), r"event 0 has x = -1"),
        (_with("t", 2, 4), r"times must not decrease; event 2 does"),
        (_with("p", 1, 2), r"polarity must be 0 or 1; got 2"),
        (np.zeros(3), r"must have the dtype ipnet.events.EVENT; got float64"),
    ],
)
def test_malformed_events(events: np.ndarray, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        check_events(events, SENSOR, "clip 5")
    with pytest.raises(IPNetError, match=message.removeprefix("clip 5: ")):
        frame_events(events, SENSOR, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"at least 1 frame; got steps = 0"),
        ({"steps": 2, "size": (3, 6)}, r"must divide the sensor's 6x4 pixels; got 6x3"),
        ({"steps": 2, "size": (4, 12)}, r"got 12x4"),
        ({"steps": 2, "size": (4, -6)}, r"got -6x4"),
    ],
)
def test_unfit_frames(options: dict, message: str) -> None:
    with pytest.raises(IPNetError, match=message):
        frame_events(GOOD, SENSOR, **options)
