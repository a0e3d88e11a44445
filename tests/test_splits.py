"""No split leaks: nothing of a subject, a drive or a recording that is trained on is in validation or test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ipnet.data import DATA, SPLITS, EventSet
from ipnet.data._drives import WindowSet
from ipnet.data.ddd20 import DDD20, write_drive
from ipnet.data.dvs_gesture import DVSGesture, write_tree
from ipnet.data.nmnist import NMNIST
from ipnet.data.rc_car import RCCar, write_archives
from ipnet.data.simulated_driving import SimulatedDriving
from ipnet.data.simulated_gesture import SimulatedGesture
from ipnet.data.tonic import EXAMPLE, Tonic
from ipnet.errors import IPNetError
from ipnet.tasks.recognition import Recognition

SEEDS = st.integers(0, 2**32)
Home = Callable[[int], Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every set that is read from files, in its published layout."""
    root = tmp_path_factory.mktemp("recordings")
    NMNIST.example(root / "N-MNIST")
    trials = [f"user{n:02d}_{light}" for n in range(1, 7) for light in ("led", "lab")]
    write_tree(root / "DvsGesture", trials[:8], trials[8:], events=2)
    for number in range(3):
        write_drive(root / "ddd20" / f"run{number}" / "rec.hdf5", seconds=2.7, seed=number)
    write_archives(root / "donkeycar", 60, 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPNET_DATA", str(root))
        patch.setenv("IPNET_CACHE", str(root / "cache"))
        patch.setattr("ipnet.data.ddd20._MINUTE", 400_000)  # 0.4 s: a drive of 2.7 s has six of them
        yield root


def _apart(data: EventSet, source: Home) -> None:
    """Every clip is in one split, and so is everything that `source` says it was cut from."""
    parts = [data.indices(split).tolist() for split in SPLITS]
    everything = [index for part in parts for index in part]
    assert all(parts)
    assert len(set(everything)) == len(everything)
    for of in (source, data.group):
        homes = [{of(index) for index in part} for part in parts]
        assert sum(map(len, homes)) == len(set.union(*homes))


def _apart_in_time(data: WindowSet) -> None:
    """No window of one split overlaps a window of another on the same drive."""
    order = np.lexsort((data.windows.start, data.windows.drive))
    drive, start, stop = (of[order] for of in (data.windows.drive, data.windows.start, data.windows.stop))
    split = np.array(data.windows.splits)[order]
    # Windows of a set are equally long: if any two overlap across splits, two that follow each other do.
    changes = (drive[1:] == drive[:-1]) & (split[1:] != split[:-1])
    assert np.all(start[1:][changes] >= stop[:-1][changes])


@given(validation=st.floats(0.01, 0.74), seed=SEEDS, saccade=st.sampled_from([None, 1, 2, 3, "each"]))
@settings(max_examples=25, deadline=None)
def test_nmnist(files: Path, validation: float, seed: int, saccade: Any) -> None:
    data = NMNIST(validation=validation, seed=seed, saccade=saccade)
    each = 3 if saccade == "each" else 1
    _apart(data, lambda index: data.files[index // each][0])
    assert sum(data.indices(split).size for split in SPLITS) == 60 * each


@given(validation_subjects=st.integers(1, 3), seed=SEEDS)
@settings(max_examples=15, deadline=None)
def test_dvs_gesture(files: Path, validation_subjects: int, seed: int) -> None:
    data = DVSGesture(validation_subjects=validation_subjects, seed=seed)
    _apart(data, lambda index: data.trials[data.clips[index].trial][:6])
    assert {data.group(int(i)) for i in data.indices("test")} == {"user05", "user06"}


@given(drives=st.integers(3, 12), seed=SEEDS, window=st.floats(0.1, 1.0), stride=st.floats(0.1, 1.0))
@settings(max_examples=15, deadline=None)
def test_simulated_driving(drives: int, seed: int, window: float, stride: float) -> None:
    data = SimulatedDriving(drives=drives, duration=1.0, seed=seed, window=window, stride=stride)
    _apart(data, lambda index: int(data.windows.drive[index]))


@given(train=st.integers(22, 200), test=st.integers(1, 60), validation=st.floats(0.05, 0.9), seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_simulated_gesture(train: int, test: int, validation: float, seed: int) -> None:
    data = SimulatedGesture(train=train, test=test, validation=validation, seed=seed)
    _apart(data, lambda index: int(data._subjects[index]))


@given(window=st.floats(0.2, 1.5), block=st.floats(0.3, 2.0), gap=st.floats(0.0, 0.5))
@settings(max_examples=10, deadline=None)
def test_rc_car(files: Path, window: float, block: float, gap: float) -> None:
    assume(window + gap < block)
    try:
        data = RCCar(window=window, block=block, gap=gap)
    except IPNetError:
        return  # a split without clips is refused, not filled from another
    _apart(data, lambda index: (int(data.windows.drive[index]), data.group(index)))
    _apart_in_time(data)


@pytest.mark.parametrize("split", ["drive", "published"])
@pytest.mark.parametrize(("window", "stride", "seed"), [(0.1, 0.03, 0), (0.2, 0.05, 1), (0.3, 0.02, 2)])
def test_ddd20(split: Any, window: float, stride: float, seed: int, files: Path) -> None:
    data = DDD20(split=split, window=window, stride=stride, seed=seed)
    _apart(data, lambda index: int(data.windows.drive[index]) if split == "drive" else data.group(index))
    _apart_in_time(data)


def test_tonic(tmp_path: Path) -> None:
    for seed in range(5):
        data = Tonic(dataset=EXAMPLE, root=tmp_path, validation=0.3, seed=seed)
        _apart(data, data._place)


@pytest.mark.parametrize("saccade", [None, "each"])
def test_reversed_copies_stay_with_their_recording(files: Path, saccade: Any) -> None:
    source = {"name": "nmnist", "validation": 0.25, "saccade": saccade}
    task = Recognition(data=source, steps=5, reverse_time=True)
    recordings: dict[str, str] = {}
    frames: dict[bytes, str] = {}
    for split in SPLITS:
        items = task.items(split)
        half = len(items) // 2
        assert list(items.names[half:]) == [f"{name}/reversed" for name in items.names[:half]]
        x, _ = items.batch(range(len(items)))
        for name, clip in zip(items.names, x.unbind(1), strict=True):
            recording = name.partition("/")[2].rpartition(".bin/")[0]
            assert recordings.setdefault(recording, split) == split
            assert frames.setdefault(clip.numpy().tobytes(), split) == split
    assert len(recordings) == 60


def test_every_set_is_here() -> None:
    """A new data set brings a property of its own, or is proven by one of these."""
    assert set(DATA) == {name.removeprefix("test_") for name in globals() if name.startswith("test_")} & set(DATA)
