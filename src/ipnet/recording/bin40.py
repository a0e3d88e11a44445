"""N-MNIST and N-Caltech101 (``.bin``, ``.bs2``): 40 bits an event, big-endian.

Byte 0 is x, byte 1 is y, bit 7 of byte 2 the polarity, the other 23 bits the time in us. A record with y = 240
is no event but adds 2^13 us to all later times, as in the reader that its authors publish; sensors of such files
have fewer rows. Decoded here: no library reads the format.

References:
    Orchard et al., Front. Neurosci. 9:437 (2015), https://www.garrickorchard.com/datasets/n-mnist.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from ipnet.events import Events
from ipnet.recording import Batch, EventFormat, Refused, Stated
from ipnet.recording._admission import unwrap
from ipnet.recording._records import records

_OVERFLOW_ROW, _OVERFLOW = 240, 2**13


class Bin40(EventFormat):
    """40-bit events without a header; the sensor is not stated."""

    suffixes: ClassVar[tuple[str, ...]] = (".bin", ".bs2")
    magic: ClassVar[bool] = False
    sensors: ClassVar[str] = "(34, 34) for N-MNIST, (180, 240) for N-Caltech101"

    def __init__(self, path: Path, stated: Stated) -> None:  # noqa: ARG002
        self.path = path

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Five bytes an event."""
        last, epoch, added = 0, 0, 0
        for start, raw in records(self.path, 0, "5u1", refused):
            column = raw.view(np.uint8).reshape(-1, 5).astype(np.int32).T
            t = ((column[2] & 0x7F) << 16 | column[3] << 8 | column[4]).astype(np.int64)
            last, epoch = unwrap(t, last, epoch, 2**23)
            overflow = column[1] == _OVERFLOW_ROW
            t += added + _OVERFLOW * np.cumsum(overflow)
            added += _OVERFLOW * int(np.count_nonzero(overflow))
            at = np.arange(start, start + 5 * t.size, 5)
            keep = ~overflow
            yield Batch(t[keep], column[0][keep], column[1][keep], column[2][keep] >> 7, at[keep])

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:  # noqa: ARG003
        """Times modulo 2^23 us."""
        raw = np.empty((events.size, 5), np.uint8)
        raw[:, 0], raw[:, 1] = events["x"], events["y"]
        t = events["t"] & 0x7FFFFF
        raw[:, 2] = (events["p"] << 7) | (t >> 16)
        raw[:, 3], raw[:, 4] = (t >> 8) & 0xFF, t & 0xFF
        return raw.tobytes()
