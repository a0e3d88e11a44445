"""Text tables (``.csv``, ``.txt``): one event a line, separated by commas, semicolons, tabs or blanks.

Lines that are empty or begin with # or % are skipped. A first line of names says which column is which; without
one there are four columns in the order that the caller states, default t, x, y, p. A first line of two whole
numbers is the sensor, width and height, as in the files of e2vid. Times without a decimal point are
microseconds; others need a name that states the unit (``t_us``, ``timestamp [s]``) or `time_unit`. Positions are
lines. NumPy parses.

References:
    https://rpg.ifi.uzh.ch/davis_data.html (t x y p, seconds)
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.recording import HEAD, Batch, EventFormat, Place, Refused, Stated
from ipnet.recording._columns import batch, name_columns, time_unit
from ipnet.recording._records import read_head

_BLOCK = 1 << 20  # bytes
_NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)
_PLAIN = re.compile(rb"[\t\r\n -~]*")


class Text(EventFormat):
    """Numbers in lines."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".txt")
    magic: ClassVar[bool] = False
    place: ClassVar[Place] = "line"
    sensors: ClassVar[str] = "(180, 240) for a DAVIS240"

    def __init__(self, path: Path, stated: Stated) -> None:
        self.path = path
        lines = [(i, line) for i, line in enumerate(read_head(path, HEAD).split(b"\n")) if _filled(line)]
        self.delimiter = next((d for d in (b",", b";") if lines and d in lines[0][1]), None)
        rows = [(i, self._words(line)) for i, line in lines]
        self.skip = 0  # lines before the events
        if rows and len(rows[0][1]) == 2 and all(re.fullmatch(rb"\d{1,9}", word) for word in rows[0][1]):
            self.skip, (width, height) = rows[0][0] + 1, rows[0][1]
            self.sensor = int(height), int(width)
            del rows[0]
        self.keys, unit = [stated.columns.index(key) for key in "txyp"], None
        if rows and not _numbers(rows[0][1]):
            self.skip = rows[0][0] + 1
            titles = [word.decode("utf-8", "replace").strip("\"'") for word in rows[0][1]]
            names, unit = name_columns(titles)
            if len(names) < 4:
                raise IPNetError(
                    f"'{path}', line {self.skip}: the names must include t, x, y and p; got {titles[:9]}."
                )
            self.keys = [titles.index(names[key]) for key in "txyp"]
            del rows[0]
        elif rows and len(rows[0][1]) != 4:
            raise IPNetError(
                f"'{path}', line {rows[0][0] + 1}: without a line of names there must be four columns; got "
                f"{len(rows[0][1])}: add a first line such as 't,x,y,p'."
            )
        times = [words[self.keys[0]] for _, words in rows if len(words) > max(self.keys)]
        fractional = any(_NUMBER.fullmatch(time) and not time.lstrip(b"+-").isdigit() for time in times)
        self.unit = time_unit(path, unit, stated.time_unit, fractional=fractional)
        self.whole = not (unit or stated.time_unit)

    def _words(self, line: bytes) -> list[bytes]:
        return [word.strip() for word in line.split(self.delimiter)]

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """About a MiB of lines at a time."""
        number, rest = 1, b""
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                if len(rest) > _BLOCK:
                    raise IPNetError(f"'{self.path}', line {number + len(lines)}: must be shorter than 1 MiB.")
                yield self._batch(lines, number, refused)
                number += len(lines)
        yield self._batch([rest], number, refused)

    def _batch(self, lines: list[bytes], number: int, refused: Refused) -> Batch:
        """The events of some lines, of which the first has a number."""
        kept = [(i, line) for i, line in enumerate(lines, number) if i > self.skip and _filled(line)]
        at, table = [i for i, _ in kept], self._fast([line for _, line in kept])
        if table is None:
            at, table = self._slow(kept, refused)
        if self.whole:
            table[:, 0] = np.where(np.floor(table[:, 0]) == table[:, 0], table[:, 0], np.nan)
        return batch(list(table.T), self.unit, 0, at)

    def _fast(self, lines: list[bytes]) -> NDArray[np.float64] | None:
        """All lines at once; None if any of them is not as it must be."""
        joined = b"\n".join(lines)
        if not lines or not _PLAIN.fullmatch(joined):
            return None
        delimiter = self.delimiter.decode() if self.delimiter else None
        text = joined.decode("ascii").split("\n")
        try:
            return np.loadtxt(text, np.float64, comments=None, delimiter=delimiter, usecols=self.keys, ndmin=2)
        except ValueError:
            return None

    def _slow(self, lines: list[tuple[int, bytes]], refused: Refused) -> tuple[list[int], NDArray[np.float64]]:
        """Line by line; those that are not as they must be are refused."""
        at, rows, bad = [], [], []
        for i, line in lines:
            words = self._words(line)
            chosen = [words[key] for key in self.keys] if len(words) > max(self.keys) else []
            if chosen and _numbers(chosen):
                at.append(i)
                rows.append([float(word) for word in chosen])
            else:
                bad.append(i)
        if bad:
            refused.add("that are not four numbers", len(bad), bad[0], "a line must hold an event's numbers")
        return at, np.array(rows, np.float64).reshape(-1, 4)

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """A line for the sensor, a line of names, then the events."""
        lines = [f"{t} {x} {y} {p}\n" for t, x, y, p in events.tolist()]
        return f"{sensor[1]} {sensor[0]}\nt x y p\n{''.join(lines)}".encode("ascii")


def _filled(line: bytes) -> bool:
    return not re.match(rb"\s*([#%]|$)", line)


def _numbers(words: list[bytes]) -> bool:
    return all(_NUMBER.fullmatch(word) for word in words)
