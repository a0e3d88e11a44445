"""The rows of DDD20's ``dvs/data``: packets of the cAER software, each a row of three byte strings.

A row is the time of the computer [us] in ASCII digits, and the header and the body of a packet as in AEDAT 3.1
(`ipnet.recording.aedat3`). Rows at the end of a file that were never written are empty.

References:
    J. Binas et al., "DDD17", arXiv:1711.01458; Y. Hu et al., "DDD20", arXiv:2005.08605, and the software of both.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events
from ipnet.recording.aedat3 import HEADER, POLARITY, pack_pixels, unpack_pixels
from ipnet.recording.aedat3 import Packet as Header

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
    header = Header(*HEADER.unpack(head))
    if header.type != POLARITY:
        return None
    if why := header.damage():
        raise _damaged(where, 0, why)
    needed = header.size * header.number
    if len(body) < needed:
        raise _damaged(where, HEADER.size + len(body), f"its events take {needed} bytes; the rest is missing")
    return Packet(int(clock), _checked(np.frombuffer(body, "<u4", needed // 4).reshape(-1, 2), where))


def _checked(pair: NDArray[np.uint32], where: str) -> Events:
    """The valid events among the words and times of a packet [N, 2], all of them on the sensor and in order."""
    x, y, p = unpack_pixels(pair[:, 0])
    valid = np.flatnonzero(p >= 0)
    events = np.empty(valid.size, EVENT)
    events["t"], events["x"], events["y"], events["p"] = pair[valid, 1], x[valid], y[valid], p[valid]
    off = (events["x"] >= SENSOR[1]) | (events["y"] >= SENSOR[0])
    back = np.diff(events["t"], prepend=events["t"][:1]) < 0
    if wrong := np.flatnonzero(off | back).tolist():
        byte = HEADER.size + 8 * int(valid[wrong[0]])
        rule = "an event is off the sensor of 346x260" if off[wrong[0]] else "times decrease within the packet"
        raise _damaged(where, byte, rule)
    return events


def encode(arrived: int, events: Events, kind: int = POLARITY) -> list[NDArray[np.uint8]]:
    """A row that holds `events` at the camera's times; `kind` is the type in the header."""
    head, body = pack_pixels(events)
    parts = str(arrived).encode(), kind.to_bytes(2, "little") + head[2:], body
    return [np.frombuffer(part, np.uint8) for part in parts]


def _damaged(where: str, byte: int, why: str) -> IPNetError:
    return IPNetError(f"{where} is damaged at byte {byte} of the packet: {why}; get the file again.")
