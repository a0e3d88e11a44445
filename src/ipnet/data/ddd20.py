"""DDD20: end-to-end driving recorded with a DAVIS346 (Hu et al., 2020), from its HDF5 files."""

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cached_array, content_hash
from ipnet.data import SPLITS, Split
from ipnet.data._caer import SENSOR, Packet, decode, encode
from ipnet.data._drives import Windows, WindowSet, whole_drives
from ipnet.data._folder import find_folder
from ipnet.errors import IPNetError
from ipnet.events import EVENT, Events, make_events

_SIGNALS = ("steering_wheel_angle", "vehicle_speed")
_MINUTE = 60_000_000  # us
_ROWS = 256  # of dvs/data read at a time
_SAMPLED = 64  # rows of dvs/data in the fingerprint of a drive
_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
Times = NDArray[np.int64]


class DDD20(WindowSet):
    """Windows of DDD20's drives with the angle of the steering wheel and the speed at their end.

    A file is one drive, as published: a group per signal with ``timestamp`` [us] and ``data``; ``dvs/data`` has
    cAER packets of a 346x260 DAVIS (`ipnet.data._caer`), of which frames and inertial data are skipped; vehicle
    signals are rows of time [us] and value. Rows that were never written, at the end of a signal, are left out.

    Camera and car have different clocks. The computer's time of arrival of a packet ties them: between two resets
    of the camera's clock the offset is the smallest delay seen, so that no event is later than its arrival. A
    clock that falls from one packet to the next was reset; its events go on from there, never before the last.

    Targets are interpolated linearly at the end of the window. Windows in which the car does not move faster than
    `min_speed` are left out, as published, and so are windows in which no packet begins.

    Splits: ``"drive"`` keeps whole drives apart (a fifth to test, a tenth to validate). ``"published"`` alternates
    within each drive: 5 minutes to train, the last of them to validate here, then 1 minute to test. Windows lie
    within such a part, but parts of one drive share its road, weather and traffic: prefer ``"drive"``, and say
    which was used.

    Args:
        root: folder with the ``.hdf5`` files, at any depth; None takes ``IPNET_DATA`` (that folder, or ``ddd20``).
        split: ``"drive"`` or ``"published"``.
        window: length of a clip [s], 0.05 to 10; the default is 16 of the 50 ms frames of the publication.
        stride: from window to window [s], at least 0.01.
        min_speed: windows must be faster throughout [km/h], at least 0.
        seed: of the choice of drives, at least 0.

    Raises:
        IPNetError: no folder, a damaged file, too few drives, or an option outside its range.

    References:
        Y. Hu, J. Binas, D. Neil, S.-C. Liu, T. Delbruck, "DDD20 end-to-end event camera driving dataset", IEEE
        ITSC 2020, arXiv:2005.08605.
    """

    real: ClassVar[bool] = True
    targets = ("steering wheel angle [deg]", "vehicle speed [km/h]")
    handed = ("steering wheel angle [deg]",)

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        split: Literal["drive", "published"] = "drive",
        window: float = 0.8,
        stride: float = 0.4,
        min_speed: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not 0.05 <= window <= 10 or stride < 0.01 or min_speed < 0 or seed < 0:
            raise IPNetError(
                "window must be from 0.05 s to 10 s, stride at least 0.01 s, min_speed and seed at least 0; got "
                f"{window} s, {stride} s, {min_speed} km/h and {seed}."
            )
        self.sensor, self.split = SENSOR, split
        self.description = (  # type: ignore[misc]
            f"DDD20, recorded with a DAVIS346 in cars (Hu et al. 2020), {split} split"
        )
        self.root = find_folder("DDD20", root, "ddd20", ("**/*.hdf5",))
        self.files = sorted(self.root.rglob("*.hdf5"))
        self.options = [split, window, stride, min_speed, seed]
        self._length, self._stride, self._min_speed = round(1e6 * window), round(1e6 * stride), min_speed
        self._signals = [_read_signals(path) for path in self.files]
        self._digests = [_digest(path, path.relative_to(self.root).as_posix()) for path in self.files]
        whole = whole_drives(len(self.files), seed) if split == "drive" else ()
        self.windows = Windows.join(
            [self._windows(number, whole[number] if whole else None) for number in range(len(self.files))]
        )
        if missing := [name for name in SPLITS if name not in self.windows.splits]:
            raise IPNetError(
                f"every split needs windows; '{missing[0]}' of '{self.root}' has none: take the other split, or "
                "more drives."
            )

    def _windows(self, number: int, whole: Split | None) -> Windows:
        """The windows of a drive: fast enough, with events, and within one part of the split."""
        length, packets, signals = self._length, self._packets(number), self._signals[number]
        first = max(int(packets[0, 1]), *(int(signal[0, 0]) for signal in signals))
        last = min(int(packets[-1, 2]), *(int(signal[-1, 0]) for signal in signals))
        start = np.arange(first, last - length + 1, self._stride, dtype=np.int64)
        seen = start[:, None] + np.linspace(0, length, 11)
        speed = np.interp(seen, *signals[1].T).min(1)
        begun = np.searchsorted(packets[:, 1], [start, start + length])
        part, inside = np.divmod(start - first, 6 * _MINUTE)
        ends = np.array([4, 5, 6]) * _MINUTE
        which = np.searchsorted(ends, inside, side="right")
        kept = (speed > self._min_speed) & (begun[1] > begun[0])
        if whole is None:
            kept &= inside + length <= ends[which]
        start, part, which = start[kept], part[kept], which[kept]
        name = self.files[number].relative_to(self.root).with_suffix("").as_posix()
        parts = [(f"{name}/{p}{s}", s) for p, s in zip(part, np.array(SPLITS)[which].tolist(), strict=True)]
        return Windows(
            drive=np.full(start.size, number),
            start=start,
            stop=start + length,
            targets=np.stack([np.interp(start + length, *signal.T) for signal in signals], axis=1),
            groups=tuple(name if whole else group for group, _ in parts),
            splits=tuple(whole or split for _, split in parts),
        )

    def _packets(self, number: int) -> Times:
        """Row, first and last time, and offset of the clock [us] of every packet with pixel events [P, 4]."""
        path = self.files[number]
        key = content_hash(self._digests[number], path.stat().st_mtime_ns)
        return cached_array(f"ddd20/{key}", functools.partial(_scan, path))

    def events(self, index: int) -> Events:
        """The events of a window, read from the packets that overlap it; times from its beginning.

        Raises:
            IPNetError: a damaged packet; the message names the file, the row and the byte.
        """
        number = int(self.windows.drive[self._known(index)])
        path, packets = self.files[number], self._packets(number)
        overlaps = (packets[:, 2] >= self.windows.start[index]) & (packets[:, 1] < self.windows.stop[index])
        offsets = {int(row): int(offset) for row, _, _, offset in packets[overlaps]}
        parts = []
        with _opened(path) as file:
            for row, packet in _decoded(path, file, min(offsets, default=0), max(offsets, default=-1) + 1):
                packet.events["t"] += offsets[row]
                parts.append(packet.events)
        return self._cut(np.concatenate([np.empty(0, EVENT), *parts]), index)

    def fingerprint(self) -> str:
        """Hash of the options and of every drive, as `_digest` stands for it."""
        return content_hash(type(self).__name__, self.options, self._digests)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Three drives of a few seconds, written into `folder` in the published layout."""
        for number in range(3):
            write_drive(folder / f"rec{number}.hdf5", seconds=2.0, seed=number)
        return cls(root=folder)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, every failure of HDF5 named."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except IPNetError:
        raise
    except _ERRORS as error:
        raise IPNetError(f"'{path}' cannot be read as a drive of DDD20 ({error}); get the file again.") from error


def _read_signals(path: Path) -> list[NDArray[np.float64]]:
    """Time [us] and value of the steering wheel's angle and of the speed, [S, 2] each."""
    signals = []
    with _opened(path) as file:
        for name in _SIGNALS:
            table = np.asarray(file[name]["data"], np.float64)
            table = table[np.asarray(file[name]["timestamp"]) > 0]
            if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2 or not np.isfinite(table).all():
                raise IPNetError(f"'{path}': {name} must hold times and values; got {table.shape}.")
            if (back := np.flatnonzero(np.diff(table[:, 0]) < 0)).size:
                raise IPNetError(
                    f"'{path}': times of {name} must not decrease; row {int(back[0]) + 1} does: leave it out."
                )
            signals.append(table)
    return signals


