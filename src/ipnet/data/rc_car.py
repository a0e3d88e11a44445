"""Frames and steering of real model cars (donkeycar), turned into events by the simulated sensor."""

import functools
import hashlib
import io
import json
import re
import tarfile
import zlib
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.cache import cached_array, content_hash
from ipnet.data import SPLITS
from ipnet.data._drives import Windows, WindowSet, alternate
from ipnet.data._folder import find_folder
from ipnet.errors import IPNetError
from ipnet.events import Events
from ipnet.pixel import DVSPixel, simulate_events

_ARCHIVES = ("tub", "whiteline2")
_TUB_INTERVAL = 50_000  # us; `assumed`: the time stamps of this tub were written anew when it was published
_FRAME = re.compile(r"frame_(\d+)_spd_-?\d+_agl_(-?\d+)_mil_(\d+)\.jpg")
_FULL_LOCK = 90.0  # the number that whiteline2 writes for full lock
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green and blue (Rec. 709)
_GAMMA = 2.2
_WHOLE = 2  # pixels of a frame, each way, that make one of the sensor
_GENERATOR = 1  # raise it when the events change: it is part of the fingerprint


class _Video(NamedTuple):
    """A recording: names of its frames in their archive, their times [us] and steering angles [1], each [F]."""

    names: tuple[str, ...]
    times: NDArray[np.int64]
    angles: NDArray[np.float64]


