"""Recordings: what event cameras write. One file format per file: drop one here and it is found and tested.

The rules, for all formats alike:

* A chunk is an array of `ipnet.events.EVENT` with `chunk` events; only the last one is shorter. Its times never
  decrease, its events lie on the sensor, its polarities are 0 and 1.
* An event that is off the sensor, has another polarity, comes earlier than the event before it, or is marked
  invalid by the file, is refused: left out and counted in `Recording.refused` with the reason and the byte offset
  of the first. Events in = events out + events refused. With ``strict=True`` the first refusal raises.
* Of a damaged file, whatever is whole is delivered and the damage is counted in the same account: the bytes of a
  tail that is cut off, packets that cannot be decoded, words that no camera writes. If the damage leaves no way to
  go on, the rest of the file is counted as refused.
* A counter of the camera that falls by more than half of its range has turned over (EVT2: 34 bits, EVT3: 24, DAT:
  32, N-MNIST: 23); a smaller fall is an event that comes too early.
* Nothing is guessed that a file does not state: the sensor, and the unit of times with a fractional part. What is
  needed and not stated must be given by the caller.
* A file without a single good event raises `IPNetError`, when it is opened or at the latest when it has been read.
"""

import abc
import functools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

import numpy as np

from ipnet.errors import IPNetError, unknown_name
from ipnet.events import EVENT, Events
from ipnet.recording._account import Place, Refusal, Refused
from ipnet.recording._admission import INVALID_REASON, Admission, Batch
from ipnet.recording._records import read_head
from ipnet.registry import Registry

__all__ = [
    "FORMATS",
    "INVALID_REASON",
    "Batch",
    "EventFormat",
    "Place",
    "Recording",
    "Refusal",
    "Refused",
    "Stated",
    "open_events",
]

HEAD = 1 << 16
_SENSOR_MAX = 2**15 - 1


@dataclass(frozen=True)
class Stated:
    """What the caller says about a file that does not say it itself.

    Attributes:
        sensor: (H, W) in pixels.
        time_unit: of times with a fractional part.
        columns: the order of four columns without names.
    """

    sensor: tuple[int, int] | None = None
    time_unit: Literal["s", "us"] | None = None
    columns: str = "txyp"


class EventFormat(abc.ABC):
    """One file format, opened on one file.

    The constructor takes the path and what the caller stated, reads the header, and raises `IPNetError` if it
    cannot. The contract, checked for every entry by ``tests/test_recording.py``: what `encode` writes is read
    back; no damage of it makes anything but a result or an `IPNetError`.

    Attributes:
        suffixes: the endings of such files, lower case.
        magic: True if files of this format are recognised by their first bytes; otherwise the ending must do.
        place: what positions in the file count.
        sensor: (H, W) in pixels as the file states it, or None.
        sensors: a hint for messages, of the usual sensors of files that do not state theirs.
    """

    suffixes: ClassVar[tuple[str, ...]]
    magic: ClassVar[bool] = True
    place: ClassVar[Place] = "byte"
    sensors: ClassVar[str] = ""
    sensor: tuple[int, int] | None = None

    @abc.abstractmethod
    def __init__(self, path: Path, stated: Stated) -> None: ...

    @classmethod
    def recognises(cls, head: bytes) -> bool:  # noqa: ARG003
        """True if a file that begins with `head`, at most 64 KiB, is of this format."""
        return False

    @abc.abstractmethod
    def batches(self, refused: Refused) -> Iterator[Batch]:
        """Decode from the beginning; put on the account what cannot be decoded."""

    @classmethod
    @abc.abstractmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """A file of this format that holds `events`, 0 <= t < 2^23 us and x, y < 240; for the contract suite."""


FORMATS: Registry[EventFormat] = Registry("recording format", __name__, EventFormat)


