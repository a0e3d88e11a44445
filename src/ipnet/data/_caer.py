"""The rows of DDD20's ``dvs/data``: packets of the cAER software, each a row of three byte strings.

A row is the time of the computer [us] in ASCII digits, a 28-byte little-endian packet header and `capacity` events
of `size` bytes. A pixel event, type 1, is 32 bits of data (bit 0 valid, 1 polarity, 2-16 y, 17-31 x) and 32 bits
of the camera's time [us]. Rows at the end of a file that were never written are empty.

References:
    J. Binas et al., "DDD17", arXiv:1711.01458; Y. Hu et al., "DDD20", arXiv:2005.08605, and the software of both.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events

HEADER = struct.Struct("<hhiiiiii")
POLARITY = 1
_SIZE = 8
SENSOR = (260, 346)


class Packet(NamedTuple):
    """The pixel events of one row.

    Attributes:
        arrived: when the computer got them [us].
        events: those that the camera marks as valid, at its own times.
    """

    arrived: int
    events: Events


def decode(row: Any, where: str) -> Packet | None:
    """The pixel events of a row; None for an empty row and for packets of other sensors.

    Args:
        row: three arrays of bytes.
        where: the file and the row, for messages.

    Raises:
        IPNetError: a packet that cannot be, at what byte of the packet.
    """
    clock, head, body = (np.asarray(part, np.uint8).tobytes() for part in row)
    if not clock or clock == b"0":
        return None
    if not clock.isdigit() or len(head) != HEADER.size:
        raise _damaged(
            where, 0, f"a time in digits and a header of 28 bytes are needed; got {clock!r}, {len(head)}"
        )
    kind, _, size, offset, _, capacity, number, valid = HEADER.unpack(head)
    if kind != POLARITY:
        return None
    if (size, offset) != (_SIZE, 4) or not 0 <= valid <= number <= capacity:
        raise _damaged(where, 0, "the header contradicts itself")
    if len(body) < _SIZE * number:
        raise _damaged(
            where, HEADER.size + len(body), f"{number} events of 8 bytes are announced; the rest is missing"
        )
    pair = np.frombuffer(body, "<u4", 2 * number).reshape(-1, 2)
    pair = pair[pair[:, 0] & 1 == 1]
    return Packet(int(clock), _checked(pair, body, where))


def _checked(pair: NDArray[np.uint32], body: bytes, where: str) -> Events:
    events = np.empty(len(pair), EVENT)
    events["t"] = pair[:, 1]
    events["x"], events["y"], events["p"] = pair[:, 0] >> 17, pair[:, 0] >> 2 & 0x7FFF, pair[:, 0] >> 1 & 1
    off = (events["x"] >= SENSOR[1]) | (events["y"] >= SENSOR[0])
    back = np.concatenate([[False], np.diff(events["t"]) < 0])
    if wrong := np.flatnonzero(off | back).tolist():
        byte = HEADER.size + body.index(pair[wrong[0]].tobytes())
        rule = "an event is off the sensor of 346x260" if off[wrong[0]] else "times decrease within the packet"
        raise _damaged(where, byte, rule)
    return events


def encode(arrived: int, events: Events, kind: int = POLARITY) -> list[NDArray[np.uint8]]:
    """A row that holds `events` at the camera's times; `kind` is the type in the header."""
    data = (
        (events["x"].astype("<u4") << 17) | (events["y"].astype("<u4") << 2) | (events["p"].astype("<u4") << 1) | 1
    )
    body = np.stack([data, events["t"].astype("<u4")], axis=1).tobytes()
    head = HEADER.pack(kind, 1, _SIZE, 4, 0, events.size, events.size, events.size)
    return [np.frombuffer(part, np.uint8) for part in (str(arrived).encode(), head, body)]


def _damaged(where: str, byte: int, why: str) -> IPNetError:
    return IPNetError(f"{where} is damaged at byte {byte} of the packet: {why}; get the file again.")
