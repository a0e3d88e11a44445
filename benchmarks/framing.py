"""Events per second into frames: `ipnet.events.frame_events` beside tonic and numpy, in one run on one machine.

    make bench-peers
    python benchmarks/framing.py
    python benchmarks/framing.py --json

Everyone frames the same synthetic stream, in turn: 16 frames of a sensor of 346x260 pixels, of equal duration
(`time`) or equal count, at full resolution or `pooled` over 2x2 pixels. Ours also checks every event. ``lost`` is
the number of events that the frames do not hold. ``speedup_over_...`` are ratios of median rates, by time and at
full resolution where not said otherwise. tonic (GPL) lives in the peers' environment and is left out, with the
reason, where it is missing.
"""
# ruff: noqa: T201

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _framing_peers import FACTOR, SENSOR, STEPS, Events, Frame, lost_by, seconds_of
from _worker import PEERS, Worker, WorkerError, machine, summary, take_turns, versions
from ipnet.events import frame_events

SHAPE = (STEPS, 2, *SENSOR)


def places(events: Events) -> tuple[NDArray[np.int64], ...]:
    """Step, polarity, row and column of each event, as plain numpy finds them."""
    t = events["t"] - events["t"][0]
    return t * STEPS // (t[-1] + 1), *(events[key].astype(np.int64) for key in ("p", "y", "x"))


def add_at(events: Events) -> NDArray[Any]:
    """numpy.add.at."""
    frames = np.zeros(SHAPE, np.float32)
    np.add.at(frames, places(events), 1)
    return frames


def histogramdd(events: Events) -> NDArray[Any]:
    """numpy.histogramdd."""
    return np.histogramdd(np.stack(places(events), 1), SHAPE, [(0, size) for size in SHAPE])[0]


def bincount(events: Events) -> NDArray[Any]:
    """numpy.bincount, the fastest that plain numpy has."""
    flat = np.ravel_multi_index(places(events), SHAPE)
    return np.bincount(flat, minlength=np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)


SMALL = (SENSOR[0] // FACTOR, SENSOR[1] // FACTOR)
MAKERS: dict[str, Frame] = {
    "ours_time": lambda events: frame_events(events, SENSOR, STEPS),
    "ours_count": lambda events: frame_events(events, SENSOR, STEPS, by="count"),
    "ours_time_pooled": lambda events: frame_events(events, SENSOR, STEPS, size=SMALL),
    "ours_count_pooled": lambda events: frame_events(events, SENSOR, STEPS, by="count", size=SMALL),
    "numpy_add_at": add_at,
    "numpy_histogramdd": histogramdd,
    "numpy_bincount": bincount,
}


def ask_tonic(
    worker: Worker, count: int, measures: dict[str, Callable[[], float]], lost: dict[str, float]
) -> str | None:
    """Add tonic's contenders to `measures` and what they lose to `lost`; returns why not."""
    try:
        for name in worker("names"):
            lost[name] = worker("lost", name=name, count=count)
            measures[name] = partial(worker, "measure", name=name, count=count)
    except WorkerError as error:
        return str(error)
    return None


def measure(count: int, rounds: int, peers: Path) -> dict[str, Any]:
    """Everything."""
    here = machine(1) | {"versions": versions(("numpy", "numba", "mtj-ipnet"))}
    lost = {name: lost_by(frame, count) for name, frame in MAKERS.items()}  # compiles and warms up too
    measures: dict[str, Callable[[], float]] = {
        name: partial(seconds_of, frame, count) for name, frame in MAKERS.items()
    }
    reason: str | None = f"there is no interpreter {peers}: run 'make bench-peers', or name one with --peers"
    with ExitStack() as stack:
        if peers.exists():
            worker = stack.enter_context(Worker(peers, "_framing_peers.py"))
            here["versions_of_peers"] = worker("versions", packages=("numpy", "tonic"))
            reason = ask_tonic(worker, count, measures, lost)
        seconds = take_turns(measures, lambda _: rounds)
    contenders = {name: summary(taken) | {"lost": lost[name]} for name, taken in seconds.items()}
    for entry in contenders.values():
        entry["events_per_s"] = count / entry["median_s"]
    return {
        **speedups(contenders),
        "tonic_reason": reason,
        "events": count,
        "contenders": contenders,
        "machine": here,
    }


def speedups(contenders: Mapping[str, Any]) -> dict[str, float | None]:
    """Ratios of rates, null for who is missing."""
    pairs = {
        "tonic": ("ours_time", "tonic_time"),
        "tonic_by_count": ("ours_count", "tonic_count"),
        "tonic_pooled": ("ours_time_pooled", "tonic_time_pooled"),
        "add_at": ("ours_time", "numpy_add_at"),
        "histogramdd": ("ours_time", "numpy_histogramdd"),
        "bincount": ("ours_time", "numpy_bincount"),
    }
    return {
        f"speedup_over_{key}": contenders[a]["events_per_s"] / contenders[b]["events_per_s"]
        if b in contenders
        else None
        for key, (a, b) in pairs.items()
    }


def show(found: Mapping[str, Any]) -> None:
    """Print what people read."""
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    print(f"\n{found['events']:,} events, {SENSOR[1]}x{SENSOR[0]} pixels, {STEPS} frames")
    print(f"{'':24}{'events/s':>12}{'best':>12}{'spread':>8}{'lost':>6}")
    for name, entry in found["contenders"].items():
        best = found["events"] / entry["best_s"]
        print(f"{name:24}{entry['events_per_s']:12.3g}{best:12.3g}{entry['spread']:8.0%}{entry['lost']:6.0f}")
    if found["tonic_reason"]:
        print(f"{'tonic':24}not run: {found['tonic_reason']}")
    print()
    for key, value in found.items():
        if key.startswith("speedup"):
            print(f"{key:32}{'not run' if value is None else f'{value:.3g}'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--quick", action="store_true", help="few events: does it run? The figures mean nothing")
    parser.add_argument("--events", type=int, default=2_000_000, help="of the stream")
    parser.add_argument("--rounds", type=int, default=9, help="of each contender")
    parser.add_argument("--peers", type=Path, default=PEERS, help="interpreter with tonic")
    options = parser.parse_args()
    count, rounds = (10_000, 2) if options.quick else (options.events, options.rounds)
    found = measure(count, rounds, options.peers)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
