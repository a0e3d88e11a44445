"""Clips of events and files of them, shared by the tests of the recordings' readers."""

from pathlib import Path
from typing import Any

import numpy as np

from ipnet.errors import IPNetError
from ipnet.events import Events, make_events
from ipnet.recording import FORMATS, Recording, open_events

SENSOR = (180, 240)


def clip(n: int, seed: int = 0) -> Events:
    """Random events on `SENSOR` within 2^23 us, some of them at the same time, some on neighbouring pixels."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.choice(2**23, n // 2 + 1)[rng.integers(0, n // 2 + 1, n)])
    events = make_events(t, rng.integers(0, 238, n), rng.integers(0, 180, n), rng.integers(0, 2, n))
    if n > 5:
        events[5] = events[4]
        events["x"][5] += 1
    return events


def put(folder: Path, content: bytes, suffix: str) -> Path:
    path = folder / f"clip{suffix}"
    path.write_bytes(content)
    return path


def encoded(folder: Path, name: str, events: Events) -> Path:
    return put(folder, FORMATS[name].encode(events, SENSOR), FORMATS[name].suffixes[0])


def opened(path: Path, **options: Any) -> Recording:
    """Open with `SENSOR` unless told otherwise."""
    return open_events(path, **{"sensor": SENSOR} | options)


def attempted(path: Path, **options: Any) -> tuple[Recording | None, Events]:
    """A recording and all its events; None and none of them if it is refused by an error that names the file."""
    try:
        recording = opened(path, **options)
        return recording, recording.read()
    except IPNetError as error:
        if str(path) not in str(error):
            raise
        return None, make_events([], [], [], [])


def account(recording: Recording) -> dict[str, tuple[int, str, int]]:
    return {reason: (of.count, of.unit, of.first) for reason, of in recording.refused.items()}