def _digest(path: Path, name: str) -> str:
    """What stands for the bytes of a drive, which are too many: name, size, signals, and some of the packets."""
    digest = hashlib.sha256(f"{name}:{path.stat().st_size}".encode())
    with _opened(path) as file:
        for signal in _SIGNALS:
            digest.update(np.asarray(file[signal]["data"]).tobytes())
        data = file["dvs/data"]
        for row in np.unique(np.linspace(0, len(data) - 1, _SAMPLED).astype(int)):
            digest.update(b"".join(np.asarray(part).tobytes() for part in data[row]))
    return digest.hexdigest()[:16]


def _decoded(path: Path, file: Any, start: int, stop: int) -> Iterator[tuple[int, Packet]]:
    """The packets with pixel events among the rows from `start` to before `stop`, with their rows."""
    for first in range(start, stop, _ROWS):
        for row, parts in enumerate(file["dvs/data"][first : min(stop, first + _ROWS)], first):
            packet = decode(parts, f"'{path}', row {row} of dvs/data,")
            if packet is not None and packet.events.size:
                yield row, packet


def _scan(path: Path) -> Times:
    """`DDD20._packets`, from the file."""
    found: list[tuple[int, int, int, int, int]] = []
    clock = segment = 0
    with _opened(path) as file:
        for row, packet in _decoded(path, file, 0, len(file["dvs/data"])):
            first, last = int(packet.events["t"][0]), int(packet.events["t"][-1])
            segment += first < clock
            clock = last
            found.append((row, first, last, packet.arrived - last, segment))
    if not found:
        raise IPNetError(f"'{path}': a drive must hold pixel events; dvs/data has none: get the file again.")
    return _aligned(np.array(found, np.int64))


