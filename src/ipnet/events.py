"""Events: what a camera writes, and frames made of them without losing one.

An event array is a one-dimensional structured array of `EVENT`: time ``t`` [us, integer, not decreasing],
column ``x``, row ``y``, polarity ``p`` (1 brighter, 0 darker).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
Events = NDArray[Any]

_EARLIEST, _LATEST = -(2**63), 2**63 - 1  # times that an event can have [us]
_UNCOUNTABLE = 2**24  # float32: from here on, adding one changes nothing


def make_events(t: Any, x: Any, y: Any, p: Any) -> Events:
    """Join four sequences of equal length into an event array, sorted stably by time.

    Example:
        >>> make_events([5, 1], [0, 1], [0, 2], [1, 0])["t"].tolist()
        [1, 5]
    """
    events = np.empty(len(t), EVENT)
    events["t"], events["x"], events["y"], events["p"] = t, x, y, p
    if np.any(np.diff(events["t"]) < 0):
        events = events[np.argsort(events["t"], kind="stable")]
    return events


def check_events(events: Events, sensor: tuple[int, int], where: str) -> Events:
    """Return `events` unchanged if every rule of an event array on a sensor [H, W] holds.

    Raises:
        IPNetError: empty, out of order, outside the sensor, or a polarity other than 0 and 1.
    """
    if events.dtype != EVENT:
        raise IPNetError(f"{where}: an event array must have the dtype ipnet.events.EVENT; got {events.dtype}.")
    if events.size == 0:
        raise IPNetError(f"{where}: a clip must hold at least one event; got none. Remove it from the set.")
    disorder = np.flatnonzero(np.diff(events["t"]) < 0)
    if disorder.size:
        raise IPNetError(f"{where}: times must not decrease; event {disorder[0] + 1} does. Sort the events.")
    height, width = sensor
    outside = (events["x"] < 0) | (events["x"] >= width) | (events["y"] < 0) | (events["y"] >= height)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        x, y = int(events["x"][i]), int(events["y"][i])
        raise IPNetError(
            f"{where}: events must lie on the sensor of {width}x{height} pixels; event {i} has x = {x}, y = {y}."
        )
    if events["p"].max() > 1:
        raise IPNetError(f"{where}: polarity must be 0 or 1; got {int(events['p'].max())}.")
    return events


def reverse_time(events: Events, *, swap_polarity: bool = False) -> Events:
    """Play a clip backwards: t' = t_last - t, order reversed.

    Polarity is kept by default, so that every frame of the reversed clip is a frame of the original and a
    model that ignores order cannot tell them apart. With `swap_polarity` an edge that moves back also changes
    sign, as a camera would see it; then some reversed gestures look like genuine other ones.

    Args:
        events: event array [N].
        swap_polarity: exchange brighter and darker.

    Returns:
        A new event array [N] that starts at t = 0; the argument is left untouched.

    Example:
        >>> reverse_time(make_events([10, 30], [1, 2], [3, 4], [0, 1])).tolist()
        [(0, 2, 4, 1), (20, 1, 3, 0)]
    """
    backward = events[::-1].copy()
    if backward.size:
        backward["t"] = events["t"][-1] - backward["t"]
    if swap_polarity:
        backward["p"] = 1 - backward["p"]
    return backward


def _checked_size(size: tuple[int, int] | None, sensor: tuple[int, int]) -> tuple[int, int]:
    """The size [H', W'] of frames from a sensor [H, W]."""
    height, width = size or sensor
    if height < 1 or width < 1 or sensor[0] % height or sensor[1] % width:
        raise IPNetError(
            f"the frame size must divide the sensor's {sensor[1]}x{sensor[0]} pixels; got {width}x{height}."
        )
    return height, width


@numba.njit(cache=True, nogil=True)
def _accumulate(u, x, y, p, span, frames, factor_y, factor_x):  # type: ignore[no-untyped-def]
    steps = frames.shape[0]
    for i in range(u.size):
        position = (2 * u[i] + 1) * steps
        step = position // (2 * span)
        row, column = y[i] // factor_y, x[i] // factor_x
        if position % (2 * span) == 0:
            frames[step - 1, p[i], row, column] += 0.5
            frames[step, p[i], row, column] += 0.5
        else:
            frames[step, p[i], row, column] += 1.0


def frame_events(
    events: Events,
    sensor: tuple[int, int],
    steps: int,
    *,
    by: Literal["time", "count"] = "time",
    size: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Sum events into frames, conserving every one: ``frames.sum() == len(events)``.

    The clip is cut into `steps` parts of equal duration (`by="time"`) or of equal event count (`by="count"`).
    Event i lies at (2 u_i + 1) / (2 D), with u its time (or rank) from the first event and D the span in
    microseconds (or events), so that a clip and its reverse are cut at the same places:
    ``frame_events(reverse_time(e)) == frame_events(e)[::-1]`` exactly. An event exactly on the border of two
    frames counts one half in each.

    Args:
        events: event array [N], N >= 1.
        sensor: (H, W) of the camera in pixels.
        steps: T, the number of frames, >= 1.
        by: what each frame holds an equal share of.
        size: (H', W') of the frames, each dividing the sensor's; blocks of pixels are summed. None keeps it.

    Returns:
        float32 array [T, 2, H', W'], axis 1 = (darker, brighter).

    Raises:
        IPNetError: empty clip, events off the sensor, or a size that does not divide the sensor's.

    Example:
        >>> clip = make_events([0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1])
        >>> frame_events(clip, (2, 2), 2).sum(axis=(1, 2, 3)).tolist()
        [2.0, 2.0]
    """
    check_events(events, sensor, "framing")
    if not isinstance(steps, int) or steps < 1:
        raise IPNetError(f"a clip needs at least 1 frame; got steps = {steps}: give a whole number.")
    if by not in ("time", "count"):
        raise IPNetError(f"frames are cut by 'time' or by 'count'; got '{by}'.")
    height, width = _checked_size(size, sensor)
    u = events["t"] - events["t"][0] if by == "time" else np.arange(events.size, dtype=np.int64)
    frames = np.zeros((steps, 2, height, width), np.float32)
    _accumulate(
        u,
        events["x"],
        events["y"],
        events["p"],
        int(u[-1]) + 1,
        frames,
        sensor[0] // height,
        sensor[1] // width,
    )
    return frames


