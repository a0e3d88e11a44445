"""Events per second of `ipnet.frontier` on one core, against the time surfaces of other libraries; memory growth.

    python -m pip install tonic faery dv-processing
    python benchmarks/stream.py --json

Streams: the recordings of IPNET_DATA, a DAVIS346 (346x260) and a Gen3 (640x480), played again and again until
there are enough events; without them, events drawn evenly over the same sensors. The frontier is the layer of
`mtj-thermal`, with cycles of 1 ms and of 1 us; it takes chunks of 100,000 events.

Two tasks, every contender in turn in every repeat, all in memory before the clock starts, each in its own format.
Times are processor times, those of all threads together, so that other work on the machine counts less:

* update: all events in, no map. tonic cannot leave the map out, and makes one at the end.
* maps: all events in, a map of both polarities every 33 ms of camera time.

What the others do: tonic's `to_timesurface_numpy` and dv-processing's `TimeSurface` store the time of the last
event of a pixel (dv-processing without polarity); faery renders colours of an exponential of it. A map of the
frontier is the switching probabilities of junctions that integrate heat over all their past events.

The memory is measured first, before any contender has run: the growth of the peak while so many events are
streamed from a generator, after the first chunks.
"""
# ruff: noqa: T201

import argparse
import importlib
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from ipnet.device import load_device
from ipnet.events import EVENT, Events
from ipnet.frontier import Frontier
from ipnet.neuron import Neuron
from ipnet.recording import open_events

CHUNK, EVENTS, REPEATS, INTERVAL_US = 100_000, 2_000_000, 7, 33_000
RATES = {"1 kHz": 1e3, "1 MHz": 1e6}
RECORDINGS = {
    "346x260": ("davis346_aestream_0.13s.aedat4", (260, 346), 900_000),
    "640x480": ("evt2_sample.raw", (480, 640), 10_000_000),
}
Sensor = tuple[int, int]
Contender = Callable[[], float]  # runs a task, says how long it took


