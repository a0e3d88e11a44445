"""NumPy arrays (``.npy``): structured with named columns, or [N, 4] in the order that the caller states.

NumPy parses the header; blocks are read here, because a memory map of a file that is cut off later kills the
process.

References:
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.recording import Batch, EventFormat, Place, Refused, Stated
from ipnet.recording._columns import batch, name_columns, time_unit
from ipnet.recording._records import PER_BLOCK

_MAGIC = b"\x93NUMPY"
_ERRORS = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, ArithmeticError, tokenize.TokenError)
_ROW_MAX = 1024  # bytes


class Npy(EventFormat):
    """One array in a file; positions are rows."""

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    place: ClassVar[Place] = "row"

    def __init__(self, path: Path, stated: Stated) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                shape, fortran, self.dtype = _header(file)
                self.start = file.tell()
        except (OSError, *_ERRORS) as error:
            raise IPNetError(f"'{path}': it must begin like a NumPy array ({error}); get it again.") from error
        names, unit = name_columns(self.dtype.names or "txyp")
        named = self.dtype.names is not None
        if not _is_table(shape, self.dtype, list(names.values())):
            raise IPNetError(
                f"'{path}' must hold a structured array [N] with t, x, y, p, or numbers [N, 4]; got {self.dtype} "
                f"of shape {shape}."
            )
        self.rows, self.width, self.by_column = shape[0], 1 if named else 4, fortran and not named
        self.keys: list[Any] = [names[key] if named else stated.columns.index(key) for key in "txyp"]
        kind = (self.dtype[names["t"]] if named else self.dtype).kind
        self.unit = time_unit(path, unit, stated.time_unit, fractional=kind == "f")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """NumPy's first bytes."""
        return head.startswith(_MAGIC)

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """A block of rows at a time."""
        cell = self.dtype.itemsize
        with self.path.open("rb") as file:
            size = file.seek(0, 2) - self.start
            whole = (
                size // cell - 3 * self.rows if self.by_column else size // (cell * (1 if self.dtype.names else 4))
            )
            here = max(0, min(self.rows, whole))
            for row in range(0, here, PER_BLOCK):
                columns = self._columns(file, row, min(PER_BLOCK, here - row))
                yield batch(columns, self.unit, 0, range(row, row + columns[0].size))
        if here < self.rows:
            rule = f"it must hold the {self.rows} events of its header; {self.rows - here} are missing"
            refused.add("cut off at the end", self.rows - here, here, rule)

    def _columns(self, file: BinaryIO, row: int, count: int) -> list[NDArray[Any]]:
        cell = self.dtype.itemsize
        if self.by_column:
            columns = []
            for key in self.keys:
                file.seek(self.start + (key * self.rows + row) * cell)
                columns.append(np.frombuffer(file.read(count * cell), self.dtype))
            return columns
        file.seek(self.start + row * self.width * cell)
        table = np.frombuffer(file.read(count * self.width * cell), self.dtype)
        return [table[key] if self.dtype.names else table[key::4] for key in self.keys]

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:  # noqa: ARG003
        """The event array itself."""
        file = io.BytesIO()
        np.save(file, events)
        return file.getvalue()


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} is not 1.0 or 2.0")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran, dtype


def _is_table(shape: tuple[int, ...], dtype: np.dtype[Any], names: list[str]) -> bool:
    if dtype.names is None:
        return len(shape) == 2 and shape[1] == 4 and shape[0] >= 0 and dtype.kind in "iuf"
    numbers = len(names) == 4 and all(dtype[name].kind in "iufb" for name in names)
    return numbers and len(shape) == 1 and shape[0] >= 0 and 0 < dtype.itemsize <= _ROW_MAX
