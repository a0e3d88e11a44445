"""The journal of a bench: nothing it was told is lost, nothing else is taken for it, and others can read it."""

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ipnet.device import load_device
from ipnet.errors import BusyError, IPNetError
from ipnet.journal import Journal
from ipnet.limits import Limits
from ipnet.shots import Shot, protocol_of

MTJ = load_device("mtj-thermal")
LIMITS = Limits(V_max=0.4, I_max=1e-3, P_max=1e-3, t_min=1e-9, t_max=1e-6, duty=1.0, pulses=1e6, rise_max=99)
PROTOCOL = protocol_of(MTJ)
BEGUN: dict[str, Any] = {
    "identities": {"generator": "A,1", "meter": "B,2"},
    "limits": LIMITS,
    "card": MTJ.card,
    "protocol": PROTOCOL,
}
SHOTS = [Shot([-0.3, 0.28], [1e-7, 1e-8]), Shot([0.1], [2e-8]), Shot([-0.2, 0.0, 0.27], [1e-7, 2e-8, 1e-8])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bench.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path, **BEGUN) as opened:
        yield opened


def fill(journal: Journal) -> None:
    """A key of three shots: two are answered with a third that checks; one is in the air; and an event."""
    journal.ask("clip 7", SHOTS)
    shots = [SHOTS[2], SHOTS[0], Shot([0.4], [2e-8])]
    number = journal.open_batch(3, shots, protocol=PROTOCOL, key="clip 7", places=[2, 0], levels=(2e-5, 1e-5))
    journal.send_batch(number)
    journal.close_batch(number, [1.1e-5, 1.9e-5, np.nan], [1, 0, -1])
    journal.note("dead", 5, "it does not switch")
    journal.open_batch(3, SHOTS[1:2], "mine", protocol=PROTOCOL, key="clip 7", places=[1])


def test_what_was_written_is_read_after_it_was_closed(path: Path) -> None:
    with Journal(path, **BEGUN) as journal:
        fill(journal)
    with Journal(path, **(BEGUN | {"identities": None})) as journal:
        assert journal.answers("clip 7").tolist() == [0, -1, 1]
        assert journal.answers("unknown").size == 0
        assert journal.identities == BEGUN["identities"]
        assert journal.dead() == {5: "it does not switch"}
        pending = journal.pending()
        assert pending is not None
        assert (pending.name, pending.state, pending.junction, pending.places.tolist()) == ("mine", "open", 3, [1])
        done = journal.batch(1)
        assert [shot.V.tolist() for shot in done.shots[:2]] == [[-0.2, 0.0, 0.27], [-0.3, 0.28]]
        assert [shot.t.tolist() for shot in done.shots[:2]] == [[1e-7, 2e-8, 1e-8], [1e-7, 1e-8]]
        assert done.protocol == PROTOCOL
        assert done.levels == (2e-5, 1e-5)
        assert done.currents[:2].tolist() == [1.1e-5, 1.9e-5]
        assert np.isnan(done.currents[2])
        assert done.times[0] <= done.times[1] <= done.times[2]
        assert np.isnan(pending.times[1:]).all()
        assert journal.pace() == done.times[2] - done.times[0]


def test_a_power_cut_loses_nothing_that_was_committed(journal: Journal) -> None:
    with journal._file.transaction() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_pulses_count_as_applied_as_soon_as_they_are_planned(journal: Journal) -> None:
    assert journal.applied(3) == 0
    number = journal.open_batch(3, SHOTS, protocol=PROTOCOL)
    assert journal.applied(3) == 2 + 1 + 2 + 6
    assert journal.applied(4) == 0
    journal.send_batch(number)
    journal.lose_batch(number)
    assert journal.applied(3) == 11


def test_a_batch_goes_one_way_and_there_is_one_at_a_time(journal: Journal) -> None:
    number = journal.open_batch(0, SHOTS[:1], protocol=PROTOCOL)
    with pytest.raises(IPNetError, match="one batch at a time"):
        journal.open_batch(0, SHOTS[:1], protocol=PROTOCOL)
    with pytest.raises(IPNetError, match="becomes 'lost' from sent only; 1 is open"):
        journal.lose_batch(number)
    journal.send_batch(number)
    with pytest.raises(IPNetError, match="becomes 'sent' from open only; 1 is sent"):
        journal.send_batch(number)
    journal.close_batch(number, [1.0], [1], void=True)
    with pytest.raises(IPNetError, match="1 is void"):
        journal.close_batch(number, [1.0], [1])
    with pytest.raises(IPNetError, match="2 is not in the journal"):
        journal.close_batch(2, [1.0], [1])


def test_void_and_lost_batches_are_no_answers(journal: Journal) -> None:
    journal.ask("a", SHOTS[:1])
    for end in (lambda n: journal.close_batch(n, [1.0], [1], void=True), journal.lose_batch):
        number = journal.open_batch(0, SHOTS[:1], protocol=PROTOCOL, key="a", places=[0])
        journal.send_batch(number)
        end(number)
        assert journal.answers("a").tolist() == [-1]


def test_a_key_stands_for_the_same_shots(journal: Journal) -> None:
    journal.ask("a", SHOTS)
    journal.ask("a", SHOTS)
    with pytest.raises(IPNetError, match="the options of the record, or begin another journal"):
        journal.ask("a", SHOTS[::-1])


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("identities", {"generator": "A,1", "meter": "B,3"}),
        ("limits", LIMITS.model_copy(update={"V_max": 0.41})),
        ("card", MTJ.card.with_clock(V_bias=0.01)),
        ("protocol", protocol_of(MTJ, t_read=30e-9)),
    ],
)
def test_a_journal_goes_on_with_what_it_was_begun_with(path: Path, what: str, other: Any) -> None:
    Journal(path, **BEGUN).close()
    with pytest.raises(IPNetError, match=f"go on with the {what} that it was begun with"):
        Journal(path, **(BEGUN | {what: other}))
    Journal(path, **BEGUN).close()  # the refusal let it go