def recording(name: str) -> tuple[Events, Sensor, str]:
    """One pass of a stream, its sensor (H, W), and where it is from."""
    file, sensor, per_second = RECORDINGS[name]
    folder = os.environ.get("IPNET_DATA")
    if folder and (path := Path(folder, "recordings", file)).exists():
        return np.concatenate(list(open_events(path))), sensor, file
    rng, events = np.random.default_rng(0), np.zeros(CHUNK, EVENT)
    events["t"] = np.sort(rng.integers(0, CHUNK * 1_000_000 // per_second, CHUNK))
    for axis, end in (("x", sensor[1]), ("y", sensor[0]), ("p", 2)):
        events[axis] = rng.integers(0, end, CHUNK)
    return events, sensor, "synthetic"


def stream(once: Events, count: int) -> Iterator[Events]:
    """Chunks of a pass that is played again and again, `count` events together; a chunk lives until the next."""
    period, played = int(once["t"][-1] - once["t"][0]) + 1, once.copy()
    while count > 0:
        for first in range(0, once.size, CHUNK):
            yield played[first : first + min(CHUNK, count)]
            count -= min(CHUNK, once.size - first)
            if count <= 0:
                return
        played["t"] += period


def fresh(sensor: Sensor, rate: float) -> Frontier:
    """A frontier that no event has touched."""
    return Frontier(Neuron(load_device("mtj-thermal"), 2), sensor, rate)


def timed(task: Callable[[], object]) -> float:
    """Processor time that it takes, of all threads [s]."""
    began = time.process_time()
    task()
    return time.process_time() - began


def ours(chunks: list[Events], sensor: Sensor, rate: float, *, maps: bool) -> Contender:
    """The frontier; building it is not part of the task."""

    def run() -> float:
        frontier = fresh(sensor, rate)
        every = int(INTERVAL_US * rate / 1e6)
        return timed(
            (lambda: [*frontier.maps(chunks, every)]) if maps else (lambda: [*map(frontier.update, chunks)])
        )

    return run


def tonic(events: Events, sensor: Sensor, *, maps: bool) -> Contender:
    """Tonic's time surface, from 64-bit fields."""
    surface = importlib.import_module("tonic.functional").to_timesurface_numpy
    theirs = np.empty(events.size, [(field, "i8") for field in "xytp"])
    for field in "xytp":
        theirs[field] = events[field]
    duration = int(events["t"][-1] - events["t"][0]) + 1
    options = {"dt": INTERVAL_US if maps else duration, "tau": 5000, "include_incomplete": True}
    return lambda: timed(lambda: surface(theirs, (*sensor[::-1], 2), **options))


def dv(events: Events, sensor: Sensor, *, maps: bool) -> Contender:
    """The time surface of dv-processing; its store of events is filled one by one, before the clock starts."""
    library = importlib.import_module("dv_processing")
    parts = (events["t"] - events["t"][0]) // INTERVAL_US if maps else np.zeros(events.size, int)
    stores = []
    for part in np.split(events, np.flatnonzero(np.diff(parts)) + 1):
        stores.append(library.EventStore())
        for t, x, y, p in part.tolist():
            stores[-1].push_back(t, x, y, bool(p))

    def run() -> float:
        surface = library.TimeSurface(*sensor)

        def task() -> None:
            for store in stores:
                surface.accept(store)
                if maps:
                    surface.generateFrame()

        return timed(task)

    return run


def faery(events: Events, sensor: Sensor) -> Contender:
    """Faery's rendering of a decay, the only form of its map."""
    library = importlib.import_module("faery")
    theirs = np.zeros(events.size, library.EVENTS_DTYPE)
    for name, own in zip(library.EVENTS_DTYPE.names, "txyp", strict=True):
        theirs[name] = events[own] - (events["t"][0] if own == "t" else 0)
    frames = library.events_stream_from_array(theirs, sensor[::-1]).regularize(1e6 / INTERVAL_US)
    shown = frames.render(decay="exponential", tau="00:00:00.005", colormap=library.colormaps.devon)
    return lambda: timed(lambda: sum(1 for _ in shown))


def spread(seconds: list[float], count: int) -> dict[str, float]:
    """Events per second: the median over the repeats, the lowest and the highest."""
    rates = [count / t for t in seconds]
    return {"median": statistics.median(rates), "low": min(rates), "high": max(rates)}


def contend(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure all contenders on one stream in turn; why some are missing."""
    once, sensor, source = recording(name)
    chunks = [chunk.copy() for chunk in stream(once, EVENTS)]
    events, missing = np.concatenate(chunks), {}
    tasks: dict[str, Contender] = {}
    for label, rate in RATES.items():
        tasks[f"frontier {label}, update"] = ours(chunks, sensor, rate, maps=False)
        tasks[f"frontier {label}, maps"] = ours(chunks, sensor, rate, maps=True)
    others: dict[str, Callable[[], Contender]] = {
        "tonic, update": lambda: tonic(events, sensor, maps=False),
        "tonic, maps": lambda: tonic(events, sensor, maps=True),
        "dv, update": lambda: dv(events, sensor, maps=False),
        "dv, maps": lambda: dv(events, sensor, maps=True),
        "faery, maps": lambda: faery(events, sensor),
    }
    for label, prepare in others.items():
        try:
            tasks[label] = prepare()
        except (ImportError, AttributeError, TypeError) as error:
            missing[label.split(",")[0]] = f"{type(error).__name__}: {error}"
    seconds: dict[str, list[float]] = {label: [] for label in tasks}
    for repeat in range(REPEATS + 1):
        for label, run in tasks.items():
            taken = run()
            if repeat:  # the first one compiles and fills caches
                seconds[label].append(taken)
    found = {label: spread(taken, EVENTS) for label, taken in seconds.items()}
    return {"source": source, "events": EVENTS, "events_per_second": found}, missing


def rss_growth(count: int) -> dict[str, Any]:
    """Growth of the peak of resident memory while `count` events are streamed."""
    once, sensor, source = recording("346x260")
    frontier = fresh(sensor, 1000.0)
    for chunk in stream(once, 3 * once.size):
        frontier.update(chunk)
    frontier.sample()
    frontier, chunks = fresh(sensor, 1000.0), stream(once, count)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for _ in map(frontier.update, chunks):
        pass
    frontier.sample()
    taken = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rss_growth_bytes": 1024 * (after - before),
        "rss_events": frontier.counted,
        "rss_seconds": taken,
        "rss_source": source,
        "state_bytes": frontier.state_bytes,
    }


def ratio(found: dict[str, Any], other: str, task: str) -> float | None:
    """How many times as many events per second the frontier handles, at 1 kHz."""
    if f"{other}, {task}" not in found:
        return None
    return float(found[f"frontier 1 kHz, {task}"]["median"] / found[f"{other}, {task}"]["median"])


def measure(count: int) -> dict[str, Any]:
    """All figures; the headline is the DAVIS346 at 1 kHz."""
    memory, missing, cases = rss_growth(count), {}, {}
    for name in RECORDINGS:
        cases[name], reasons = contend(name)
        missing |= reasons
    found = cases["346x260"]["events_per_second"]
    ratios = {
        f"ratio_to_{other}": {task: ratio(found, other, task) for task in ("update", "maps")}
        if other not in missing
        else None
        for other in ("tonic", "faery", "dv")
    }
    packages = {"tonic": "tonic", "faery": "faery", "dv": "dv-processing"}
    versions = {name: version(package) for name, package in packages.items() if name not in missing}
    return {
        "events_per_second": found["frontier 1 kHz, update"],
        **ratios,
        **memory,
        "reasons": missing,
        "cases": cases,
        "repeats": REPEATS,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, 1 used",
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("mtj-ipnet", "numpy", "numba", "torch")}
        | versions,
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=float, default=1e9, help="events streamed for the memory")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    result = measure(int(options.events))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, case in result["cases"].items():
        print(f"{name} ({case['source']}), million events per second: median (lowest to highest)")
        for label, rate in case["events_per_second"].items():
            middle, low, high = (rate[key] / 1e6 for key in ("median", "low", "high"))
            print(f"  {label:26} {middle:8.1f} ({low:.1f} to {high:.1f})")
    print(
        f"memory grew by {result['rss_growth_bytes']:,} bytes over {result['rss_events']:,} events in "
        f"{result['rss_seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