@numba.njit(cache=True, nogil=True)
def _count(t, x, y, p, first, last, frame, factor_y, factor_x):  # type: ignore[no-untyped-def]
    """Count events[first:] with t <= last into the frame [2, H', W']; return the index of the next event."""
    i = first
    while i < t.size and t[i] <= last:
        frame[p[i], y[i] // factor_y, x[i] // factor_x] += 1.0
        i += 1
    return i


def stream_frames(
    chunks: Iterable[Events],
    sensor: tuple[int, int],
    interval: int,
    *,
    size: tuple[int, int] | None = None,
    start: int | None = None,
    gap: int = 100_000,
) -> Iterator[NDArray[np.float32]]:
    """Sum events into frames as they arrive, conserving every one, in constant memory.

    Frame k holds the events of start + k interval <= t < start + (k + 1) interval; a time without events gives
    empty frames. A frame is yielded when the first event after it is there, the last one when the chunks end, and
    is the same however the events are cut into chunks. An error ends the stream; the frames before it stay valid.

    Args:
        chunks: event arrays [N], N >= 0, in order of time within and across chunks; taken one by one, never
            written to, and free to be overwritten once the next is asked for.
        sensor: (H, W) of the camera in pixels.
        interval: duration of a frame [us], >= 1.
        size: (H', W') of the frames, each dividing the sensor's; blocks of pixels are summed. None keeps it.
        start: time at which frame 0 begins [us], not after the first event; None takes the first event's.
        gap: the most empty frames between two events, >= 0: a wrong time stamp cannot ask for billions of them.

    Returns:
        An iterator of float32 arrays [2, H', W'], axis 0 = (darker, brighter), each a new one; of none if there
        are no events.

    Raises:
        IPNetError: at the call, a size that does not divide the sensor's, or an interval, start or gap that is not
            a whole number in its range; while running, a chunk (named by its number, from 0) of another dtype,
            or with events out of order, before `start` or off the sensor; too long a gap; or 2^24 events at one
            pixel of a frame, where float32 ceases to count.

    Example:
        >>> chunks = [make_events([0, 1], [0, 1], [1, 0], [0, 1]), make_events([2, 9], [0, 0], [0, 1], [1, 1])]
        >>> [int(frame.sum()) for frame in stream_frames(chunks, (2, 2), 3)]
        [3, 0, 0, 1]
    """
    shape = _checked_size(size, sensor)
    _check_whole("interval", interval, 1)
    _check_whole("gap", gap, 0)
    if start is not None:
        _check_whole("start", start, _EARLIEST)
    return _frames(_in_order(chunks, sensor, start), sensor, shape, int(interval), start, int(gap))


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise IPNetError(f"{name} must be a whole number of at least {least}; got {value!r}: give it as an int.")


def _in_order(chunks: Iterable[Events], sensor: tuple[int, int], start: int | None) -> Iterator[Events]:
    """The chunks that hold events, each once it is known to be in order and on the sensor."""
    previous = _EARLIEST if start is None else int(start)
    for number, chunk in enumerate(chunks):
        events = np.asarray(chunk)
        if events.ndim != 1:
            raise IPNetError(
                f"chunk {number}: an event chunk must be an array [N]; got {events.ndim} axes: give [events] for "
                "events that are all in one array."
            )
        if events.dtype == EVENT and not events.size:
            continue
        check_events(events, sensor, f"chunk {number}")
        if int(events["t"][0]) < previous:
            raise IPNetError(
                f"chunk {number}: times must not decrease across chunks, nor lie before start; {events['t'][0]} "
                f"us follows {previous} us: sort the events, or give an earlier start."
            )
        previous = int(events["t"][-1])
        yield events


def _frames(
    chunks: Iterable[Events],
    sensor: tuple[int, int],
    shape: tuple[int, int],
    interval: int,
    start: int | None,
    gap: int,
) -> Iterator[NDArray[np.float32]]:
    """The frames of `stream_frames` from chunks that are in order; `last` is the last time in the frame [us]."""
    frame, last = None, 0
    blocks = sensor[0] // shape[0], sensor[1] // shape[1]
    for events in chunks:
        t, x, y, p = (events[name] for name in ("t", "x", "y", "p"))
        if frame is None:
            frame = np.zeros((2, *shape), np.float32)
            last = int(t[0] if start is None else start) + interval - 1
        first = 0
        while first < t.size:
            ahead = int(t[first]) - last
            if ahead > 0:
                yield _counted(frame)
                empty = (ahead - 1) // interval
                if empty > gap:
                    raise IPNetError(
                        f"the gap between events must be at most {gap} frames; the event at {t[first]} us comes "
                        f"{empty} frames after the frame that ends at {last + 1} us: mend its time, or raise gap."
                    )
                for _ in range(empty):
                    yield np.zeros_like(frame)
                frame, last = np.zeros_like(frame), last + (empty + 1) * interval
            first = _count(t, x, y, p, first, min(last, _LATEST), frame, *blocks)
    if frame is not None:
        yield _counted(frame)


def _counted(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    if frame.max() >= _UNCOUNTABLE:
        raise IPNetError(
            "a pixel must have fewer than 2^24 events in a frame, where float32 ceases to count; got that many at "
            f"[polarity, row, column] = {np.argwhere(frame >= _UNCOUNTABLE)[0].tolist()}: shorten the interval."
        )
    return frame
