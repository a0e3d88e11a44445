"""Prophesee EVT 2.0 (``.raw``): 32-bit little-endian words, one event each.

Bits 28-31 are the type: 0 and 1 an event of that polarity (bits 22-27 the low 6 bits of its time, 11-21 x, 0-10
y), 8 the high 28 bits of the time, 10 a trigger, 14 and 15 extensions. Decoded here because faery 0.7 silently
lost events of 211 out of 1,000 damaged copies of an EVT2 recording, names no offset, and is LGPL; the tests
compare with it.

References:
    https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
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
_TURN = 2**28


@numba.njit(cache=True, nogil=True)
def _decode(words, high, epoch, t, x, y, p, at):  # type: ignore[no-untyped-def]
    n, reserved, first_reserved = 0, 0, 0
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 28
        if kind <= 1:
            t[n] = _UNKNOWN if high < 0 else ((epoch + high) << 6) | ((word >> 22) & 0x3F)
            x[n], y[n], p[n], at[n] = (word >> 11) & 0x7FF, word & 0x7FF, kind, i
            n += 1
        elif kind == 8:
            new = word & 0xFFFFFFF
            if high - new > _TURN // 2:
                epoch += _TURN
            high = new
        elif kind != 10 and kind < 14:
            if reserved == 0:
                first_reserved = i
            reserved += 1
    return n, high, epoch, reserved, first_reserved


class Evt2(EventFormat):
    """Events of Prophesee's Gen3 and Gen4 cameras, in their own words."""

    suffixes: ClassVar[tuple[str, ...]] = (".raw",)
    sensors: ClassVar[str] = "(480, 640) for Gen3, (720, 1280) for Gen4"

    def __init__(self, path: Path, stated: Stated) -> None:  # noqa: ARG002
        self.path = path
        fields, self.start = read_header(read_head(path, HEAD))
        self.sensor = stated_sensor(fields)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A header that says EVT2."""
        return encoding(read_header(head)[0]) == "EVT2"

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Four bytes a word."""
        t, at = np.empty((2, PER_BLOCK), np.int64)
        x, y, p = np.empty((3, PER_BLOCK), np.int32)
        high, epoch = -1, 0
        for start, words in records(self.path, self.start, "<u4", refused):
            n, high, epoch, reserved, first = _decode(words, high, epoch, t, x, y, p, at)
            yield Batch(t[:n], x[:n], y[:n], p[:n], start + 4 * at[:n])
            refuse_reserved(refused, reserved, start + 4 * first)

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """A time word whenever the high bits change."""
        high = events["t"] >> 6
        words = np.stack(
            [
                (8 << 28) | (high & 0xFFFFFFF),
                (events["p"].astype(np.int64) << 28)
                | ((events["t"] & 0x3F) << 22)
                | (events["x"].astype(np.int64) << 11)
                | events["y"],
            ],
            axis=1,
        )
        keep = np.ones(words.shape, bool)
        keep[1:, 0] = np.diff(high) != 0
        header = f"% evt 2.0\n% geometry {sensor[1]}x{sensor[0]}\n% end\n"
        return header.encode("ascii") + words[keep].astype("<u4").tobytes()
