"""Batches: shots sent to one junction in one waveform, what came back, and files of them for other programs."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ipnet.shots import Floats, Protocol, Shot

Kind = Literal["answers", "check", "calibration"]
Progress = Literal["open", "sent", "closed", "void", "lost"]
Event = tuple[float, int | None, str, str]


@dataclass(frozen=True, eq=False)
class Batch:
    """Shots on one junction, and what is known of them.

    Args:
        number: in its journal, from 1.
        junction: on which it is played.
        name: of the waveform and of its record; no two batches of any journal share one.
        kind: `answers` that were asked for, a `check` of a junction that may be dead, or a `calibration`.
        key: of the answers.
        places: of each shot among those of the key; -1 for one that checks the junction.
        shots: what is played.
        protocol: what follows each shot.
        levels: currents of the resting and of the switched junction [A], which tell the answers; NaN for none.
        state: `open` is planned, `sent` may have been played, `closed` counts; `void` was played and does not
            count, for the junction failed its check; `lost` may have been played and has no record.
        times: when it was opened, sent and closed [s since 1970]; NaN for what did not happen.
        currents: read after each shot [A]; NaN for none.
        answers: 1 for switched, 0 for not, -1 for none.
    """

    number: int
    junction: int
    name: str
    kind: Kind
    key: str
    places: NDArray[np.int64]
    shots: tuple[Shot, ...]
    protocol: Protocol
    levels: tuple[float, float]
    state: Progress
    times: tuple[float, float, float]
    currents: Floats
    answers: NDArray[np.int8]


def pack(shots: Sequence[Shot]) -> tuple[bytes, bytes, bytes]:
    """Numbers of segments, voltages and durations as bytes, from which `unpack` makes the same shots."""
    sizes = np.array([shot.V.size for shot in shots], dtype="<i8")
    V, t = (np.concatenate([getattr(shot, name) for shot in shots]).astype("<f8") for name in ("V", "t"))
    return sizes.tobytes(), V.tobytes(), t.tobytes()


def unpack(sizes: bytes, V: bytes, t: bytes) -> tuple[Shot, ...]:
    """The shots of `pack`.

    Example:
        >>> [shot.V.tolist() for shot in unpack(*pack([Shot([0.1, 0.2], [1.0, 1.0]), Shot([0.3], [2.0])]))]
        [[0.1, 0.2], [0.3]]
    """
    ends = np.cumsum(np.frombuffer(sizes, "<i8"))[:-1]
    parts = (np.split(np.frombuffer(values, "<f8"), ends) for values in (V, t))
    return tuple(Shot(*pair) for pair in zip(*parts, strict=True))


def protocol_text(protocol: Protocol) -> str:
    """A protocol as JSON."""
    return json.dumps(asdict(protocol), sort_keys=True)


def from_row(row: Sequence[Any], seen: Sequence[tuple[int, float | None, int]]) -> Batch:
    """A row of the journal's table, with the shots of it that were read."""
    number, junction, name, kind, key, places, sizes, V, t, protocol, resting, switched, state, *times = row
    shots = unpack(sizes, V, t)
    currents, answers = np.full(len(shots), np.nan), np.full(len(shots), -1, dtype=np.int8)
    for i, current, answer in seen:
        currents[i], answers[i] = math.nan if current is None else current, answer
    return Batch(
        number=number,
        junction=junction,
        name=name,
        kind=kind,
        key=key,
        places=np.frombuffer(places, "<i8"),
        shots=shots,
        protocol=Protocol(**json.loads(protocol)),
        levels=(math.nan if resting is None else resting, math.nan if switched is None else switched),
        state=state,
        times=tuple(math.nan if moment is None else moment for moment in times),  # type: ignore[arg-type]
        currents=currents,
        answers=answers,
    )


def write_csv(batches: Sequence[Batch], path: Path) -> None:
    """One row for each shot: its segments, its protocol, what was read and answered; empty for nothing."""
    names = ("state", "opened", "sent", "closed", "resting [A]", "switched [A]", "V [V]", "t [s]")
    first = ("batch", "name", "junction", "kind", "key", "shot", "place")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*first, *names, "protocol", "current [A]", "answer"])
        for batch in batches:
            for i, shot in enumerate(batch.shots):
                where = (batch.number, batch.name, batch.junction, batch.kind, batch.key, i, batch.places[i])
                segments = (" ".join(map(repr, part.tolist())) for part in (shot.V, shot.t))
                seen = _shown(batch.currents[i]), "" if batch.answers[i] < 0 else int(batch.answers[i])
                known = (batch.state, *map(_shown, (*batch.times, *batch.levels)), *segments)
                writer.writerow([*where, *known, protocol_text(batch.protocol), *seen])


def write_events(events: Sequence[Event], path: Path) -> None:
    """One row for each event."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time [s since 1970]", "junction", "what", "detail"])
        writer.writerows(("" if part is None else part for part in event) for event in events)


def write_hdf5(batches: Sequence[Batch], events: Sequence[Event], header: Mapping[str, str], path: Path) -> None:
    """The header as attributes; groups `batch`, `shot` and `segment`, one value for each of them; and `event`.

    The shots of batch i are those from ``batch/first_shot[i]`` on, the segments of shot j those from
    ``shot/first_segment[j]`` on.
    """
    shots = [shot for batch in batches for shot in batch.shots]
    columns: dict[str, Any] = {
        "batch/first_shot": _firsts([len(batch.shots) for batch in batches]),
        "shot/first_segment": _firsts([shot.V.size for shot in shots]),
        "segment/V": _joined([shot.V for shot in shots]),
        "segment/t": _joined([shot.t for shot in shots]),
        "shot/place": _joined([batch.places for batch in batches]),
        "shot/current": _joined([batch.currents for batch in batches]),
        "shot/answer": _joined([batch.answers for batch in batches]),
        "batch/protocol": [protocol_text(batch.protocol) for batch in batches],
        "batch/levels": np.array([batch.levels for batch in batches]).reshape(-1, 2),
        "batch/times": np.array([batch.times for batch in batches]).reshape(-1, 3),
        "event/time": np.array([event[0] for event in events]),
        "event/junction": np.array([-1 if event[1] is None else event[1] for event in events], dtype=np.int64),
        "event/what": [event[2] for event in events],
        "event/detail": [event[3] for event in events],
    }
    for name in ("number", "junction", "name", "kind", "key", "state"):
        columns[f"batch/{name}"] = [getattr(batch, name) for batch in batches]
    with h5py.File(path, "w") as file:
        file.attrs.update(header)
        for name, values in columns.items():
            text = isinstance(values, list) and not all(isinstance(value, int) for value in values)
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if text else None)


def _shown(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def _firsts(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes], dtype=np.int64)[:-1]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0)
