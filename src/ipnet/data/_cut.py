"""One window out of the events of a recording."""

import bisect

from ipnet.events import Events


def cut_events(events: Events, start: int, stop: int) -> Events:
    """The events of ``start <= t < stop`` as a new array, with times from `start`.

    Args:
        events: event array [N], sorted; may be mapped from disk, of which little is then read.
        start: where the window begins [us].
        stop: before what it ends [us].

    Example:
        >>> from ipnet.events import make_events
        >>> cut_events(make_events([1, 5, 9], [0, 1, 2], [0, 0, 0], [1, 1, 1]), 5, 9).tolist()
        [(0, 1, 0, 1)]
    """
    times = events["t"]
    window = events[bisect.bisect_left(times, start) : bisect.bisect_left(times, stop)].copy()
    window["t"] -= start
    return window
