"""The journal of a bench: every pulse and every reply, on disk before anything else happens.

A batch is written before it is sent, and so is the moment from which it may have been played. Whatever stops the
process, and wherever, the journal then says which of the batches is in the air; there is one at most.
"""

import json
import math
import platform
import secrets
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ipnet import __version__
from ipnet.batch import Batch, Event, Kind, from_row, pack, protocol_text, write_csv, write_events, write_hdf5
from ipnet.cache import content_hash, write_atomically
from ipnet.cards import Card
from ipnet.errors import IPNetError
from ipnet.journal_file import JournalFile
from ipnet.limits import Limits, count_pulses
from ipnet.shots import Protocol, Shot, digest

_COLUMNS = "number, junction, name, kind, key, places, sizes, V, t, protocol, resting, switched, state"


class Journal:
    """What a bench has done, in one SQLite file that one process at a time can open.

    Args:
        path: of the file, which is made if it is not there.
        identities: of the instruments, by their part: what they answer to ``*IDN?``; None takes those of a journal
            that is there.
        limits: of the junctions.
        card: of the junctions.
        protocol: of the shots.

    Raises:
        IPNetError: a journal that was begun with something else, a damaged or foreign file, no file.
        BusyError: another process has it open.

    References:
        SQLite, write-ahead log with synchronous = FULL: what was committed outlives a crash and a power cut.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        identities: Mapping[str, str] | None,
        limits: Limits,
        card: Card[Any, Any],
        protocol: Protocol,
    ) -> None:
        values = {"parameters": card.parameters.model_dump(), "clock": card.clock.model_dump()}
        begun = {
            "card": json.dumps({"name": card.name, "hash": content_hash(values)}, sort_keys=True),
            "limits": json.dumps(limits.model_dump(), sort_keys=True),
            "protocol": protocol_text(protocol),
        }
        if identities is not None:
            begun["identities"] = json.dumps(dict(identities), sort_keys=True)
        versions = {"ipnet": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
        versions |= {"numpy": np.__version__, "sqlite": sqlite3.sqlite_version}
        also = {"versions": json.dumps(versions), "nonce": secrets.token_hex(3), "values": json.dumps(values)}
        self._file = JournalFile(Path(path), None if identities is None else begun | also)
        for what, now in begun.items():
            if self.header[what] != now:
                self.close()
                raise IPNetError(
                    f"journal '{path}' must go on with the {what} that it was begun with, {self.header[what]}; "
                    f"got {now}: give those, or begin another journal."
                )

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """A journal as it is, to read or export it without its instruments.

        Raises:
            IPNetError: no file, or one that is damaged or foreign.
            BusyError: a bench is at it.
        """
        self = cls.__new__(cls)
        self._file = JournalFile(Path(path), None)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()

    @property
    def header(self) -> dict[str, str]:
        """What it was begun with: card, limits, identities, protocol and versions, as JSON."""
        return self._file.header

    @property
    def identities(self) -> dict[str, str]:
        """What the instruments answered to ``*IDN?``, by their part."""
        return dict(json.loads(self.header["identities"]))

    def ask(self, key: str, shots: Sequence[Shot], *, again: bool = False) -> None:
        """Let a key stand for these shots.

        Args:
            key: of the answers.
            shots: in any number.
            again: it must stand for them already.

        Raises:
            IPNetError: it stands for others, or for none yet where it must.
        """
        asked = (digest(shots), len(shots))
        with self._file.transaction() as db:
            if not again:
                db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", (key, *asked))
            known = db.execute("SELECT digest, total FROM asked WHERE key = ?", (key,)).fetchone()
        if known is None:
            raise IPNetError(
                f"a replay asks what was asked before, and '{key}' was not: give the run, the card and the "
                "options of the record, or leave out --replay to measure."
            )
        if known != asked:
            cure = "leave out --replay to measure" if again else "begin another journal"
            raise IPNetError(
                f"a key stands for the same shots in all of a journal; got other ones ({asked[1]}, before "
                f"{known[1]}) for '{key}': give the run, the junctions and the options of the record, or {cure}."
            )

    def answers(self, key: str) -> NDArray[np.int8]:
        """For each shot of a key 1 if it switched, 0 if not, -1 if it is not measured; empty for no such key."""
        with self._file.transaction() as db:
            known = db.execute("SELECT total FROM asked WHERE key = ?", (key,)).fetchone()
            found = np.full(known[0] if known else 0, -1, dtype=np.int8)
            places = "SELECT number, places FROM batch WHERE key = ? AND state = 'closed' AND kind = 'answers'"
            for number, packed in db.execute(places, (key,)).fetchall():
                seen = db.execute("SELECT answer FROM shot WHERE batch = ? ORDER BY number", (number,)).fetchall()
                place, answer = np.frombuffer(packed, "<i8"), np.array(seen, dtype=np.int8).reshape(-1)
                found[place[place >= 0]] = answer[place >= 0]
        return found

    def open_batch(
        self,
        junction: int,
        shots: Sequence[Shot],
        name: str | None = None,
        *,
        protocol: Protocol,
        kind: Kind = "answers",
        key: str = "",
        places: Sequence[int] = (),
        levels: tuple[float, float] = (math.nan, math.nan),
    ) -> int:
        """Write down a batch that is about to be sent; its pulses count as applied from here on.

        Args:
            junction: that it is for.
            shots: all of it.
            name: of the waveform; one that no other journal uses if not given.
            protocol: what follows each shot.
            kind: see `Batch`.
            key: of the answers.
            places: of each shot among those of the key; -1 for one that checks, and for those beyond the last.
            levels: currents of the resting and of the switched junction [A].

        Returns:
            Its number.

        Raises:
            IPNetError: another batch has not come to its end.
        """
        where = np.full(len(shots), -1, dtype="<i8")
        where[: len(places)] = places
        packed = (where.tobytes(), *pack(shots), protocol_text(protocol))
        with self._file.transaction() as db:
            if other := db.execute("SELECT name FROM batch WHERE state IN ('open', 'sent')").fetchone():
                raise IPNetError(f"one batch at a time; '{other[0]}' has not come to its end: recover it first.")
            number = db.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM batch").fetchone()[0]
            known = [None if math.isnan(level) else level for level in levels]
            row = (
                number,
                junction,
                name or f"{self.header['nonce']}-{number}",
                kind,
                key,
                *packed,
                *known,
                "open",
            )
            more = (count_pulses(shots, protocol), time.time())
            places_of_row = ", ".join("?" * (len(row) + len(more)))
            db.execute(f"INSERT INTO batch ({_COLUMNS}, pulses, opened) VALUES ({places_of_row})", row + more)
        return int(number)

    def send_batch(self, number: int) -> None:
        """From here on the batch may have been played."""
        self._advance(number, "sent", "sent", ("open",))

    def lose_batch(self, number: int) -> None:
        """It may have been played, and no record can be had."""
        self._advance(number, "lost", "closed", ("sent",))

    def close_batch(
        self, number: int, currents: Iterable[float], answers: Iterable[int], *, void: bool = False
    ) -> None:
        """Write down what came back; `void` for a batch that does not count."""
        finite = [float(current) if math.isfinite(current) else None for current in currents]
        rows = [(number, i, *pair) for i, pair in enumerate(zip(finite, map(int, answers), strict=True))]
        self._advance(number, "void" if void else "closed", "closed", ("open", "sent"), rows)

    def answered(self, key: str) -> list[Batch]:
        """The batches that answer a key."""
        return self._batches("WHERE key = ? AND state = 'closed' AND kind = 'answers'", key)

    def resistances(self, key: str) -> tuple[float, float]:
        """Of the resting and of the switched junction [ohm], by which the answers of a key were told, on average.

        NaN if there are none.
        """
        told = [(batch.protocol.V_read / np.array(batch.levels)).tolist() for batch in self.answered(key)]
        return tuple(map(mean, zip(*told, strict=True))) if told else (math.nan, math.nan)

    def pending(self) -> Batch | None:
        """The batch that has not come to its end, if there is one."""
        return next(iter(self._batches("WHERE state IN ('open', 'sent')")), None)

    def batch(self, number: int) -> Batch:
        """A batch by its number."""
        return self._batches(f"WHERE number = {number:d}")[0]

    def applied(self, junction: int) -> int:
        """Pulses on a junction so far; those of a batch count from the moment it was opened."""
        with self._file.transaction() as db:
            query = "SELECT COALESCE(SUM(pulses), 0) FROM batch WHERE junction = ?"
            return int(db.execute(query, (junction,)).fetchone()[0])

    def pace(self) -> float | None:
        """Seconds from opening to end, on average of the last 20 batches; None without any."""
        with self._file.transaction() as db:
            last = "SELECT closed - opened AS took FROM batch WHERE state = 'closed' ORDER BY number DESC LIMIT 20"
            mean: float | None = db.execute(f"SELECT AVG(took) FROM ({last})").fetchone()[0]
        return mean

    def note(self, what: str, junction: int | None = None, detail: str = "") -> None:
        """Write down an event."""
        with self._file.transaction() as db:
            db.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (time.time(), junction, what, detail))

    def events(self) -> list[Event]:
        """Time, junction, what and detail of every event, oldest first."""
        with self._file.transaction() as db:
            return list(db.execute("SELECT * FROM event ORDER BY rowid").fetchall())

    def dead(self) -> dict[int, str]:
        """Junctions that were found dead, and why."""
        return {event[1]: event[3] for event in self.events() if event[2] == "dead" and event[1] is not None}

    def export(self, path: str | Path) -> None:
        """Write all of it to a .h5 file, or the shots to a .csv file and the events to another beside it.

        Raises:
            IPNetError: another kind of file, or a folder that cannot be written.
        """
        path, batches, events = Path(path), self._batches(""), self.events()
        if path.suffix == ".h5":
            write_atomically(path, lambda file: write_hdf5(batches, events, self.header, file))
        elif path.suffix == ".csv":
            write_atomically(path, lambda file: write_csv(batches, file))
            write_atomically(path.with_suffix(".events.csv"), lambda file: write_events(events, file))
        else:
            raise IPNetError(f"a journal is exported to a .h5 or a .csv file; got '{path}'.")

    def _batches(self, where: str, *values: object) -> list[Batch]:
        with self._file.transaction() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS}, opened, sent, closed FROM batch {where} ORDER BY number", values
            ).fetchall()
            shots = "SELECT number, current, answer FROM shot WHERE batch = ?"
            return [from_row(row, db.execute(shots, row[:1]).fetchall()) for row in rows]

    def _advance(self, number: int, state: str, when: str, allowed: tuple[str, ...], rows: Any = ()) -> None:
        with self._file.transaction() as db:
            now = db.execute("SELECT state FROM batch WHERE number = ?", (number,)).fetchone()
            if now is None or now[0] not in allowed:
                was = now[0] if now else "not in the journal"
                raise IPNetError(f"a batch becomes '{state}' from {' or '.join(allowed)} only; {number} is {was}.")
            db.executemany("INSERT INTO shot VALUES (?, ?, ?, ?)", rows)
            db.execute(f"UPDATE batch SET state = ?, {when} = ? WHERE number = ?", (state, time.time(), number))
