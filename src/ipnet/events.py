"""Events: what a camera writes, and frames made of them without losing one.

An event array is a one-dimensional structured array of `EVENT`: time ``t`` [us, integer, not decreasing],
column ``x``, row ``y``, polarity ``p`` (1 brighter, 0 darker).
"""

from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
Events = NDArray[Any]


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
    height, width = size or sensor
    if height < 1 or width < 1 or sensor[0] % height or sensor[1] % width:
        raise IPNetError(
            f"the frame size must divide the sensor's {sensor[1]}x{sensor[0]} pixels; got {width}x{height}."
        )
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
