"""The laws of the simulated event-camera pixel."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.errors import IPNetError
from ipnet.events import check_events
from ipnet.pixel import DVSPixel, simulate_events

QUIET = DVSPixel(mismatch=0, refractory=0, leak_rate=0, shot_noise_rate=0, dark=0)


def frames_of(*levels, shape=(3, 5)):
    """Uniform frames of the given log intensities."""
    return np.exp(np.array(levels))[:, None, None] * np.ones(shape)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    up=st.booleans(),
    on=st.floats(0.05, 0.6),
    off=st.floats(0.05, 0.6),
    level=st.floats(-3, 3),
    parts=st.integers(1, 5),
)
def test_a_change_of_k_thresholds_gives_k_events_of_its_polarity(count, up, on, off, level, parts):
    change = (count + 0.5) * (on if up else -off)
    clip = frames_of(*(level + change * np.linspace(0, 1, parts + 1)), shape=(2, 3))
    events = simulate_events(clip, 1000.0, replace(QUIET, threshold_on=on, threshold_off=off), 0)
    assert len(events) == count * 6
    assert np.all(events["p"] == up)


def test_time_stamps_are_interpolated_in_log_intensity_between_frames():
    events = simulate_events(frames_of(0.0, 0.0, 1.0, shape=(1, 1)), 1000.0, replace(QUIET, threshold_on=0.3), 0)
    assert events["t"].tolist() == pytest.approx([1300, 1600, 1900], abs=1)


def test_events_lie_where_the_change_is():
    clip = np.ones((2, 4, 6))
    clip[1, 2, 5] = np.exp(-0.25)
    assert simulate_events(clip, 500.0, QUIET, 0).tolist() == [(400, 5, 2, 0)]


def test_a_pixel_that_returns_fires_back():
    events = simulate_events(frames_of(0.0, 0.5, 0.0, shape=(1, 1)), 1000.0, QUIET, 0)
    assert events["p"].tolist() == [1, 1, 0]  # stored 0.4, so that -0.4 is one OFF threshold and no second


def test_a_static_scene_without_noise_is_silent():
    scene = np.random.default_rng(0).uniform(0.01, 5, (1, 9, 7)).repeat(20, axis=0)
    assert len(simulate_events(scene, 1000.0, replace(QUIET, mismatch=0.03, refractory=500), 1)) == 0


def test_dark_current_hides_changes_in_the_dark():
    clip = np.array([0.001, 0.003])[:, None, None] * np.ones((2, 2))
    assert len(simulate_events(clip, 1000.0, QUIET, 0)) == 5 * 4  # ln 3 = 1.0986 = 5.49 thresholds
    assert len(simulate_events(clip, 1000.0, replace(QUIET, dark=0.1), 0)) == 0


@settings(max_examples=30, deadline=None)
@given(refractory=st.floats(10, 5000), seed=st.integers(0, 2**32), interval=st.floats(100, 3000))
def test_no_pixel_fires_within_its_refractory_time(refractory, seed, interval):
    clip = np.exp(np.random.default_rng(seed).normal(0, 1, (12, 2, 3)))
    events = simulate_events(clip, interval, replace(QUIET, refractory=refractory), 0)
    assert len(events) > 0
    for pixel in range(6):
        mine = events["t"][events["x"] + 3 * events["y"] == pixel]
        assert np.all(np.diff(mine) >= refractory - 1)


def test_changes_within_the_refractory_time_are_lost():
    # 10 thresholds in 1000 us, one per 100 us; each is followed by 250 us of reset: events at 100, 450, 800.
    pixel = replace(QUIET, refractory=250.0)
    rising = simulate_events(frames_of(*np.linspace(0, 2, 11), shape=(1, 1)), 100.0, pixel, 0)
    assert rising["t"].tolist() == pytest.approx([100, 450, 800], abs=1)
    step = simulate_events(frames_of(0, 2, 2, 2, shape=(1, 1)), 100.0, pixel, 0)
    assert len(step) == 1  # the rest of the step passed while it slept


def test_a_pixel_sleeps_through_whole_frames():
    events = simulate_events(
        frames_of(0, 0.25, 1.25, -1, -2, shape=(1, 1)), 100.0, replace(QUIET, refractory=280), 0
    )
    assert events["t"].tolist() == pytest.approx([80, 380], abs=1)  # wakes at 360 us at level -1.6
    assert events["p"].tolist() == [1, 0]


def test_leak_events_come_at_their_rate_and_brighten():
    still = np.ones((11, 40, 50))
    events = simulate_events(still, 1e6, replace(QUIET, leak_rate=0.7), 3)  # 10 s of 2000 pixels
    assert len(events) / (2000 * 10) == pytest.approx(0.7, rel=0.01)
    assert np.all(events["p"] == 1)
    per_second = np.bincount(events["t"] // 1_000_000, minlength=10)[:10]
    assert per_second.min() > 0.9 * 1400  # the phases of the pixels are spread, so that the rate is steady


def test_shot_noise_is_a_poisson_process_of_both_polarities():
    still = np.ones((6, 40, 50))
    events = simulate_events(still, 1e6, replace(QUIET, shot_noise_rate=3.0), 4)  # 5 s: 30000 expected
    assert len(events) == pytest.approx(30000, abs=5 * 30000**0.5)
    assert events["p"].mean() == pytest.approx(0.5, abs=5 * 0.5 / 30000**0.5)
    counts = np.bincount(events["x"] + 50 * events["y"], minlength=2000)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.2)


def test_mismatch_spreads_the_thresholds():
    ramp = frames_of(0, 0.4, shape=(60, 60))
    first = simulate_events(ramp, 1e6, replace(QUIET, mismatch=0.03), 5)
    _, at = np.unique(first["x"] + 60 * first["y"], return_index=True)
    thresholds = first["t"][at] * 0.4e-6
    assert thresholds.mean() == pytest.approx(0.2, abs=0.003)
    assert thresholds.std() == pytest.approx(0.03, rel=0.1)
    assert np.ptp(simulate_events(ramp, 1e6, QUIET, 5)["t"][:3600]) == 0
    wild = simulate_events(ramp, 1e6, replace(QUIET, mismatch=10.0), 5)
    assert len(wild) <= 3600 * 20  # no threshold lies below a tenth of its mean


def test_the_result_is_a_pure_function_of_its_arguments():
    clip = np.exp(np.random.default_rng(0).normal(0, 0.5, (30, 16, 12)))
    untouched = clip.copy()
    pixel = DVSPixel(shot_noise_rate=20)
    np.random.seed(1), torch.manual_seed(1), random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    first = simulate_events(clip, 1000.0, pixel, 7)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]
    assert np.array_equal(clip, untouched)
    assert np.array_equal(first, simulate_events(clip, 1000.0, pixel, 7))
    assert not np.array_equal(first, simulate_events(clip, 1000.0, pixel, 8))
    check_events(first, (16, 12), "simulated")
    assert first["t"].max() <= 29_000


def test_frames_may_come_one_by_one_in_a_reused_array():
    clip = np.exp(np.random.default_rng(0).normal(0, 0.5, (10, 4, 6))).astype(np.float32)

    def one_by_one():
        frame = np.empty((4, 6), np.float32)
        for image in clip:
            frame[:] = image
            yield frame

    pixel = DVSPixel()
    assert np.array_equal(simulate_events(one_by_one(), 800.0, pixel, 0), simulate_events(clip, 800.0, pixel, 0))


def test_finer_frames_of_the_same_ramp_give_the_same_events():
    coarse = simulate_events(frames_of(0, 3, -1), 8000.0, replace(QUIET, refractory=300), 0)
    fine = simulate_events(
        frames_of(*np.linspace(0, 3, 9), *np.linspace(2.5, -1, 8)), 1000.0, replace(QUIET, refractory=300), 0
    )
    assert len(coarse) == len(fine) > 100
    assert np.abs(coarse["t"] - fine["t"]).max() <= 1
    assert np.array_equal(coarse["p"], fine["p"])


def test_bytes_of_a_video_are_intensities():
    video = np.array([[[50]], [[100]]], np.uint8)
    assert len(simulate_events(video, 1000.0, QUIET, 0)) == 3  # ln 2 = 3.47 thresholds


@pytest.mark.parametrize("name", ["threshold_on", "threshold_off"])
@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
def test_a_threshold_is_positive(name, value):
    with pytest.raises(IPNetError, match=name):
        DVSPixel(**{name: value})


@pytest.mark.parametrize("name", ["mismatch", "refractory", "leak_rate", "shot_noise_rate", "dark"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_every_other_parameter_is_not_negative(name, value):
    with pytest.raises(IPNetError, match=f"{name} .* at least 0; got"):
        DVSPixel(**{name: value})


@pytest.mark.parametrize(
    ("frames", "interval", "match"),
    [
        (np.ones((0, 2, 2)), 1.0, "at least 2 frames.*got 0"),
        (np.ones((1, 2, 2)), 1.0, "at least 2 frames.*got 1"),
        (np.ones((2, 2)), 1.0, r"\[H, W\]"),
        (np.ones((2, 0, 2)), 1.0, r"\[H, W\]"),
        ([np.ones((2, 2)), np.ones((2, 3))], 1.0, r"frame 1 has \[2, 3\]"),
        (np.array([[[1.0]], [[0.0]]]), 1.0, "frame 1 holds 0"),
        (np.array([[[-1.0]], [[1.0]]]), 1.0, "frame 0 holds -1"),
        (np.array([[[1.0]], [[np.nan]]]), 1.0, "frame 1 holds nan"),
        (np.array([[[np.inf]], [[1.0]]]), 1.0, "frame 0 holds inf"),
        (np.ones((2, 2, 2)), 0.0, "exceed 0 us"),
        (np.ones((2, 2, 2)), float("nan"), "exceed 0 us"),
    ],
)
def test_bad_frames_and_intervals_are_named(frames, interval, match):
    with pytest.raises(IPNetError, match=match):
        simulate_events(frames, interval, QUIET, 0)
