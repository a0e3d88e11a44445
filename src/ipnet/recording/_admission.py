"""The rules that every event of every format must keep, checked in one place."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ipnet.events import EVENT, Events
from ipnet.recording._account import Refused

UNKNOWN = -(2**63)  # as a time: the file never said when, or where, this event was
FAR = 2**62  # as a time: beyond what can be subtracted without overflow, or not a number
INVALID = -2  # as a polarity: the file itself marks the event as invalid

INVALID_REASON = "marked invalid in the file"  # by the camera's own filters: no damage
_REASONS = (
    INVALID_REASON,
    "without a time or an address",
    "off the sensor",
    "of a polarity other than 0 and 1",
    "of an impossible time",
    "earlier than the event before",
)


class Batch(NamedTuple):
    """Decoded events before any rule is applied; the columns have equal length N.

    Attributes:
        t: time [us], int64 [N]; `UNKNOWN` and `FAR` have a meaning of their own.
        x: column, int32 [N].
        y: row, int32 [N].
        p: polarity, int32 [N]; `INVALID` has a meaning of its own.
        at: where each event begins in the file [N].
    """

    t: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    p: NDArray[np.int32]
    at: Sequence[int] | NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def _admit(t, x, y, p, height, width, last, out_t, out_x, out_y, out_p, count, first):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(t.size):
        if p[i] == INVALID:
            reason = 0
        elif t[i] == UNKNOWN:
            reason = 1
        elif x[i] < 0 or x[i] >= width or y[i] < 0 or y[i] >= height:
            reason = 2
        elif p[i] != 0 and p[i] != 1:
            reason = 3
        elif t[i] >= FAR or t[i] <= -FAR:
            reason = 4
        elif t[i] < last:
            reason = 5
        else:
            last = t[i]
            out_t[n], out_x[n], out_y[n], out_p[n] = t[i], x[i], y[i], p[i]
            n += 1
            continue
        if count[reason] == 0:
            first[reason] = i
        count[reason] += 1
    return n, last


class Admission:
    """Lets the events pass that keep the rules and puts the others on the account.

    Args:
        sensor: (H, W) in pixels.
        refused: the account.
    """

    def __init__(self, sensor: tuple[int, int], refused: Refused) -> None:
        self.sensor, self.refused = sensor, refused
        self.last, self.seen = -FAR, 0

    def __call__(self, batch: Batch) -> Events:
        """The admitted events of a batch, in order.

        Raises:
            IPNetError: in strict mode, for the first event that breaks a rule.
        """
        out = np.empty(batch.t.size, EVENT)
        count, first = np.zeros(len(_REASONS), np.int64), np.zeros(len(_REASONS), np.int64)
        out_t, out_x, out_y, out_p = (out[name] for name in "txyp")
        height, width = self.sensor
        t, x, y, p, at = batch
        n, self.last = _admit(t, x, y, p, height, width, self.last, out_t, out_x, out_y, out_p, count, first)
        for reason in sorted(np.flatnonzero(count), key=first.__getitem__):
            i = int(first[reason])
            rule = self._rule(int(reason), batch, i)
            self.refused.add(_REASONS[reason], int(count[reason]), int(at[i]), rule)
        self.seen += batch.t.size
        return out[:n]

    def _rule(self, reason: int, batch: Batch, i: int) -> str:
        height, width = self.sensor
        t, x, y, p = (column[i] for column in batch[:4])
        event = f"event {self.seen + i}"
        rules: tuple[Any, ...] = (
            f"events must be valid; {event} is marked invalid",
            f"events must follow a time and an address; {event} does not",
            f"events must lie on the sensor of {width}x{height} pixels; {event} has x = {x}, y = {y}",
            f"polarity must be 0 or 1; {event} has {p}",
            f"times must lie within 2^62 us of zero; {event} does not",
            f"times must not decrease; {event} does, to {t} us",
        )
        return str(rules[reason])


@numba.njit(cache=True, nogil=True)
def unwrap(t, last, epoch, period):  # type: ignore[no-untyped-def]
    """Add to `t`, in place, the turns of a counter of `period`: a drop by more than half of it is a turn.

    Returns:
        The last counter value and the sum of the turns so far, for the next call.
    """
    for i in range(t.size):
        if last - t[i] > period // 2:
            epoch += period
        last = t[i]
        t[i] += epoch
    return last, epoch
