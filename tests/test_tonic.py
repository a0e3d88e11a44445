"""Data sets of tonic: a stand-in for the package, which is not installed here."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ipnet.data._tonic_example import Dots
from ipnet.data.tonic import EXAMPLE, Tonic
from ipnet.errors import IPNetError
from ipnet.tasks import build_task


class Named(Dots):
    """Targets by name, as in N-Caltech101."""

    def __init__(self, save_to: str, train: bool = True) -> None:
        super().__init__(save_to, train)
        self.targets = [("west", "east")[target] for target in self.targets]  # type: ignore[misc]


class Undivided(Dots):
    def __init__(self, save_to: str) -> None:
        super().__init__(save_to)


class Deaf(Dots):
    sensor_size = (700, 1, 1)


@pytest.fixture
def tonic(monkeypatch: pytest.MonkeyPatch) -> None:
    module, datasets = ModuleType("tonic"), ModuleType("tonic.datasets")
    for entry in (Dots, Named, Undivided, Deaf):
        setattr(datasets, entry.__name__, entry)
    monkeypatch.setitem(sys.modules, "tonic", module)
    monkeypatch.setitem(sys.modules, "tonic.datasets", datasets)


@pytest.mark.usefixtures("tonic")
def test_a_class_of_tonic_is_a_data_set(tmp_path: Path) -> None:
    data = Tonic(dataset="Dots", root=tmp_path, validation=0.25, seed=3)
    assert (data.sensor, data.classes) == ((12, 14), ("left", "right"))
    assert [data.indices(split).size for split in ("train", "validation", "test")] == [16, 4, 10]
    assert sorted(data.label(int(i)) for i in data.indices("validation")) == [0, 0, 1, 1]
    original, _ = Dots(str(tmp_path), train=False)[7]
    events = data.events(27)
    assert data.group(27) == "test7"
    assert np.array_equal(events["t"], original["t"] - original["t"][0])
    assert all(np.array_equal(events[name], original[name]) for name in "xyp")
    assert data.real
    assert "Dots through tonic" in data.description
    assert data.fingerprint() != Tonic(dataset="Dots", root=tmp_path, validation=0.25).fingerprint()
    source = {"name": "tonic", "dataset": "Dots", "root": str(tmp_path)}
    assert build_task({"name": "recognition", "steps": 4, "reverse_time": True}, source).outputs[1] == "right"


@pytest.mark.usefixtures("tonic")
def test_classes_may_have_names_alone(tmp_path: Path) -> None:
    data = Tonic(dataset="Named", root=tmp_path)
    assert data.classes == ("east", "west")
    assert [data.label(i) for i in range(3)] == [1, 0, 1]


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("Undivided", r"'Undivided' must have a train and a test split"),
        ("Deaf", r"'Deaf' must have two polarities and recordings in both splits; got 1, 20 and 10"),
        ("Nowhere", r"'tonic\.datasets' has no data set 'Nowhere'"),
        (EXAMPLE.replace("_tonic_example", "_nowhere"), r"needs its package.*install tonic"),
    ],
)
def test_what_does_not_fit_is_named(dataset: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=message):
        Tonic(dataset=dataset, root=tmp_path)


def test_without_tonic_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.delitem(sys.modules, "tonic.datasets", raising=False)
    with pytest.raises(IPNetError, match=r"data set 'NMNIST' needs its package.*install tonic"):
        Tonic(dataset="NMNIST", root=tmp_path)
