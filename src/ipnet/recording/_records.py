"""Reading a file block by block."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.recording._account import Refused

PER_BLOCK = 1 << 16


def records(path: Path, start: int, dtype: str, refused: Refused) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """The records of fixed size from byte `start` to the end, `PER_BLOCK` at a time, with their byte offsets.

    The rest of a file that ends in the middle of a record is put on the account.
    """
    kind: np.dtype[np.generic] = np.dtype(dtype)
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(PER_BLOCK * kind.itemsize):
            whole, rest = divmod(len(block), kind.itemsize)
            yield start, np.frombuffer(block, kind, whole)
            start += whole * kind.itemsize
            if rest:
                size = kind.itemsize
                rule = f"it must hold whole events of {size} bytes; the last one, at byte {start}, has {rest}"
                refused.add("cut off at the end", rest, start, rule, "byte")


def read_head(path: Path, size: int) -> bytes:
    """The first `size` bytes, fewer of a shorter file.

    Raises:
        IPNetError: not a file that can be read, or an empty one.
    """
    if path.is_dir():
        raise IPNetError(f"a recording must be a file; got the folder '{path}': name a file in it.")
    try:
        with path.open("rb") as file:
            head = file.read(size)
    except OSError as error:
        raise IPNetError(f"'{path}' cannot be read ({error.strerror}); check the path.") from error
    if not head:
        raise IPNetError(f"'{path}': a clip must hold at least one event; got an empty file. Get it again.")
    return head