class RCCar(WindowSet):
    """Two recordings of model cars on real tracks, 160x120 pixels, and the steering angle of every frame.

    ``tub.tar.gz``: 1000 frames, a person drives round an indoor track; its time stamps were rewritten, so that
    20 frames a second are `assumed`. ``whiteline2.tar.gz``: 659 frames along a white line, about 7.5 a second,
    with the times in the file names. The angle is a fraction of full lock, -1 left to 1 right (whiteline2: its
    number, -90 to 90, over 90).

    The events are simulated (`ipnet.pixel`): luminance at 80x60 pixels (blocks of 2x2), interpolated between
    frames that are 50 to 133 ms apart, so that time stamps between frames are the simulator's, not the world's.
    The sensor runs at even intervals; times are then stretched to those of the frames.

    A clip is the `window` before a frame; its target is the angle at that frame. Each recording is cut into blocks
    of `block` seconds, and of five, three are to train, one to validate and one to test. A window lies within its
    block, after the first `gap` seconds of it, so that no two splits share an event. They do share the track,
    which the cars go round several times: a result says nothing about other tracks.

    Args:
        root: folder of the two archives; None takes ``IPNET_DATA`` (that folder, or ``donkeycar`` in it).
        window: length of a clip [s], 0.2 to 10.
        block: length of a block [s], more than window + gap.
        gap: time kept out at the beginning of a block [s], at least 0.
        seed: of the simulated sensor, at least 0.

    Raises:
        IPNetError: no archives, a damaged one, or an option outside its range.

    References:
        https://github.com/autorope/donkeycar, MIT licence.
    """

    real: ClassVar[bool] = False
    description: ClassVar[str] = "model cars on real tracks (donkeycar): events simulated from real video"
    targets = ("steering angle [1]",)
    handed = targets

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        window: float = 1.0,
        block: float = 4.0,
        gap: float = 0.25,
        seed: int = 0,
    ) -> None:
        if not 0.2 <= window <= 10 or gap < 0 or not window + gap < block:
            raise IPNetError(
                "a window must have 0.2 s to 10 s and fit into its block after the gap; got window = "
                f"{window} s, gap = {gap} s, block = {block} s."
            )
        if seed < 0:
            raise IPNetError(f"seed must be at least 0; got {seed}.")
        self.root = find_folder("RC-car set", root, "donkeycar", tuple(f"{name}.tar.gz" for name in _ARCHIVES))
        self.options = {"window": window, "block": block, "gap": gap, "seed": seed}
        self.seed = seed
        self.archives = [self.root / f"{name}.tar.gz" for name in _ARCHIVES]
        files = [_read_archive(path) for path in self.archives]
        self._digests = [_digest(of) for of in files]
        self.videos = [_read_tub(self.archives[0], files[0]), _read_whiteline(self.archives[1], files[1])]
        self.sensor = (60, 80)
        parts = [self._windows(number, video) for number, video in enumerate(self.videos)]
        self.windows = Windows.join(parts)
        missing = set(SPLITS) - set(self.windows.splits)
        if missing:
            raise IPNetError(
                f"every split needs clips; '{sorted(missing)[0]}' of '{self.root}' has none: take shorter blocks."
            )

    def _windows(self, number: int, video: _Video) -> Windows:
        """One window before every frame that is late enough in its block."""
        window, block, gap = (round(1e6 * self.options[name]) for name in ("window", "block", "gap"))
        stop = video.times[video.times % block >= window + gap]
        blocks = [int(of) for of in stop // block]
        return Windows(
            drive=np.full(stop.size, number),
            start=stop - window,
            stop=stop,
            targets=video.angles[np.isin(video.times, stop)][:, None],
            groups=tuple(f"{_ARCHIVES[number]}/block{of:02d}" for of in blocks),
            splits=tuple(alternate(of) for of in blocks),
        )

    def events(self, index: int) -> Events:
        """The simulated events of a window, times from its beginning.

        Raises:
            IPNetError: a damaged frame; the message names it.
        """
        return self._cut(self._recording(int(self.windows.drive[self._known(index)])), index)

    def _recording(self, number: int) -> Events:
        """The events of a whole recording, mapped from the cache."""
        key = content_hash(_GENERATOR, self.seed, number, self._digests[number])
        return cached_array(f"rc_car/{key}", functools.partial(self._simulate, number))

    def fingerprint(self) -> str:
        """Hash of the options and of both archives, what is in them."""
        return content_hash(type(self).__name__, _GENERATOR, self.options, self._digests)

    def _simulate(self, number: int) -> Events:
        path, video = self.archives[number], self.videos[number]
        files = _read_archive(path)
        interval = float(np.median(np.diff(video.times)))
        images = (_intensity(files[name], f"'{path}', '{name}'") for name in video.names)
        events = simulate_events(images, interval, DVSPixel(), (self.seed, number))
        events["t"] = np.interp(events["t"], interval * np.arange(len(video.times)), video.times)
        return events

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Two archives of 60 frames in the published layout, written into `folder`: a line that moves sideways."""
        write_archives(folder, 60, 60)
        return cls(root=folder, window=0.4, block=0.6, gap=0.1)


def write_archives(folder: Path, tub: int, whiteline: int) -> None:
    """Write both archives with as many frames in the published layout: a bright line that moves with the angle."""
    from matplotlib.image import imsave  # slow to import

    angles = np.round(0.8 * np.sin(0.2 * np.arange(max(tub, whiteline))), 1)
    rows, columns = np.mgrid[:120, :160]
    pictures = []
    for angle in angles:
        line = np.exp(-(((columns - 80 - (rows - 20) * 0.6 * angle) / 8) ** 2))
        file = io.BytesIO()
        imsave(file, np.repeat((60 + 180 * line).astype(np.uint8)[..., None], 3, axis=2), format="jpg")
        pictures.append(file.getvalue())
    lines = [
        json.dumps({"_index": i, "cam/image_array": f"{i}_cam_image_array_.jpg", "user/angle": angles[i]})
        for i in range(tub)
    ]
    catalog = {"tub/catalog_0.catalog": "\n".join(lines).encode()}
    _write_archive(
        folder / "tub.tar.gz",
        catalog | {f"tub/images/{i}_cam_image_array_.jpg": pictures[i] for i in range(tub)},
    )
    names = [
        f"whiteline2/frame_{30 + i:05d}_spd_0_agl_{round(_FULL_LOCK * angles[i])}_mil_{3968 + 133 * i}.jpg"
        for i in range(whiteline)
    ]
    _write_archive(folder / "whiteline2.tar.gz", dict(zip(names, pictures, strict=False)))


def _write_archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _read_archive(path: Path) -> dict[str, bytes]:
    """The files of an archive by name."""
    try:
        with tarfile.open(path) as archive:
            opened = ((member.name, archive.extractfile(member)) for member in archive)
            return {name: file.read() for name, file in opened if file is not None}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise IPNetError(f"'{path}' cannot be unpacked ({error}); get the file again.") from error


def _digest(files: dict[str, bytes]) -> str:
    """A hash of the names and contents of files, whatever packed them."""
    return content_hash([(name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)])


def _checked(path: Path, frames: list[tuple[int, str, int, float]], known: dict[str, bytes]) -> _Video:
    """A recording from (number, name, time, angle) of its frames."""
    frames.sort()
    times = np.array([time for _, _, time, _ in frames], np.int64)
    if len(frames) < 2 or np.any(np.diff(times) <= 0):
        raise IPNetError(f"'{path}' must hold at least two frames at rising times; got {len(frames)}.")
    for _, name, _, angle in frames:
        if name not in known or not -1 <= angle <= 1:
            raise IPNetError(
                f"'{path}': every frame needs a picture and an angle from -1 to 1; '{name}' has "
                f"{f'the angle {angle}' if name in known else 'no picture'}: get the file again."
            )
    angles = np.array([angle for _, _, _, angle in frames])
    return _Video(tuple(name for _, name, _, _ in frames), times - times[0], angles)


def _read_tub(path: Path, files: dict[str, bytes]) -> _Video:
    """A donkeycar tub: JSON lines in catalogs, pictures beside them."""
    frames = []
    for catalog in (name for name in files if re.fullmatch(r"tub/catalog_\d+\.catalog", name)):
        for number, line in enumerate(files[catalog].splitlines(), 1):
            try:
                entry = json.loads(line)
                index, angle = int(entry["_index"]), float(entry["user/angle"])
                frames.append((index, f"tub/images/{entry['cam/image_array']}", index * _TUB_INTERVAL, angle))
            except (ValueError, KeyError, TypeError) as error:
                raise IPNetError(
                    f"'{path}', '{catalog}', line {number}: must hold _index, user/angle and cam/image_array "
                    f"({error!r}); get the file again."
                ) from error
    return _checked(path, frames, files)


def _read_whiteline(path: Path, files: dict[str, bytes]) -> _Video:
    """Pictures whose names hold their number, angle and time [ms]."""
    frames = []
    for name in files:
        match = _FRAME.fullmatch(name.rpartition("/")[2])
        if match:
            frames.append((int(match[1]), name, 1000 * int(match[3]), int(match[2]) / _FULL_LOCK))
    return _checked(path, frames, files)


def _intensity(content: bytes, where: str) -> NDArray[np.float64]:
    """The linear luminance [60, 80] of a JPEG picture of 160x120 pixels, white = 1."""
    from matplotlib.image import imread  # slow to import

    try:
        picture = np.asarray(imread(io.BytesIO(content), format="jpg"))
    except (OSError, SyntaxError, ValueError) as error:
        raise IPNetError(f"{where} cannot be read as a picture ({error}); get the archive again.") from error
    if picture.shape != (120, 160, 3):
        raise IPNetError(f"{where} must be a picture [120, 160, 3]; got {list(picture.shape)}.")
    luminance: NDArray[np.float64] = (picture / 255.0) ** _GAMMA @ _LUMINANCE
    blocks = luminance.reshape(120 // _WHOLE, _WHOLE, 160 // _WHOLE, _WHOLE)
    smaller: NDArray[np.float64] = blocks.mean((1, 3))
    return smaller
