"""Prophesee DAT (``.dat``), version 2: a text header, two bytes for type and size, then 8 bytes an event.

Little-endian: 32 bits of time in us, then 14 bits x, 14 bits y, 4 bits polarity. Decoded here because faery 0.7
refuses type 0 ("2d", that of N-CARS), is LGPL, and names no offset.

References:
    https://docs.prophesee.ai/stable/data/file_formats/dat.html
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.recording import HEAD, Batch, EventFormat, Refused, Stated
from ipnet.recording._admission import unwrap
from ipnet.recording._prophesee import encoding, read_header, stated_sensor
from ipnet.recording._records import read_head, records

_TYPES = (0, 12)  # Event2d, EventCd
_SIZE = 8


class Dat(EventFormat):
    """Decoded events, as Prophesee's older software saves them."""

    suffixes: ClassVar[tuple[str, ...]] = (".dat",)
    sensors: ClassVar[str] = "(240, 304) for Gen1, (480, 640) for Gen3; the clips of N-CARS are up to (100, 120)"

    def __init__(self, path: Path, stated: Stated) -> None:  # noqa: ARG002
        self.path = path
        head = read_head(path, HEAD)
        fields, start = read_header(head)
        if fields.get("version") != "2":
            version = fields.get("version", "none")
            raise IPNetError(f"'{path}' must be DAT version 2; got version {version}: convert it.")
        kind, size = [*head[start : start + 2], -1, -1][:2]
        if kind not in _TYPES or size != _SIZE:
            raise IPNetError(
                f"'{path}', byte {start}: a DAT file must hold events of type 0 or 12 and {_SIZE} bytes; got type "
                f"{kind} of {size} bytes (-1: cut off): other types are no pixel events."
            )
        self.start = start + 2
        self.sensor = stated_sensor(fields)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """A header that says what the data file contains, or that has a version and no encoding."""
        fields, _ = read_header(head)
        return fields.get("data", "").startswith("file containing") or (
            "version" in fields and not encoding(fields)
        )

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Eight bytes an event."""
        last, epoch = 0, 0
        for start, raw in records(self.path, self.start, "<u8", refused):
            pair = raw.view("<u4").reshape(-1, 2)
            t, address = pair[:, 0].astype(np.int64), pair[:, 1]
            last, epoch = unwrap(t, last, epoch, 2**32)
            x, y = (address & 0x3FFF).astype(np.int32), (address >> 14 & 0x3FFF).astype(np.int32)
            yield Batch(t, x, y, (address >> 28).astype(np.int32), range(start, start + 8 * t.size, 8))

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """Times modulo 2^32 us."""
        pair = np.empty((events.size, 2), "<u4")
        pair[:, 0] = events["t"] & 0xFFFFFFFF
        pair[:, 1] = events["x"].astype(np.int64) | events["y"].astype(np.int64) << 14
        pair[:, 1] |= events["p"].astype(np.uint32) << 28
        header = f"% Data file containing CD events\n% Version 2\n% Width {sensor[1]}\n% Height {sensor[0]}\n"
        return header.encode("ascii") + bytes([12, _SIZE]) + pair.tobytes()
