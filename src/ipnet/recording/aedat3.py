"""AEDAT 3.1 (``.aedat``): packets of the cAER software; the format of DVS128 Gesture.

Text lines from ``#!AER-DAT3.1`` to ``#!END-HEADER``, then packets: a 28-byte little-endian header (type and
source, 16 bits each; size of an event, offset of its time, turns of the clock, capacity, number, valid number,
32 bits each) and `number` events. A pixel event, type 1, is 32 bits of data (bit 0 valid, 1 polarity, 2-16 y,
17-31 x) and 32 bits of time in us, to which every turn adds 2^31. Other types are skipped. Decoded here: no
library reads the format.

References:
    https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.recording import HEAD, Batch, EventFormat, Refused, Stated
from ipnet.recording._admission import INVALID, UNKNOWN
from ipnet.recording._records import PER_BLOCK, read_head

_MAGIC = b"#!AER-DAT3.1"
HEADER = struct.Struct("<hhiiiiii")
POLARITY = 1
_SIZE = 8
_TYPES = range(14)  # libcaer's default types, 0 to 13
# (H, W) of the cameras by the name in the header.
_SOURCES = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (192, 208),
    "DAVIS240A": (180, 240),
    "DAVIS240B": (180, 240),
    "DAVIS240C": (180, 240),
    "DAVIS346": (260, 346),
    "DAVIS346A": (260, 346),
    "DAVIS346B": (260, 346),
    "DAVIS640": (480, 640),
}


class Packet(NamedTuple):
    """The header of a packet, as in the reference."""

    type: int
    source: int
    size: int
    time_offset: int
    turns: int
    capacity: int
    number: int
    valid: int

    def damage(self) -> str:
        """Why this cannot be the header of a packet; empty if it can."""
        if self.type not in _TYPES or self.size < _SIZE or self.turns < 0:
            return "its type, size or clock cannot be"
        if not 0 <= self.valid <= self.number <= self.capacity:
            return "its numbers of events contradict each other"
        if self.type == POLARITY and (self.size, self.time_offset) != (_SIZE, 4):
            return "its pixel events do not have 8 bytes"
        return ""


class Aedat3(EventFormat):
    """Packets of pixel events among those of other sensors."""

    suffixes: ClassVar[tuple[str, ...]] = (".aedat",)
    sensors: ClassVar[str] = "(128, 128) for DVS128 Gesture, (260, 346) for a DAVIS346"

    def __init__(self, path: Path, stated: Stated) -> None:  # noqa: ARG002
        self.path = path
        head = read_head(path, HEAD)
        end = re.search(rb"^#!END-HEADER\r?\n", head, re.MULTILINE)
        if end is None:
            raise IPNetError(
                f"'{path}': its text header must end in '#!END-HEADER' within 64 KiB; get the file again."
            )
        self.start = end.end()
        source = re.search(rb"^#Source \d+: *(\w+)", head[: self.start], re.MULTILINE)
        self.sensor = _SOURCES.get(source[1].decode("ascii", "replace").upper()) if source else None

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """The first line."""
        return head.startswith(_MAGIC)

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Packet by packet; a packet whose header is damaged ends the file."""
        end = self.path.stat().st_size
        with self.path.open("rb") as file:
            start = self.start
            while start < end:
                file.seek(start)
                header = file.read(HEADER.size)
                if len(header) < HEADER.size:
                    rule = f"it must end with a whole packet; the last one has {len(header)} bytes"
                    refused.add("cut off at the end", len(header), start, rule, "byte")
                    return
                packet = Packet(*HEADER.unpack(header))
                if why := packet.damage():
                    rule = f"a packet must have a sound header; {why}"
                    refused.add("after a damaged packet header", end - start, start, rule, "byte")
                    return
                begin, start = start, start + HEADER.size + packet.size * packet.number
                if packet.type == POLARITY:
                    yield from _events(file, packet, begin + HEADER.size, min(start, end))
                if start > end:
                    rule = f"it must hold whole packets; {start - end} bytes of the last one are missing"
                    refused.add("cut off at the end", 1, begin, rule, "packet")

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """Packets of 100 events, each after a special event that must be skipped."""
        name = next((name for name, of in _SOURCES.items() if of == sensor), "unknown")
        parts = [f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {name}\r\n#!END-HEADER\r\n".encode()]
        for start in range(0, events.size, 100):
            some = events[start : start + 100]
            parts += [HEADER.pack(0, 1, 8, 4, 0, 1, 1, 1), bytes(8)]
            parts += pack_pixels(some)
        return b"".join(parts)


def pack_pixels(events: Events) -> tuple[bytes, bytes]:
    """The header and the body of a packet that holds `events`, all of them valid."""
    x, y, p, t = (events[name].astype("<u4") for name in "xypt")
    body = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).tobytes()
    return HEADER.pack(POLARITY, 1, _SIZE, 4, 0, events.size, events.size, events.size), body


def unpack_pixels(data: NDArray[np.uint32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Column, row and polarity of the words of pixel events [N]; the polarity of an invalid one is negative."""
    p = np.where(data & 1, data >> 1 & 1, INVALID).astype(np.int32)
    return (data >> 17).astype(np.int32), (data >> 2 & 0x7FFF).astype(np.int32), p


def _events(file: BinaryIO, packet: Packet, start: int, end: int) -> Iterator[Batch]:
    """The whole events of a packet that lie between two bytes of the file."""
    whole = (end - start) // _SIZE
    for first in range(0, whole, PER_BLOCK):
        block = file.read(_SIZE * min(PER_BLOCK, whole - first))
        pair = np.frombuffer(block, "<u4", len(block) // _SIZE * 2).reshape(-1, 2)
        data, low = pair[:, 0], pair[:, 1].view("<i4")
        t = np.where(low < 0, UNKNOWN, (packet.turns << 31) + low.astype(np.int64))
        x, y, p = unpack_pixels(data)
        yield Batch(t, x, y, p, range(start + _SIZE * first, start + _SIZE * (first + len(t)), _SIZE))
