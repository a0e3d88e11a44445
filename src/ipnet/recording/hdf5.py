"""HDF5 (``.h5``, ``.hdf5``): the layouts of DSEC, Metavision, MVSEC, M3ED, and plain tables of the same kind.

Looked for in this order: the compound data set ``CD/events`` (Metavision); a group ``events``,
``prophesee/left`` or the file itself with one data set per column (DSEC, M3ED; ``t_offset`` is added to the
times, ``ms_to_idx`` is not needed); ``davis/left/events`` [N, 4] of x, y, t in seconds and p (MVSEC); a data set
``events``, compound or [N, 4] in the order that the caller states. Read with h5py, which made a result or an
exception of 30,000 damaged files but never returned from two, whose text of variable length was damaged:
`_geometry`. HDF5 keeps no checksum of plain data and cannot open a file whose end is missing.

References:
    https://dsec.ifi.uzh.ch/data-format/; https://docs.prophesee.ai/stable/data/file_formats/hdf5.html;
    https://daniilidis-group.github.io/mvsec/; https://m3ed.io/data_overview/
"""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.recording import Batch, EventFormat, Place, Refused, Stated
from ipnet.recording._admission import FAR
from ipnet.recording._columns import TimeUnit, batch, name_columns, time_unit
from ipnet.recording._records import PER_BLOCK

_MAGIC = b"\x89HDF\r\n\x1a\n"
_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)
_GROUPS = ("events", "prophesee/left", "/")
_ECF = 0x8ECF
_CHUNK_MAX = 1 << 28  # bytes
_ASK = "import h5py, sys; print(h5py.File(sys.argv[1])['/'].attrs['geometry'])"
_PATIENCE = 30.0  # seconds
_PER_BYTE_MAX = 256  # events per byte of the file; compressed ones take half a byte at least


class Hdf5(EventFormat):
    """One column or table of an HDF5 file after the other; positions are rows."""

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    place: ClassVar[Place] = "row"
    sensors: ClassVar[str] = "(480, 640) for DSEC, (260, 346) for MVSEC, (720, 1280) for M3ED"

    def __init__(self, path: Path, stated: Stated) -> None:
        self.path = path
        try:
            with h5py.File(path, "r") as file:
                self.sources, found = _layout(file, stated.columns)
                self._check(file)
                first = _cut(file, self.sources, 0, 0)
                self.rows = [len(file[name]) for name, _ in self.sources]
                self.offset = _offset(file)
                self.sensor = _sensor(path, file)
        except IPNetError:
            raise
        except _ERRORS as error:
            raise IPNetError(f"'{path}' cannot be read as HDF5 ({_line(error)}); get the file again.") from error
        self.unit = time_unit(path, found, stated.time_unit, fractional=first[0].dtype.kind == "f")

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """The signature of HDF5."""
        return head.startswith(_MAGIC)

    def _check(self, file: h5py.File) -> None:
        """Numbers, in a size that can be, whose compression is at hand."""
        for name, key in self.sources:
            data = file[name]
            kind = data.dtype[key].kind if isinstance(key, str) else data.dtype.kind
            if kind not in "iufb" or data.dtype.hasobject:
                raise ValueError(f"'{name}' holds no numbers but {data.dtype}")
            if data.shape[1:] != ((4,) if isinstance(key, int) else ()):
                raise ValueError(f"'{name}' has the shape {data.shape}")
            if np.prod(data.chunks or PER_BLOCK, dtype=float) * data.dtype.itemsize > _CHUNK_MAX:
                raise ValueError(f"'{name}' says that its chunks are {data.chunks}, too large to be real")
            if len(data) > _PER_BYTE_MAX * self.path.stat().st_size:
                raise ValueError(f"'{name}' says that it has {len(data)} rows, more than such a file can hold")
            settings = data.id.get_create_plist()
            for number in range(settings.get_nfilters()):
                _need_filter(self.path, settings.get_filter(number)[0])

    def batches(self, refused: Refused) -> Iterator[Batch]:
        """A block of rows at a time; one that cannot be decompressed is left out."""
        rows = min(self.rows)
        with h5py.File(self.path, "r") as file:
            for start in range(0, rows, PER_BLOCK):
                stop = min(rows, start + PER_BLOCK)
                try:
                    columns = _cut(file, self.sources, start, stop)
                except _ERRORS as error:
                    rule = f"blocks must be whole; this one is not ({_line(error)})"
                    refused.add("that cannot be decoded", stop - start, start, rule)
                    continue
                yield batch(columns, self.unit, self.offset, range(start, stop))
        if max(self.rows) > rows:
            rule = f"all columns must have {max(self.rows)} rows, like the longest; one has {rows}"
            refused.add("of which a column is missing", max(self.rows) - rows, rows, rule)

    @classmethod
    def encode(cls, events: Events, sensor: tuple[int, int]) -> bytes:
        """DSEC's layout, with the attribute that states the sensor."""
        memory = io.BytesIO()
        with h5py.File(memory, "w") as file:
            file.attrs["geometry"] = np.bytes_(f"{sensor[1]}x{sensor[0]}")
            for name in "txyp":
                how = {"compression": "gzip", "chunks": (1000,), "maxshape": (None,)}
                file.create_dataset(f"events/{name}", data=events[name], **how)
        return memory.getvalue()


