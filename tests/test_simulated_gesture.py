"""The simulated gestures: what depends on what, who is in which split, and whether a movement looks as named."""

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from ipnet.cache import cache_folder
from ipnet.data import DATA, SPLITS
from ipnet.data._gesture_body import FRAME_RATE, GESTURES, Subject, choreograph
from ipnet.data._gesture_scene import LIGHTINGS, body_parts, render, shoulder_half
from ipnet.data.simulated_gesture import SimulatedGesture
from ipnet.errors import IPNetError
from ipnet.events import check_events

TINY = {"train": 24, "test": 12, "duration": 0.3, "sensor": 24}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IPNET_CACHE", str(tmp_path / "cache"))


def stored_files(data):
    return sorted((cache_folder() / "simulated_gesture" / data.fingerprint()).glob("*.npy"))


def test_it_is_found_and_says_that_it_is_simulated(tmp_path):
    assert DATA["simulated_gesture"] is SimulatedGesture
    assert SimulatedGesture.real is False
    assert "simulated" in SimulatedGesture.description
    example = SimulatedGesture.example(tmp_path)
    assert example.sensor == (32, 32)
    assert example.classes == GESTURES
    assert len(example.classes) == 11
    clips = [i for split in SPLITS for i in example.indices(split)]
    assert min(len(check_events(example.events(i), example.sensor, f"clip {i}")) for i in clips) > 100


def test_the_default_set_has_the_numbers_of_the_real_one():
    data = SimulatedGesture()
    sizes = {split: len(data.indices(split)) for split in SPLITS}
    subjects = {split: {data.group(i) for i in data.indices(split)} for split in SPLITS}
    assert sizes["train"] + sizes["validation"] == 1176
    assert sizes["test"] == 288
    assert {split: len(names) for split, names in subjects.items()} == {"train": 20, "validation": 3, "test": 6}
    assert data.sensor == (128, 128)


@pytest.mark.parametrize("validation", [0.0, 0.15, 0.5, 0.99])
@pytest.mark.parametrize(("train", "test"), [(22, 1), (24, 12), (60, 11), (333, 100), (1176, 288), (3000, 900)])
def test_splits_are_disjoint_balanced_and_complete(train, test, validation):
    data = SimulatedGesture(train=train, test=test, validation=validation)
    indices = [data.indices(split) for split in SPLITS]
    assert np.array_equal(np.sort(np.concatenate(indices)), np.arange(train + test))
    groups = [{data.group(i) for i in part} for part in indices]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert len(indices[0]) > 0
    assert (len(indices[1]) > 0) == (validation > 0)
    for part in indices:
        counts = np.bincount([data.label(i) for i in part], minlength=11)
        assert counts.max() - counts.min() <= 1
        assert len(part) < 11 or counts.min() >= 1


def test_every_subject_is_seen_in_every_light():
    data = SimulatedGesture()
    seen = {(data.group(i), data.lighting(i)) for split in SPLITS for i in data.indices(split)}
    assert len(seen) == 29 * 3


def test_a_clip_depends_on_nothing_but_the_options_and_its_index(tmp_path, monkeypatch):
    forward = SimulatedGesture(**TINY)
    first = {i: forward.events(i) for i in (0, 7, 30)}
    monkeypatch.setenv("IPNET_CACHE", str(tmp_path / "other"))
    backward = SimulatedGesture(**TINY)
    assert backward.fingerprint() == forward.fingerprint()
    for i in (30, 7, 0):
        assert np.array_equal(backward.events(i), first[i])
    code = (
        "import hashlib; from ipnet.data.simulated_gesture import SimulatedGesture as S; "
        f"print(hashlib.sha256(S(**{TINY})._simulate(7).tobytes()).hexdigest(), S(**{TINY}).fingerprint())"
    )
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    digest = hashlib.sha256(forward._simulate(7).tobytes()).hexdigest()
    assert said == [digest, forward.fingerprint()]


def test_the_global_random_state_is_untouched():
    np.random.seed(3), torch.manual_seed(3), random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    SimulatedGesture(**TINY).events(3)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]


