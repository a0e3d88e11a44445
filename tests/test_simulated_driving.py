"""Simulated driving: the bicycle's angle, the geometry of the image, and drives that stay apart."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.data import SPLITS
from ipnet.data._road import Drive, draw_drive, render
from ipnet.data.simulated_driving import SimulatedDriving
from ipnet.errors import IPNetError

SMALL = {"drives": 5, "duration": 2.0, "sensor": 32}


def _straight(curvature: float = 0.0, frames: int = 3) -> Drive:
    """A road of constant curvature, driven at 10 m/s."""
    travelled = 10.0 + 0.1 * np.arange(frames)
    bent = np.full(frames, curvature)
    return Drive(travelled, bent, curvature * travelled, np.full(800, curvature))


def test_the_target_is_the_angle_of_a_bicycle_on_the_road() -> None:
    data = SimulatedDriving(**SMALL, window=0.5, stride=0.25)  # type: ignore[arg-type]
    drive = data._drive(2)
    here = np.flatnonzero(data.windows.drive == 2)
    assert here.size == 7
    for index in here:
        frame = round(float(data.windows.stop[index]) * 1e-4)
        curvature = float(drive.curvature[frame])
        assert data.target(int(index))[0] == pytest.approx(15 * math.degrees(math.atan(2.7 * curvature)))


def test_the_car_turns_as_the_road_does() -> None:
    drive = draw_drive(3000, np.random.default_rng(5))
    turned = np.diff(drive.heading) / np.diff(drive.travelled)
    assert turned == pytest.approx(drive.curvature[1:], abs=2e-3)
    speed = np.diff(drive.travelled) * 100
    assert 8 <= speed.min() <= speed.max() <= 14
    many = np.concatenate([draw_drive(2000, np.random.default_rng(seed)).curvature for seed in range(30)])
    assert many.std() == pytest.approx(1 / 67, rel=0.15)


def _asphalt(curvature: float, rows: slice) -> float:
    """The mean column of the asphalt, the darkest eighth of each row, over several looks of the world."""
    looks = [next(iter(render(_straight(curvature), 64, np.random.default_rng(seed))))[rows] for seed in range(20)]
    return float(np.mean(np.argsort(looks, axis=2)[..., :8]))


def test_a_road_that_bends_to_the_left_goes_to_the_left_of_the_image() -> None:
    far = slice(31, 35)
    left, straight, right = (_asphalt(k, far) for k in (0.03, 0.0, -0.03))
    assert left + 3 < straight < right - 3


def test_frames_are_luminances_that_change_as_the_car_moves() -> None:
    images = [image.copy() for image in render(_straight(), 48, np.random.default_rng(1))]
    assert len(images) == 3
    assert all(image.shape == (48, 48) and image.min() > 0 and image.max() <= 1 for image in images)
    sky = slice(0, 10)
    assert np.array_equal(images[0][sky], images[1][sky])  # it goes straight on: the hills stand still
    assert not np.array_equal(images[0][30:], images[1][30:])
    turning = [image.copy() for image in render(_straight(0.02), 48, np.random.default_rng(1))]
    assert not np.array_equal(turning[0][:24], turning[2][:24])


def test_a_drive_is_a_pure_function_of_seed_and_number() -> None:
    data, more = SimulatedDriving(**SMALL), SimulatedDriving(**SMALL | {"drives": 7})  # type: ignore[arg-type]
    last = int(np.flatnonzero(data.windows.drive == 3)[1])
    assert np.array_equal(data.events(last), more.events(last))
    assert np.array_equal(data.target(last), more.target(last))
    other = SimulatedDriving(**SMALL | {"seed": 1})  # type: ignore[arg-type]
    assert not np.array_equal(other.events(last), data.events(last))
    assert len({data.fingerprint(), more.fingerprint(), other.fingerprint()}) == 3


def test_windows_cut_a_drive_without_loss() -> None:
    data = SimulatedDriving(**SMALL, window=0.5, stride=0.5)  # type: ignore[arg-type]
    told: list[tuple[int, int]] = []
    data.prepare(lambda done, total: told.append((done, total)))
    assert told == [(i, 5) for i in range(1, 6)]
    whole = data._recording(0)
    clips = [data.events(i) for i in np.flatnonzero(data.windows.drive == 0)]
    assert sum(clip.size for clip in clips) == np.count_nonzero(whole["t"] < 2_000_000)
    assert clips[1]["t"][0] < 10_000


@given(drives=st.integers(3, 12), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_no_drive_is_in_two_splits(drives: int, seed: int) -> None:
    data = SimulatedDriving(drives=drives, duration=1.0, seed=seed)
    homes = {split: {data.group(int(i)) for i in data.indices(split)} for split in SPLITS}
    assert all(homes.values())
    assert sum(len(of) for of in homes.values()) == len(set.union(*homes.values())) == drives


def test_a_fifth_of_the_drives_test_and_a_tenth_validate() -> None:
    data = SimulatedDriving(drives=20, duration=1.0)
    assert [len({data.group(int(i)) for i in data.indices(split)}) for split in SPLITS] == [14, 2, 4]


@pytest.mark.parametrize(
    "options", [{"drives": 2}, {"duration": 0.5}, {"window": 30.0}, {"stride": 0.0}, {"sensor": 8}, {"seed": -1}]
)
def test_options_have_ranges(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(IPNetError, match=f"{name} of simulated driving must be from"):
        SimulatedDriving(**options)  # type: ignore[arg-type]