def _aligned(found: Times) -> Times:
    """Packets in the computer's time [P, 4], from row, camera's times, delay and segment of its clock [P, 5]."""
    packets = found[:, :4].copy()
    end = -(2**62)
    for segment in range(int(found[-1, 4]) + 1):
        of = found[:, 4] == segment
        offset = max(int(found[of, 3].min()), end - int(found[of, 1].min()))
        packets[of, 1:3] += offset
        packets[of, 3] = offset
        end = int(packets[of, 2].max())
    return packets


def write_drive(path: Path, *, seconds: float, seed: int = 0, reset_at: float | None = None) -> None:
    """Write a drive in the published layout: packets every 10 ms, a frame packet now and then, signals at 20 Hz.

    Args:
        path: the file.
        seconds: how long the drive is.
        seed: of its events.
        reset_at: when the camera's clock starts anew [s].
    """
    rng, begin = np.random.default_rng(seed), 1_500_000_000_000_000
    rows = []
    for packet in range(int(100 * seconds)):
        zero = round(1e6 * reset_at) if reset_at is not None and packet >= 100 * reset_at else 0
        t = 10_000 * packet - zero + np.sort(rng.integers(0, 10_000, 20))
        clip = make_events(t, rng.integers(0, 346, 20), rng.integers(0, 260, 20), rng.integers(0, 2, 20))
        rows.append(encode(begin + 10_000 * packet + 10_500, clip))
        if packet % 7 == 3:
            rows.append(encode(begin + 10_000 * packet + 10_600, clip[:3], kind=2))
    time = begin + np.arange(0, 1e6 * seconds, 50_000).astype(np.int64)
    angle = 30 * np.sin(1e-6 * (time - begin) + seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        spare = 5  # rows that the recorder made and never wrote
        data = file.create_dataset("dvs/data", (len(rows) + spare, 3), dtype=h5py.vlen_dtype(np.uint8))
        arrived = np.zeros(len(rows) + spare, np.int64)
        for number, row in enumerate(rows):
            for column, part in enumerate(row):
                data[number, column] = part
            arrived[number] = int(row[0].tobytes())
        file["dvs/timestamp"] = arrived
        for name, value in zip(_SIGNALS, (angle, np.full(time.size, 50.0)), strict=True):
            file[f"{name}/data"] = np.concatenate([np.stack([time, value], 1), np.zeros((spare, 2))])
            file[f"{name}/timestamp"] = np.concatenate([time, np.zeros(spare, np.int64)])