def test_two_processes_cannot_share_a_journal(path: Path, journal: Journal) -> None:
    for other in (lambda: Journal(path, **BEGUN), lambda: Journal.reopen(path)):
        with pytest.raises(BusyError, match=r"bench\.journal' is open in another process"):
            other()


def test_a_foreign_file_is_refused_and_left_as_it_is(path: Path, tmp_path: Path) -> None:
    path.write_text("my thesis\n" * 1000)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE header (key, value)")
    db.close()
    empty = tmp_path / "empty"
    empty.touch()
    for file in (path, other, empty):
        before = file.read_bytes()
        opens = [lambda file=file: Journal.reopen(file), lambda file=file: Journal(file, **BEGUN)]
        for way in opens[: 1 if file is empty else 2]:
            with pytest.raises(IPNetError, match=f"{file.name}' is no journal of a bench, or is damaged"):
                way()
        assert file.read_bytes() == before
    with pytest.raises(IPNetError, match="there is no journal"):
        Journal(tmp_path / "none", **(BEGUN | {"identities": None}))
    assert not (tmp_path / "none").exists()
    with pytest.raises(IPNetError, match="readable and writable"):
        Journal(tmp_path / "no folder" / "x", **BEGUN)


def test_a_damaged_journal_is_refused_by_name(path: Path) -> None:
    with Journal(path, **BEGUN) as journal:
        for _ in range(40):
            number = journal.open_batch(0, SHOTS * 20, protocol=PROTOCOL)
            journal.close_batch(number, [1.0] * 60, [1] * 60)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:4096] + b"\xa5" * 4096 + whole[8192:], whole[:200]):
        path.write_bytes(damaged)
        with pytest.raises(IPNetError, match=r"bench\.journal' is no journal of a bench, or is damaged"):
            Journal(path, **BEGUN)


def test_export_holds_every_pulse_and_every_reply(path: Path, journal: Journal, tmp_path: Path) -> None:
    fill(journal)
    journal.export(tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [(row["batch"], row["place"], row["answer"], row["state"]) for row in rows] == [
        ("1", "2", "1", "closed"),
        ("1", "0", "0", "closed"),
        ("1", "-1", "", "closed"),
        ("2", "1", "", "open"),
    ]
    assert rows[0]["V [V]"] == "-0.2 0.0 0.27"
    assert float(rows[0]["current [A]"]) == 1.1e-5
    assert json.loads(rows[3]["protocol"])["V_read"] == 0.05
    assert "it does not switch" in (tmp_path / "out.events.csv").read_text()
    journal.export(tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert json.loads(file.attrs["limits"])["V_max"] == 0.4
        assert file["batch/first_shot"][:].tolist() == [0, 3]
        assert file["batch/name"].asstr()[1] == "mine"
        assert file["shot/first_segment"][:].tolist() == [0, 3, 5, 6]
        assert file["segment/V"][3:5].tolist() == [-0.3, 0.28]
        assert file["segment/t"][0] == 1e-7
        assert file["shot/answer"][:].tolist() == [1, 0, -1, -1]
        assert file["event/junction"][0] == 5
    with pytest.raises(IPNetError, match=r"\.h5 or a \.csv"):
        journal.export(tmp_path / "out.xlsx")


def test_an_empty_journal_can_be_exported(journal: Journal, tmp_path: Path) -> None:
    journal.export(tmp_path / "out.h5")
    journal.export(tmp_path / "out.csv")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["batch/number"].shape == (0,)


def write_without_end(path: str) -> None:
    """What the process does that is killed: it says what is on disk, and goes on."""
    with Journal(path, **BEGUN) as journal:
        print("begun", flush=True)
        while True:
            number = journal.open_batch(1, SHOTS, protocol=PROTOCOL)
            print("open", number, flush=True)
            journal.send_batch(number)
            print("sent", number, flush=True)
            journal.close_batch(number, [number, 2.0, 3.0], [1, 0, 1])
            print("closed", number, flush=True)


def test_what_was_committed_outlives_a_kill_at_any_moment(path: Path) -> None:
    rng = random.Random(3)
    with Journal(path, **BEGUN):
        pass
    folder = Path(__file__).parent
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import test_journal as t; t.write_forked(sys.argv[1])"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        heard = 0
        for _ in range(20):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            assert parent.stdout.readline() == "begun\n"
            time.sleep(rng.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            lines = []
            while (line := parent.stdout.readline()) != "gone\n":
                lines.append(line.split())
            heard += len(lines)
            check(path, [line for line in lines if len(line) == 2])
        assert heard > 40
        parent.stdin.close()


def write_forked(path: str) -> None:
    """Fork a process that writes for each line of the standard input, and say when it is gone."""
    for _ in sys.stdin:
        if not (child := os.fork()):
            print(os.getpid(), flush=True)
            write_without_end(path)
        os.waitpid(child, 0)
        print("\ngone", flush=True)


def check(path: Path, said: list[list[str]]) -> None:
    """All that was said to be on disk is there; then the batch in the air is brought to its end."""
    order = ["open", "sent", "closed"]
    with Journal(path, **BEGUN) as journal:
        for word, number in said:
            batch = journal.batch(int(number))
            assert order.index(batch.state) >= order.index(word)
            if batch.state == "closed":
                assert batch.currents.tolist() == [int(number), 2.0, 3.0]
        if pending := journal.pending():
            journal.close_batch(pending.number, [pending.number, 2.0, 3.0], [1, 0, 1])