Source = tuple[str, str | int | None]  # a data set, and the field or the column of it


def _layout(file: h5py.File, columns: str) -> tuple[list[Source], TimeUnit | None]:
    """Where t, x, y and p are, and the unit of t if the layout says it."""
    if isinstance(file.get("CD/events"), h5py.Dataset):
        return [("CD/events", name) for name in "txyp"], "us"
    for group in _GROUPS:
        if isinstance(file.get(group), h5py.Group):
            names, unit = name_columns([n for n in file[group] if isinstance(file[group].get(n), h5py.Dataset)])
            if len(names) == 4:
                return [(f"{group}/{names[key]}", None) for key in "txyp"], unit
    if isinstance(file.get("davis/left/events"), h5py.Dataset):
        return [("davis/left/events", "xytp".index(name)) for name in "txyp"], "s"
    if isinstance(file.get("events"), h5py.Dataset):
        if file["events"].dtype.names is None:
            return [("events", columns.index(name)) for name in "txyp"], None
        names, unit = name_columns(file["events"].dtype.names)
        return [("events", names[key]) for key in "txyp"], unit
    raise ValueError(f"it has neither CD/events nor events nor davis/left/events; it has {list(file)[:10]}")


def _cut(file: h5py.File, sources: list[Source], start: int, stop: int) -> list[NDArray[Any]]:
    """Some rows of all sources; a data set that is the source of several is read once."""
    blocks = {name: file[name][start:stop] for name, _ in sources}
    return [blocks[name][:, key] if isinstance(key, int) else blocks[name][key or ...] for name, key in sources]


def _offset(file: h5py.File) -> int:
    """What DSEC adds to all times [us]."""
    offset = int(file["t_offset"][()]) if "t_offset" in file and file["t_offset"].dtype.kind in "iu" else 0
    if abs(offset) >= FAR // 2:
        raise ValueError(f"'t_offset' must be below 2^61 us; it is {offset}")
    return offset


def _sensor(path: Path, file: h5py.File) -> tuple[int, int] | None:
    """(H, W) from the attributes of Metavision or event_utils, or from the frames of MVSEC."""
    if found := re.fullmatch(r"(\d{1,9})x(\d{1,9})", _geometry(path, file)):
        return int(found[2]), int(found[1])
    if "sensor_resolution" in file.attrs and file.attrs.get_id("sensor_resolution").dtype.kind in "iuf":
        height, width = np.ravel(file.attrs["sensor_resolution"])
        return int(height), int(width)
    frames = file.get("davis/left/image_raw")
    if isinstance(frames, h5py.Dataset) and frames.ndim == 3:
        return int(frames.shape[1]), int(frames.shape[2])
    return None


def _geometry(path: Path, file: h5py.File) -> str:
    """Metavision's attribute, empty if there is none.

    Text of variable length is read by another process, because libhdf5 2.0 never returns from some damaged heaps.
    """
    if "geometry" not in file.attrs:
        return ""
    text = h5py.check_string_dtype(file.attrs.get_id("geometry").dtype)
    if text is None or text.length is not None:
        return _plain(file.attrs["geometry"])
    ask = [sys.executable, "-c", _ASK, str(path)]
    try:
        return subprocess.run(ask, capture_output=True, timeout=_PATIENCE, check=True, text=True).stdout.strip()
    except subprocess.SubprocessError as error:
        raise ValueError("its attribute 'geometry' cannot be read") from error


def _plain(value: object) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _need_filter(path: Path, code: int) -> None:
    """A compression of HDF5, from hdf5plugin if it is installed."""
    if not h5py.h5z.filter_avail(code):
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401
    if not h5py.h5z.filter_avail(code):
        cure = (
            "install Prophesee's hdf5_ecf and set HDF5_PLUGIN_PATH to its folder, or convert the file to .raw"
            if code == _ECF
            else "pip install hdf5plugin"
        )
        raise IPNetError(f"'{path}' is compressed with HDF5 filter {code}, which is not installed: {cure}.")


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
