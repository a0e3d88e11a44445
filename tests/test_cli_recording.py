"""`ipnet recording`: the facts of a file, for people and machines, and the sentences of its errors."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ipnet.data.nmnist import write_bin
from ipnet.events import make_events

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.bin"
    write_bin(path, make_events([0, 500, 2_000_000, 2_000_000], [0, 40, 3, 5], [1, 2, 3, 9], [1, 0, 1, 1]))
    return path


def test_facts_for_machines(ipnet: Command, clip: Path) -> None:
    code, out, _ = ipnet("recording", clip, "--sensor", "34x20", "--json")
    assert code == 0
    assert json.loads(out) == {
        "file": str(clip),
        "format": "bin40",
        "sensor": "34x20",
        "events": 3,
        "brighter": 1.0,
        "duration_s": 2.0,
        "events_per_second": 1.5,
        "refused_events": 1,
        "refused": "1 event off the sensor, the first at byte 5",
    }


def test_facts_for_people(ipnet: Command, clip: Path) -> None:
    code, out, _ = ipnet("recording", clip, "--sensor", "50X20")
    assert code == 0
    assert "refused events" in out
    assert "nothing" in out


def test_one_event_has_no_rate(ipnet: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", make_events([7], [1], [2], [0]))
    code, out, _ = ipnet("recording", tmp_path / "one.npy", "--sensor", "4x4", "--json")
    assert code == 0
    assert json.loads(out)["events_per_second"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sensor", "34"], "--sensor must be WIDTHxHEIGHT, such as 346x260; got '34'."),
        (["--time-unit", "ms"], "--time-unit must be s or us; got 'ms'."),
        (["--sensor", "34x20", "--strict"], "events must lie on the sensor"),
    ],
)
def test_errors(ipnet: Command, clip: Path, options: list[str], message: str) -> None:
    code, out, error = ipnet("recording", clip, *options)
    assert (code, out) == (2, "")
    assert message in error
