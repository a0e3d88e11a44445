"""Prophesee EVT 3.0 (``.raw``): 16-bit little-endian words that say only what changed.

Bits 12-15 are the type: 0 the row (bits 0-10), 2 an event (bits 0-10 x, bit 11 polarity), 3 base column and
polarity of the vectors that follow, 4 and 5 a vector of 12 and 8 pixels from the base on (bit i: an event at
base + i; the base moves past it), 6 and 8 the low and the high 12 bits of the time, 7, 10, 14 and 15 triggers
and extensions. Decoded here because faery 0.7 silently lost events of 211 out of 1,000 damaged copies of an EVT2
recording, names no offset, and is LGPL; the tests compare with it.

References:
    https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numba
import numpy as np

from ipnet.events import Events
from ipnet.recording import HEAD, Batch, EventFormat, Refused, Stated
from ipnet.recording._admission import UNKNOWN
from ipnet.recording._prophesee import encoding, read_header, refuse_reserved, stated_sensor
from ipnet.recording._records import PER_BLOCK, read_head, records

_UNKNOWN = np.int64(UNKNOWN)
_TURN = 2**12
# The state between words: high and low bits of the time, its turns, row, base column, polarity of the base.
_START = (-1, 0, 0, -1, -1, 0)


@numba.njit(cache=True, nogil=True)
def _set_time(state, kind, value):  # type: ignore[no-untyped-def]
    """A time word: 6 sets the low bits, 8 the high bits, which start the low ones again when they change."""
    if kind == 6:
        state[1] = value
    elif value != state[0]:
        if state[0] - value > _TURN // 2:
            state[2] += _TURN
        state[0], state[1] = value, 0


@numba.njit(cache=True, nogil=True)
def _set_address(state, kind, word):  # type: ignore[no-untyped-def]
    """A row, or the base and the polarity of vectors."""
    if kind == 0:
        state[3] = word & 0x7FF
    else:
        state[4], state[5] = word & 0x7FF, (word >> 11) & 1


@numba.njit(cache=True, nogil=True)
def _pixels(state, kind, word):  # type: ignore[no-untyped-def]
    """Column of the first pixel, one bit per pixel, polarity, time; a vector moves the base past it."""
    base, bits, polarity = state[4], word & 0xFFF, state[5]
    if kind == 2:
        base, bits, polarity = word & 0x7FF, np.int64(1), (word >> 11) & 1
    elif kind == 5:
        bits = word & 0xFF
    if kind != 2 and base >= 0:
        state[4] = base + (12 if kind == 4 else 8)
    known = state[0] >= 0 and state[3] >= 0 and base >= 0
    return base, bits, polarity, ((state[2] + state[0]) << 12) | state[1] if known else _UNKNOWN


@numba.njit(cache=True, nogil=True)
def _decode(words, state, t, x, y, p, at):  # type: ignore[no-untyped-def]
    n, reserved, first_reserved = 0, 0, 0
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 12
        if kind in (2, 4, 5):
            column, bits, polarity, now = _pixels(state, kind, word)
            while bits:
                if bits & 1:
                    t[n], x[n], y[n], p[n], at[n] = now, column, state[3], polarity, i
                    n += 1
                column, bits = column + 1, bits >> 1
        elif kind in (0, 3):
            _set_address(state, kind, word)
        elif kind in (6, 8):
            _set_time(state, kind, word & 0xFFF)
        elif kind in (1, 9, 11, 12, 13):
            if reserved == 0:
                first_reserved = i
            reserved += 1
    return n, reserved, first_reserved


class Evt3(EventFormat):
    """Events of Prophesee's Gen4 cameras and the IMX636, in their own words."""

    suffixes: ClassVar[tuple[str, ...]] = (".raw",)
    sensors: ClassVar[str] = "(720, 1280) for the IMX636"

    def __init__(self, path: Path, stated: Stated) -> None:  # noqa: ARG002
        self.path = path
        fields, self.start = read_header(read_head(path, HEAD))
        self.sensor = stated_sensor(fields)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A header that says EVT3."""
        return encoding(read_header(head)[0]) == "EVT3"

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Two bytes a word, up to twelve events in one."""
        t, at = np.empty((2, 12 * PER_BLOCK), np.int64)
        x, y, p = np.empty((3, 12 * PER_BLOCK), np.int32)
        state = np.array(_START, np.int64)
        for start, words in records(self.path, self.start, "<u2", refused):
            n, reserved, first = _decode(words, state, t, x, y, p, at)
            yield Batch(t[:n], x[:n], y[:n], p[:n], start + 2 * at[:n])
            refuse_reserved(refused, reserved, start + 2 * first)

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """Single events, with a word for whatever changed; a pair on neighbouring pixels as a vector."""
        words: list[int] = []
        now = row = -1
        rest = list(zip(*(events[name].tolist() for name in "txyp"), strict=True))[::-1]
        while rest:
            t, x, y, p = rest.pop()
            if t >> 12 != now >> 12:
                words.append(0x8000 | ((t >> 12) & 0xFFF))
            if t != now:
                words.append(0x6000 | (t & 0xFFF))
            if y != row:
                words.append(y)
            now, row = t, y
            if rest and rest[-1] == (t, x + 1, y, p):
                rest.pop()
                words += [0x3000 | (p << 11) | x, 0x5003]
            else:
                words.append(0x2000 | (p << 11) | x)
        header = f"% evt 3.0\n% format EVT3;height={sensor[0]};width={sensor[1]}\n% end\n"
        return header.encode("ascii") + np.array(words, "<u2").tobytes()
