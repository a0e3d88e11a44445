"""DDD20: drives in the published layout, written by the tests, whole, irregular and damaged."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from ipnet.data.ddd20 import DDD20, write_drive
from ipnet.errors import IPNetError

BEGIN = 1_500_000_000_000_000


def _drives(folder: Path, **options: float) -> Path:
    for number in range(3):
        write_drive(folder / "ddd20" / f"run{number}" / "rec.hdf5", seconds=3.0, seed=number, **options)
    return folder


def _edit(path: Path, row: int, column: int, change) -> None:
    """Write a row of dvs/data anew."""
    with h5py.File(path, "r+") as file:
        parts = [np.array(part) for part in file["dvs/data"][row]]
        parts[column] = change(parts[column])
        for i, part in enumerate(parts):
            file["dvs/data"][row, i] = part


def test_targets_are_interpolated_at_the_end_of_the_window(tmp_path: Path) -> None:
    data = DDD20(root=_drives(tmp_path), window=0.5, stride=0.1)
    assert data.targets == ("steering wheel angle [deg]", "vehicle speed [km/h]")
    assert data.sensor == (260, 346)
    for index in (0, 7, len(data.windows.start) - 1):
        drive, stop = int(data.windows.drive[index]), int(data.windows.stop[index])
        angle, speed = data.target(index)
        assert angle == pytest.approx(30 * np.sin(1e-6 * (stop - BEGIN) + drive), abs=0.02)
        assert speed == 50.0
        assert stop - data.windows.start[index] == 500_000


def test_events_are_those_of_the_packets_in_the_computers_time(tmp_path: Path) -> None:
    data = DDD20(root=_drives(tmp_path), window=0.5, stride=0.1)
    rng, drawn = np.random.default_rng(0), []
    for packet in range(300):
        t = 10_000 * packet + np.sort(rng.integers(0, 10_000, 20))
        drawn.append([t, rng.integers(0, 346, 20), rng.integers(0, 260, 20), rng.integers(0, 2, 20)])
    t, x, y, p = np.concatenate(drawn, axis=1)
    # A packet arrives 500 us after its 10 ms are over; the smallest delay ties the clocks.
    t = t + BEGIN + min(10_500 - int(of[0][-1]) % 10_000 for of in drawn)
    for index in (0, 3, 20):
        start, stop = int(data.windows.start[index]), int(data.windows.stop[index])
        chosen = (t >= start) & (t < stop)
        clip = data.events(index)
        assert clip["t"].tolist() == (t[chosen] - start).tolist()
        assert clip["x"].tolist() == x[chosen].tolist()
        assert clip["y"].tolist() == y[chosen].tolist()
        assert clip["p"].tolist() == p[chosen].tolist()


def test_whole_drives_or_the_published_minutes(tmp_path: Path) -> None:
    data = DDD20(root=_drives(tmp_path))
    assert sorted({data.group(i) for i in range(len(data.windows.start))}) == ["run0/rec", "run1/rec", "run2/rec"]
    assert "drive split" in data.description
    with pytest.raises(IPNetError, match=r"'validation' of .* has none: take the other split, or more drives"):
        DDD20(root=tmp_path, split="published")


def test_the_published_split_alternates_within_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ipnet.data.ddd20._MINUTE", 400_000
    )  # minutes of 0.4 s: a drive of 3 s has seven and a half
    write_drive(tmp_path / "rec.hdf5", seconds=3.0)
    data = DDD20(root=tmp_path, split="published", window=0.1, stride=0.05)
    first = int(data.windows.start[0])
    homes = {"train": (0, 1_600_000), "validation": (1_600_000, 2_000_000), "test": (2_000_000, 2_400_000)}
    for index, split in enumerate(data.windows.splits):
        begin, end = (
            (int(t) - first) % 2_400_000 for t in (data.windows.start[index], data.windows.stop[index] - 1)
        )
        assert homes[split][0] <= begin < end < homes[split][1]
    assert {data.group(i) for i in range(len(data.windows.splits))} == {
        "rec/0train", "rec/0validation", "rec/0test", "rec/1train",
    }  # fmt: skip


def test_a_clock_that_was_reset_goes_on(tmp_path: Path) -> None:
    plain, broken = _drives(tmp_path / "a"), _drives(tmp_path / "b", reset_at=1.5)
    one, other = (DDD20(root=root, window=0.5, stride=0.1) for root in (plain, broken))
    assert abs(len(one.windows.start) - len(other.windows.start)) <= 3
    for index in range(len(other.windows.start)):
        clip = other.events(index)
        assert np.all(np.diff(clip["t"]) >= 0)
        assert clip.size == pytest.approx(1000, abs=40)
    assert one.fingerprint() != DDD20(root=plain, window=0.5, stride=0.2).fingerprint()


def test_slow_windows_are_left_out(tmp_path: Path) -> None:
    _drives(tmp_path)
    with h5py.File(tmp_path / "ddd20/run1/rec.hdf5", "r+") as file:
        file["vehicle_speed/data"][:30, 1] = 0.0  # for 1.5 s
    data = DDD20(root=tmp_path, window=0.5, stride=0.1)
    starts = data.windows.start[data.windows.drive == 1]
    assert starts.min() > BEGIN + 1_400_000
    assert data.windows.start[data.windows.drive == 0].min() < BEGIN + 100_000
    with pytest.raises(IPNetError, match="has none"):
        DDD20(root=tmp_path, min_speed=60.0)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        (2, lambda body: body[:-5], r"row 9 of dvs/data, .*byte 183 of the packet: its events take 160"),
        (1, lambda head: head[:-1], r"row 9 .*at byte 0 .*header of 28 bytes are needed; got .*27"),
        (1, lambda head: np.r_[head[:4], np.uint8(9), head[5:]], r"row 9 .*byte 0 .*pixel events do not have 8"),
        (2, lambda body: np.r_[body[:24], [255] * 4, body[28:]].astype("u1"), r"byte 52 .*off the sensor"),
        (2, lambda body: np.r_[body[-8:], body[8:]], r"row 9 .*at byte 36 .*times decrease within the packet"),
    ],
)  # fmt: skip
def test_a_damaged_packet_is_refused_by_file_row_and_byte(
    column: int, change, message: str, tmp_path: Path
) -> None:
    path = _drives(tmp_path) / "ddd20/run2/rec.hdf5"
    _edit(path, 9, column, change)
    with pytest.raises(IPNetError, match=rf"run2/rec\.hdf5', .*{message}"):
        DDD20(root=tmp_path)


def test_damaged_files_and_signals_are_named(tmp_path: Path) -> None:
    path = _drives(tmp_path) / "ddd20/run2/rec.hdf5"
    with h5py.File(path, "r+") as file:
        table = file["vehicle_speed/data"]
        table[9, 0] = table[3, 0]
    with pytest.raises(IPNetError, match=r"rec\.hdf5': times of vehicle_speed must not decrease; row 9 does"):
        DDD20(root=tmp_path)
    with h5py.File(path, "r+") as file:
        del file["vehicle_speed"]
    with pytest.raises(IPNetError, match=r"run2/rec\.hdf5' cannot be read as a drive of DDD20 .*vehicle_speed"):
        DDD20(root=tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(IPNetError, match=r"run2/rec\.hdf5' cannot be read as a drive of DDD20"):
        DDD20(root=tmp_path)
    path.unlink()
    with pytest.raises(IPNetError, match="three splits need at least 3 drives; got 2"):
        DDD20(root=tmp_path)


@pytest.mark.parametrize("options", [{"window": 0.01}, {"stride": 0.0}, {"min_speed": -1.0}, {"seed": -1}])
def test_options_have_ranges(options: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match="window must be from 0"):
        DDD20(root=tmp_path, **options)  # type: ignore[arg-type]
