"""DVS128 Gesture: the published tree, read back from files that the tests write, with its irregularities."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ipnet.data.dvs_gesture import DVSGesture, write_tree
from ipnet.errors import IPNetError
from ipnet.recording import open_events
from ipnet.tasks.recognition import Recognition

LIGHTS = ("fluorescent", "fluorescent_led", "lab", "led", "natural")
HEADER = "class,startTime_usec,endTime_usec\n"


def _trials(subjects: range, count: int) -> list[str]:
    """As many recordings of these subjects as published, the first lights first."""
    return [f"user{subject:02d}_{light}" for light in LIGHTS for subject in subjects][:count]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three subjects to train, one to test, one light."""
    write_tree(tmp_path / "DvsGesture", ["user01_led", "user02_led", "user22_led"], ["user24_led"])
    return tmp_path / "DvsGesture"


def test_the_published_structure_has_1176_and_288_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "DvsGesture", _trials(range(1, 24), 98), _trials(range(24, 30), 24), events=2)
    monkeypatch.setenv("IPNET_DATA", str(tmp_path))
    data = DVSGesture()
    train, validation, test = (data.indices(split) for split in ("train", "validation", "test"))
    assert (train.size + validation.size, test.size) == (1176, 288)
    people = [{data.group(int(i)) for i in part} for part in (train, validation, test)]
    assert people[0] | people[1] == {f"user{n:02d}" for n in range(1, 24)}
    assert people[2] == {f"user{n:02d}" for n in range(24, 30)}
    assert len(people[1]) == 3
    assert not people[0] & people[1]
    assert data.classes[7] == "arm roll"
    assert Counter(data.label(int(i)) for i in test) == {c: 48 if c == 7 else 24 for c in range(11)}
    other = DVSGesture(validation_subjects=5, seed=1)
    assert len({other.group(int(i)) for i in other.indices("validation")}) == 5
    assert other.fingerprint() != data.fingerprint() == DVSGesture(root=tmp_path / "DvsGesture").fingerprint()


def test_a_clip_is_what_the_recording_holds_between_its_times(small: Path) -> None:
    data = DVSGesture(root=small, validation_subjects=1)
    whole = open_events(small / "user22_led.aedat", sensor=(128, 128)).read()
    for index in (24, 25, 35):
        _, label, start, stop = data.clips[index]
        expected = whole[(whole["t"] >= start) & (whole["t"] < stop)]
        expected["t"] -= start
        assert np.array_equal(data.events(index), expected)
        assert data.label(index) == label
        assert expected.size == 20


def test_overlapping_times_give_both_clips_their_events(small: Path) -> None:
    path = small / "user22_led_labels.csv"
    path.write_text(HEADER + "1,100000,450000\n2,300000,450000\n")
    data = DVSGesture(root=small, validation_subjects=1)
    first, second = (i for i, clip in enumerate(data.clips) if clip.trial == 2)
    assert data.events(second).size == 20
    assert data.events(first).size == 40
    assert np.array_equal(data.events(first)["x"][20:], data.events(second)["x"])
    assert data.group(first) == data.group(second) == "user22"


def test_a_recording_is_parsed_once(small: Path) -> None:
    data = DVSGesture(root=small, validation_subjects=1)
    kept = data.events(0)
    data.fingerprint()
    (small / "user01_led.aedat").unlink()
    assert data.events(1).size == 20
    assert np.array_equal(data.events(0), kept)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda content: content[:-3],
            r"user01_led\.aedat' is damaged: .*cut off at the end, the first at byte \d+",
        ),
        (
            lambda content: content[:-180] + b"\xff" * 180,
            r"user01_led\.aedat' is damaged: .*the first at byte \d+",
        ),
        (lambda content: content[:40], r"user01_led\.aedat'.*#!END-HEADER"),
    ],
)
def test_a_damaged_recording_is_refused_by_name_and_offset(spoil, message: str, small: Path) -> None:
    path = small / "user01_led.aedat"
    path.write_bytes(spoil(path.read_bytes()))
    data = DVSGesture(root=small, validation_subjects=1)
    with pytest.raises(IPNetError, match=message):
        data.events(0)


def test_events_that_the_camera_marked_invalid_are_no_damage(small: Path) -> None:
    path = small / "user01_led.aedat"
    content = bytearray(path.read_bytes())
    content[-8] &= 0xFE  # the last event, of the last clip
    path.write_bytes(content)
    data = DVSGesture(root=small, validation_subjects=1)
    assert data.events(11).size == 19


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trials_to_train.txt", "user01_led.aedat\nuser05_lab.aedat\n", r"line 2: lists 'user05_lab\.aedat'"),
        ("trials_to_train.txt", "user01_led.txt\n", r"line 1: must be userNN_LIGHT\.aedat; got 'user01_led\.txt'"),
        ("trials_to_train.txt", "\n", r"trials_to_train\.txt' lists no recordings"),
        ("trials_to_test.txt", "user01_led.aedat\n", "user01 is in both"),
        ("user02_led_labels.csv", "1,2,3\n", r"user02_led_labels\.csv', line 1: must be 'class,"),
        ("user02_led_labels.csv", HEADER + "1,5,9\n12,5,9\n", r"line 3: the class must be from 1 to 11.*'12,5,9'"),
        ("user02_led_labels.csv", HEADER + "1,9,9\n", "line 2: .*end after it begins"),
        ("user02_led_labels.csv", HEADER + "1,five,9\n", "line 2: must be a class and two times"),
    ],
)  # fmt: skip
def test_a_damaged_list_is_named_with_its_line(name: str, text: str, message: str, small: Path) -> None:
    (small / name).write_text(text)
    with pytest.raises(IPNetError, match=message):
        DVSGesture(root=small, validation_subjects=1)


def test_what_is_missing_is_named(small: Path) -> None:
    with pytest.raises(
        IPNetError, match="validation_subjects must be from 1 to 2 and seed at least 0; got 3 and 0"
    ):
        DVSGesture(root=small)
    (small / "user02_led_labels.csv").unlink()
    with pytest.raises(IPNetError, match=r"user02_led_labels\.csv' cannot be read \(No such file"):
        DVSGesture(root=small, validation_subjects=1)
    with pytest.raises(IPNetError, match=r"no DVS128 Gesture in '.*nowhere'"):
        DVSGesture(root=small / "nowhere")


def test_times_without_events_are_named(small: Path) -> None:
    (small / "user02_led_labels.csv").write_text(HEADER + "1,100000,250000\n3,260000,270000\n")
    data = DVSGesture(root=small, validation_subjects=1)
    index = next(i for i, clip in enumerate(data.clips) if clip.label == 2 and clip.trial == 1)
    with pytest.raises(IPNetError, match=r"user02_led\.aedat' must hold events from 260000 to 270000 us"):
        data.events(index)


def test_reversed_copies_make_twenty_two_classes(small: Path) -> None:
    source = {"name": "dvs_gesture", "root": str(small), "validation_subjects": 1}
    task = Recognition(data=source, steps=4, size=[32, 32], reverse_time=True)
    assert len(task.outputs) == 22
    assert task.facts()["items"] == {"train": 48, "validation": 24, "test": 24}
    x, y = task.items("test").batch([0, 12])
    assert x.shape == (4, 2, 2, 32, 32)
    assert x[:, 0].sum() == 20
    assert y.tolist() == [0, 11]
    assert np.array_equal(x[:, 0].flip(0), x[:, 1])