def test_every_option_changes_the_fingerprint_and_seed_changes_the_clips():
    base = SimulatedGesture(**TINY)
    changes = {"train": 25, "test": 13, "validation": 0.2, "duration": 0.31, "seed": 1, "sensor": 25}
    prints = {SimulatedGesture(**{**TINY, name: value}).fingerprint() for name, value in changes.items()}
    assert len(prints | {base.fingerprint()}) == 7
    assert not np.array_equal(base.events(0), SimulatedGesture(**TINY, seed=1).events(0))
    assert not np.array_equal(base.events(0), base.events(11))  # same subject and gesture, another performance


def test_the_cache_gives_back_what_was_simulated_and_repairs_itself():
    data = SimulatedGesture(**TINY)
    fresh = data.events(5)
    (file,) = stored_files(data)
    whole = file.read_bytes()
    assert np.array_equal(data.events(5), fresh)
    for damaged in (whole[: len(whole) // 2], b"", b"not an array"):
        file.write_bytes(damaged)
        assert np.array_equal(data.events(5), fresh)
        assert file.read_bytes() == whole


@pytest.mark.parametrize(("content", "match"), [(np.zeros(3), "delete it"), (None, "longer duration")])
def test_a_clip_of_something_else_or_of_nothing_is_refused(content, match):
    data = SimulatedGesture(**TINY)
    data.events(5)
    (file,) = stored_files(data)
    np.save(file, np.load(file)[:0] if content is None else content)
    with pytest.raises(IPNetError, match=match):
        data.events(5)


def test_prepare_makes_what_is_missing_and_says_how_far_it_is():
    data = SimulatedGesture(**TINY)
    expected = data.events(4)
    stamp = stored_files(data)[0].stat().st_mtime_ns
    told = []
    data.prepare(lambda done, total: told.append((done, total)))
    assert told == [(done, 36) for done in range(2, 37)]
    assert len(stored_files(data)) == 36
    assert next(f for f in stored_files(data) if f.name == "4.npy").stat().st_mtime_ns == stamp
    assert np.array_equal(data.events(4), expected)
    data.prepare(lambda done, total: pytest.fail("nothing was missing"))


def test_prepare_can_be_interrupted_and_continued():
    data = SimulatedGesture(**TINY)

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.prepare(interrupt)
    assert 3 <= len(stored_files(data)) < 36
    told = []
    data.prepare(lambda done, total: told.append(done))
    assert told[-1] == 36
    assert len(stored_files(data)) == 36
    assert not list(cache_folder().rglob(".*"))  # no half-written file is left


def test_clips_obey_the_event_contract_and_have_plausible_counts():
    data = SimulatedGesture(train=22, test=11)
    counts = []
    for i in data.indices("test"):
        events = check_events(data.events(i), data.sensor, f"clip {i}")
        counts.append(len(events))
        assert events["t"].min() >= 0
        assert events["t"].max() < 1_500_000
        assert 0.3 < events["p"].mean() < 0.7
    assert min(counts) > 10_000
    assert 20_000 < np.median(counts) < 150_000
    assert max(counts) < 300_000


def test_the_start_and_the_end_of_a_clip_look_alike():
    """A camera that was just reset would fire in its first moments and give the direction of time away."""
    data = SimulatedGesture(train=33, test=11, duration=0.5, validation=0)
    fluorescent = [i for i in data.indices("train") if data.lighting(i) == "fluorescent"]
    edges = np.zeros(2)
    for i in fluorescent:
        events = data.events(i)
        corner = events["t"][(events["y"] < 12) & ((events["x"] < 24) | (events["x"] >= 104))]
        edges += (corner < 50_000).sum(), (corner >= 450_000).sum()
    assert edges.min() > 50
    assert abs(edges[0] - edges[1]) < 5 * edges.sum() ** 0.5


def motion_of(gesture, subject=0, seconds=8.0):
    who = Subject.draw(np.random.default_rng(subject))
    rng = np.random.default_rng(1)
    return who, choreograph(gesture, round(seconds * FRAME_RATE), who, shoulder_half(who), rng)


@pytest.mark.parametrize("gesture", range(11))
def test_only_the_named_arms_move(gesture):
    _, motion = motion_of(gesture)
    right, left = np.ptp(motion.right, axis=0).max() > 0.1, np.ptp(motion.left, axis=0).max() > 0.1
    name = GESTURES[gesture]
    if name.startswith(("right", "left")):
        assert (right, left) == (name.startswith("right"), name.startswith("left"))
    elif name != "other gestures":
        assert right
        assert left or name == "air guitar"
    else:
        assert right or left


@pytest.mark.parametrize(("gesture", "sense"), [(3, 1), (4, -1), (5, 1), (6, -1)])
@pytest.mark.parametrize("subject", range(4))
def test_circles_turn_as_named_seen_by_the_camera_and_fall_faster_than_they_rise(gesture, sense, subject):
    _, motion = motion_of(gesture, subject)
    outward, side = (motion.right, -1) if gesture < 5 else (motion.left, 1)
    x, y = side * outward[:, 0], outward[:, 1]
    turn = np.diff(np.unwrap(np.arctan2(y - y.mean(), x - x.mean())))
    assert np.all(np.sign(turn) == sense)  # with y down, growing angles are clockwise
    speed = np.diff(y)
    assert speed.max() > 1.3 * -speed.min()


@pytest.mark.parametrize(("gesture", "axis", "sign"), [(0, 0, -1), (1, 0, 1), (8, 1, 1), (9, 1, 1)])
@pytest.mark.parametrize("subject", range(4))
def test_strokes_are_faster_one_way_than_back(gesture, axis, sign, subject):
    _, motion = motion_of(gesture, subject)
    speed = sign * np.diff(motion.right[:, axis])
    assert speed.max() > 1.5 * -speed.min()


def test_arm_roll_falls_in_front():
    _, motion = motion_of(7)
    falling = np.diff(motion.right[:, 1]) > 0
    assert (falling == (motion.depth[1:] > 0)).mean() > 0.95


@pytest.mark.parametrize("gesture", range(11))
def test_arms_hold_together_and_do_not_jump(gesture):
    who, motion = motion_of(gesture, subject=gesture)
    parts = body_parts(who, motion, np.random.default_rng(0))
    assert parts.shape == (len(motion.depth), 10, 9)
    assert np.isfinite(parts).all()
    upper = np.linalg.norm(parts[:, [4, 7], 2:4] - parts[:, [4, 7], 0:2], axis=-1)
    assert upper.max() < 0.19 * 1.08 * who.scale * 1.001  # foreshortened at times, never stretched
    assert np.allclose(parts[:, [4, 7], 2:4], parts[:, [5, 8], 0:2])  # the forearm starts at the elbow
    if gesture == GESTURES.index("arm roll"):  # its arms change places in the order of drawing
        parts = np.concatenate([parts[:, :4], np.sort(parts[:, 4:].reshape(-1, 2, 3, 9), axis=1)[:, 0]], axis=1)
    assert np.abs(np.diff(parts[:, :, :4], axis=0)).max() < 4 / 128


@pytest.mark.parametrize("light", LIGHTINGS)
def test_images_are_positive_and_only_fluorescent_light_flickers(light):
    who, motion = motion_of(0, seconds=0.2)
    parts = body_parts(who, motion, np.random.default_rng(0))
    images = np.stack([image.copy() for image in render(who, parts, light, 48, np.random.default_rng(0))])
    assert images.shape == (50, 48, 48)
    assert images.min() > 0.01
    assert images.max() < 1.6
    corner = images[:, :4, :4].mean(axis=(1, 2))
    assert np.ptp(corner) / corner.mean() == pytest.approx(2 * light.flicker, rel=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"train": 21},
        {"train": 0, "validation": 0},
        {"test": 0},
        {"validation": 1.0},
        {"validation": -0.1},
        {"validation": float("nan")},
        {"duration": 0.01},
        {"duration": float("inf")},
        {"seed": -1},
        {"sensor": 15},
        {"sensor": 257},
    ],
)
def test_bad_options_are_named(options):
    name = next(iter(options))
    with pytest.raises(IPNetError, match=f"{name} .*got {options[name]}"):
        SimulatedGesture(**options)


@pytest.mark.parametrize("index", [-1, 36])
def test_an_unknown_clip_is_refused(index):
    data = SimulatedGesture(**TINY)
    for ask in (data.events, data.label, data.group):
        with pytest.raises(IPNetError, match="clips 0 to 35"):
            ask(index)
