"""The worker of `framing.py` in the peers' environment (``make bench-peers``): tonic, and the stream of events.

tonic is GPL: it is imported here and nowhere else.
"""

import gc
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _worker import serve, versions

SENSOR = (260, 346)  # H, W
STEPS, FACTOR = 16, 2
MOVERS, DURATION = 6, 2_000_000  # us

Events = NDArray[Any]
Frame = Callable[[Events], NDArray[Any]]


@cache
def stream(count: int) -> Events:
    """Events of a camera that sees six edges move to and fro at changing speed, and noise, in one event of ten.

    An edge fires where it is, so events that follow each other lie near each other; the rate follows the speed.
    """
    rng = np.random.default_rng(0)
    height, width = SENSOR
    phase = np.sort(rng.uniform(0, 1, count))
    t = np.cumsum(1 + 0.8 * np.sin(2 * np.pi * 5 * phase)) * DURATION / count
    mover = rng.integers(MOVERS, size=count)
    swing = 2 * np.pi * (mover + 1) * t / DURATION
    x = width * (0.5 + 0.4 * np.sin(swing + mover)) + rng.normal(0, 1.5, count)
    y = height * (mover + rng.uniform(0, 1, count)) / MOVERS
    p = np.cos(swing + mover) + rng.normal(0, 0.3, count) > 0
    noise = rng.random(count) < 0.1
    x[noise], y[noise] = rng.uniform(0, width, noise.sum()), rng.uniform(0, height, noise.sum())
    events = np.empty(count, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
    events["t"], events["p"] = t, p
    events["x"], events["y"] = x.clip(0, width - 1), y.clip(0, height - 1)
    return events


def seconds_of(frame: Frame, count: int) -> float:
    """Seconds that `frame` needs for the stream."""
    events = stream(count)
    gc.collect()
    began = time.perf_counter()
    frame(events)
    return time.perf_counter() - began


def lost_by(frame: Frame, count: int) -> float:
    """Events of the stream that the frames do not hold."""
    return count - float(frame(stream(count)).sum(dtype=np.float64))


def tonic_makers() -> dict[str, Frame]:
    """Transforms of tonic; it may fail to be imported."""
    from tonic.transforms import Compose, Downsample, ToFrame

    sensor = (SENSOR[1], SENSOR[0], 2)
    small = (SENSOR[1] // FACTOR, SENSOR[0] // FACTOR, 2)
    pool = Downsample(sensor_size=sensor, target_size=small[:2])
    return {
        "tonic_time": ToFrame(sensor_size=sensor, n_time_bins=STEPS),
        "tonic_count": ToFrame(sensor_size=sensor, n_event_bins=STEPS),
        "tonic_time_pooled": Compose([pool, ToFrame(sensor_size=small, n_time_bins=STEPS)]),
        "tonic_count_pooled": Compose([pool, ToFrame(sensor_size=small, n_event_bins=STEPS)]),
    }


def names() -> list[str]:
    """Who is here."""
    return list(tonic_makers())


def lost(name: str, count: int) -> float:
    """See `lost_by`."""
    return lost_by(tonic_makers()[name], count)


def measure(name: str, count: int) -> float:
    """Seconds of one round."""
    return seconds_of(tonic_makers()[name], count)


if __name__ == "__main__":
    serve({function.__name__: function for function in (names, lost, measure, versions)})
