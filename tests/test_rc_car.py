"""The RC-car frames: both archives in their published layout, written by the tests, and the shared ones."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ipnet.data import SPLITS
from ipnet.data.rc_car import RCCar, write_archives
from ipnet.errors import IPNetError


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    write_archives(tmp_path / "donkeycar", 60, 60)
    return tmp_path


def _small(root: Path, **options: float) -> RCCar:
    return RCCar(root=root, **{"window": 0.4, "block": 0.6, "gap": 0.1} | options)  # type: ignore[arg-type]


def _repack(path: Path, change) -> None:
    """Write an archive anew with `change` applied to the dictionary of its files."""
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    with tarfile.open(path, "w:gz") as archive:
        for name, content in change(files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_the_target_is_the_angle_of_the_frame_that_ends_the_window(archives: Path) -> None:
    data = _small(archives)
    angles = np.round(0.8 * np.sin(0.2 * np.arange(60)), 1)
    for index in range(len(data.windows.start)):
        stop, tub = int(data.windows.stop[index]), data.windows.drive[index] == 0
        frame, rest = divmod(stop, 50_000 if tub else 133_000)
        assert rest == 0
        assert data.target(index)[0] == pytest.approx(angles[frame], abs=0.006)  # whole degrees of 90
        assert stop - data.windows.start[index] == 400_000


def test_splits_share_no_event_and_keep_their_gap(archives: Path) -> None:
    data = _small(archives)
    for drive in (0, 1):
        here = np.flatnonzero(data.windows.drive == drive)
        spans = {split: [i for i in here if data.windows.splits[i] == split] for split in SPLITS}
        for split in ("validation", "test"):
            for i in spans[split]:
                for j in here:
                    if data.windows.splits[j] != split:
                        apart = max(
                            data.windows.start[i] - data.windows.stop[j],
                            data.windows.start[j] - data.windows.stop[i],
                        )
                        assert apart >= 100_000


def test_events_follow_the_line_that_moves(archives: Path) -> None:
    data = _small(archives)
    clip = data.events(0)
    assert clip.size > 100
    assert clip["t"].min() >= 0
    assert clip["t"].max() < 400_000
    assert np.array_equal(clip, _small(archives).events(0))
    other = _small(archives, seed=1)
    assert other.fingerprint() != data.fingerprint()
    assert not np.array_equal(other.events(0), clip)


def test_times_are_stretched_to_those_of_the_frames(archives: Path) -> None:
    """The second half of the drive at a third of the pace: its events thin out, and none comes after the end."""
    path = archives / "donkeycar/whiteline2.tar.gz"

    def slow(files: dict[str, bytes]) -> dict[str, bytes]:
        found = {}
        for number, name in enumerate(files):
            time = 3968 + 133 * number + 266 * max(0, number - 30)
            found[name.rpartition("_")[0] + f"_{time}.jpg"] = files[name]
        return found

    _repack(path, slow)
    data = _small(archives, window=1.0, block=2.0)
    whole = data._recording(1)
    assert whole["t"].max() <= 133_000 * 59 + 266_000 * 29
    half = 133_000 * 30
    assert np.mean((whole["t"] > half + 399_000) & (whole["t"] <= half + 798_000)) < 0.05


@pytest.mark.parametrize(
    ("archive", "change", "message"),
    [
        (
            "tub",
            lambda files: {name: content for name, content in files.items() if "/7_" not in name},
            r"tub\.tar\.gz': every frame needs a picture.*'tub/images/7_cam_image_array_\.jpg' has no picture",
        ),
        (
            "tub",
            lambda files: files | {"tub/catalog_0.catalog": b'{"_index": 0}\n'},
            r"tub\.tar\.gz', 'tub/catalog_0\.catalog', line 1: must hold _index, user/angle",
        ),
        ("tub", lambda files: {}, r"tub\.tar\.gz' must hold at least two frames"),
        (
            "whiteline2",
            lambda files: files | {"whiteline2/frame_00001_spd_0_agl_120_mil_5.jpg": b""},
            r"whiteline2\.tar\.gz': .*has the angle 1\.33",
        ),
    ],
)
def test_a_damaged_archive_is_named(archive: str, change, message: str, archives: Path) -> None:
    _repack(archives / f"donkeycar/{archive}.tar.gz", change)
    with pytest.raises(IPNetError, match=message):
        _small(archives)


def test_a_cut_archive_and_a_damaged_picture_are_named(archives: Path) -> None:
    path = archives / "donkeycar/tub.tar.gz"
    whole = path.read_bytes()
    _repack(path, lambda files: files | {"tub/images/9_cam_image_array_.jpg": b"no picture"})
    with pytest.raises(IPNetError, match=r"tub\.tar\.gz', 'tub/images/9_.*' cannot be read as a picture"):
        _small(archives).events(0)
    path.write_bytes(whole[:2000])
    with pytest.raises(IPNetError, match=r"tub\.tar\.gz' cannot be unpacked"):
        _small(archives)
    path.write_bytes(gzip.compress(b"x" * 3))
    with pytest.raises(IPNetError, match=r"tub\.tar\.gz' cannot be unpacked"):
        _small(archives)


@pytest.mark.parametrize("options", [{"window": 0.1}, {"gap": -0.1}, {"block": 0.4}])
def test_windows_fit_their_blocks(options: dict[str, float], archives: Path) -> None:
    with pytest.raises(IPNetError, match="fit into its block after the gap"):
        _small(archives, **options)
    with pytest.raises(IPNetError, match="no RC-car set in"):
        _small(archives / "nowhere")


@pytest.mark.data
def test_the_shared_recordings(data_root: Path) -> None:
    data = RCCar(root=data_root)
    counts = {split: data.indices(split).size for split in SPLITS}
    assert counts == {"train": 726, "validation": 207, "test": 191}
    assert {data.group(int(i)).partition("/")[0] for i in data.indices("test")} == {"tub", "whiteline2"}
    targets = data.windows.targets[:, 0]
    assert -1 <= targets.min() < -0.8 < 0.8 < targets.max() <= 1
    assert not data.real
    assert "events simulated from real video" in data.description