class Recording:
    """An event file, as an iterable of chunks; made by `open_events`.

    Every iteration reads the file from its beginning, a block at a time.

    Attributes:
        path: the file.
        format: name of its format, a key of `FORMATS`.
        sensor: (H, W) in pixels.
        chunk: events per chunk.
        refused: what the latest iteration has refused so far.
    """

    def __init__(
        self, path: Path, name: str, reader: EventFormat, sensor: tuple[int, int], chunk: int, *, strict: bool
    ) -> None:
        self.path, self.format, self.sensor, self.chunk = path, name, sensor, chunk
        self._reader, self._strict = reader, strict
        self.refused = Refused(path, self._reader.place, strict=strict)
        self._running: Generator[Events, None, None] | None = None

    def __iter__(self) -> Iterator[Events]:
        """Begin again.

        Raises:
            IPNetError: not one good event in the file, or, in strict mode, the first refusal.
        """
        self.refused = Refused(self.path, self._reader.place, strict=self._strict)
        self._running = self._chunks(self.refused)
        return self._running

    def _chunks(self, refused: Refused) -> Generator[Events, None, None]:
        admission = Admission(self.sensor, refused)
        waiting: list[Events] = []
        held = delivered = 0
        try:
            for batch in self._reader.batches(refused):
                waiting.append(admission(batch))
                held += waiting[-1].size
                if held >= self.chunk:
                    joined = _join(waiting)
                    held %= self.chunk
                    for start in range(0, joined.size - held, self.chunk):
                        delivered += self.chunk
                        yield joined[start : start + self.chunk]
                    waiting = [joined[joined.size - held :]]
        except OSError as error:
            raise IPNetError(f"'{self.path}' cannot be read to its end ({error}); get the file again.") from error
        if held:
            yield _join(waiting)
        elif not delivered:
            why = f"{refused} were refused" if refused else "there are none in it"
            raise IPNetError(f"'{self.path}': a clip must hold at least one event; got none: {why}.")

    def read(self) -> Events:
        """All chunks in one array.

        Raises:
            IPNetError: as for iteration.
        """
        return _join(list(self))

    def close(self) -> None:
        """End the latest iteration and close the file."""
        if self._running is not None:
            self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_events(
    path: str | Path,
    *,
    sensor: tuple[int, int] | None = None,
    chunk: int = 100_000,
    strict: bool = False,
    format: str | None = None,  # noqa: A002
    time_unit: Literal["s", "us"] | None = None,
    columns: str = "txyp",
) -> Recording:
    """Open a recording of an event camera; its rules are those of `ipnet.recording`.

    The format is recognised by the first bytes of the file, or by its ending where a format has no such mark
    (``.bin``, ``.bs2``, ``.csv``, ``.txt``).

    Args:
        path: the file.
        sensor: (H, W) in pixels; needed only where the file does not state it.
        chunk: events per chunk, >= 1.
        strict: raise at the first damage or refused event instead of counting it.
        format: name of the format; None recognises it.
        time_unit: "s" or "us", for times with a fractional part in files that do not state their unit; times in
            whole numbers are microseconds.
        columns: the order of four columns that have no names (NumPy arrays [N, 4], text), default t, x, y, p.

    Returns:
        An iterable of event arrays that can be iterated again, and a context manager.

    Raises:
        IPNetError: missing, empty, of no known format, or damaged in its header; a sensor that is needed and not
            given, or that the file contradicts; a chunk below 1.

    Example:
        >>> import tempfile
        >>> from ipnet.events import make_events
        >>> clip = make_events([0, 5, 9], [0, 1, 2], [0, 1, 2], [1, 0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "clip.bin")
        ...     _ = path.write_bytes(FORMATS["bin40"].encode(clip, (34, 34)))
        ...     with open_events(path, sensor=(34, 34), chunk=2) as recording:
        ...         print(recording.format, [chunk["t"].tolist() for chunk in recording], len(recording.refused))
        bin40 [[0, 5], [9]] 0
    """
    path = Path(path)
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise IPNetError(f"a chunk must hold at least 1 event; got chunk = {chunk}: give a whole number.")
    if sorted(columns) != sorted("txyp"):
        raise IPNetError(f"columns must name t, x, y and p once each; got '{columns}', the default is 'txyp'.")
    if time_unit not in (None, "s", "us"):
        raise IPNetError(f"time_unit must be 's' or 'us'; got '{time_unit}'.")
    if sensor is not None:
        sensor = _checked_sensor(sensor, "sensor")
    formats = _formats(tuple(__path__))
    head = read_head(path, HEAD)
    name = format or _recognise(path, head, formats)
    if name not in formats:
        raise unknown_name(FORMATS.kind, name, formats)
    reader = formats[name](path, Stated(sensor, time_unit, columns))
    return Recording(path, name, reader, _agreed_sensor(path, reader, sensor), chunk, strict=strict)


@functools.cache
def _formats(folders: tuple[str, ...]) -> dict[str, type[EventFormat]]:  # noqa: ARG001
    """All formats, looked up once: the registry reads the metadata of all installed packages each time."""
    return {name: FORMATS[name] for name in FORMATS}


def _recognise(path: Path, head: bytes, formats: dict[str, type[EventFormat]]) -> str:
    """The format whose mark the file has, otherwise one without a mark whose ending it has."""
    named = [name for name, of in formats.items() if path.suffix.lower() in of.suffixes]
    for name in [*named, *formats]:
        if formats[name].recognises(head):
            return name
    for name in named:
        if not formats[name].magic:
            return name
    begins = f"; it begins with {head[:12]!r}, as no {' or '.join(named)} file does" if named else ""
    raise IPNetError(
        f"'{path}' is of no known format{begins}. Known: {', '.join(formats)}; if it is one of them, give "
        "format = '<name>', otherwise convert it."
    )


def _join(parts: list[Events]) -> Events:
    """Concatenate; as bytes, because NumPy copies unaligned records field by field."""
    return np.concatenate([np.empty(0, np.uint8), *(part.view(np.uint8) for part in parts)]).view(EVENT)


def _checked_sensor(sensor: tuple[int, int], where: str) -> tuple[int, int]:
    sides = tuple(sensor)
    if len(sides) != 2 or not all(isinstance(side, int) and 1 <= side <= _SENSOR_MAX for side in sides):
        raise IPNetError(f"{where} must be (height, width) in pixels, 1 to {_SENSOR_MAX} each; got {sensor}.")
    return sides[0], sides[1]


def _agreed_sensor(path: Path, reader: EventFormat, given: tuple[int, int] | None) -> tuple[int, int]:
    stated = reader.sensor
    if stated is None:
        if given is None:
            usual = f", for example {reader.sensors}" if reader.sensors else ""
            raise IPNetError(
                f"'{path}' does not state its sensor; give sensor = (height, width) in pixels{usual}."
            )
        return given
    stated = _checked_sensor(stated, f"'{path}': the sensor in the header")
    if given is not None and given != stated:
        raise IPNetError(
            f"sensor must agree with '{path}', which states (height, width) = {stated}; got {given}: leave it out."
        )
    return stated
