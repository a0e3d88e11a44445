"""The little of Google's FlatBuffers that AEDAT 4.0 needs, with every bound checked.

References:
    https://flatbuffers.dev/internals/
"""

import struct


class DamagedError(Exception):
    """A buffer contradicts itself; the message says how."""


def number(kind: str, buffer: bytes, offset: int) -> int:
    """The number of `struct` format `kind` at `offset`.

    Raises:
        DamagedError: `offset` lies outside the buffer.

    Example:
        >>> number("<H", bytes([0, 1, 2]), 1)
        513
    """
    if not 0 <= offset <= len(buffer) - struct.calcsize(kind):
        raise DamagedError(f"an offset points to byte {offset} of {len(buffer)}")
    return int(struct.unpack_from(kind, buffer, offset)[0])


def field(buffer: bytes, index: int) -> int | None:
    """Where field `index` of the root table of a size-prefixed buffer lies; None if it is absent.

    Raises:
        DamagedError: the buffer has another size than it says, or an offset leaves it.
    """
    if number("<I", buffer, 0) != len(buffer) - 4:
        raise DamagedError(f"it says {number('<I', buffer, 0)} bytes and has {len(buffer) - 4}")
    table = 4 + number("<I", buffer, 4)
    slots = table - number("<i", buffer, table)
    if 4 + 2 * index >= number("<H", buffer, slots):
        return None
    offset = number("<H", buffer, slots + 4 + 2 * index)
    return table + offset if offset else None


def vector(buffer: bytes, index: int, size: int) -> tuple[int, int]:
    """Where the elements of field `index`, `size` bytes each, begin, and how many there are; (0, 0) if absent.

    Raises:
        DamagedError: as `field`; or the elements do not fit into the buffer.
    """
    place = field(buffer, index)
    if place is None:
        return 0, 0
    place += number("<I", buffer, place)
    count = number("<I", buffer, place)
    if place + 4 + count * size > len(buffer):
        raise DamagedError(f"it says {count} elements, more than it holds")
    return place + 4, count
