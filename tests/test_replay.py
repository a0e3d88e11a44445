"""A journal that plays back: the same answers and the same deaths, and every difference is found."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ipnet.bench import DeadJunction
from ipnet.errors import IPNetError
from ipnet.journal import Journal
from ipnet.replay import Replay
from ipnet.shots import Shot
from test_bench import LIMITS, MTJ, PROTOCOL, RIGHT, SHOTS, begin, bench
from toy_bench import R_AP, R_P, Lab

MANY = SHOTS * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of junction 1, which dies under the second key, and of junction 2, which goes on with it."""
    path, lab = tmp_path / "journal", Lab()
    with begin(path) as journal:
        asked = bench(lab, journal, shots_per_batch=14)
        asked.run(1, MANY, "first")
        lab.dies_at = lab.resets + 20
        with pytest.raises(DeadJunction):
            asked.run(1, MANY, "second")
        asked.run(2, MANY, "second")
    return path


@pytest.fixture
def replay(path: Path) -> Iterator[Replay]:
    with Journal(path, identities=None, limits=LIMITS, card=MTJ.card, protocol=PROTOCOL) as journal:
        yield Replay(journal, LIMITS, MTJ, PROTOCOL)


def alter(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    with db:
        assert db.execute(statement).rowcount
    db.close()


def test_answers_resistances_and_deaths_play_back(path: Path, replay: Replay) -> None:
    before = path.read_bytes()
    for _ in range(2):
        assert replay.run(1, MANY, "first").tolist() == RIGHT * 8
        with pytest.raises(DeadJunction, match="junction 1 is dead") as caught:
            replay.run(1, MANY, "second")
        assert caught.value.why == replay.journal.dead()[1]
        assert replay.run(2, MANY, "second").tolist() == RIGHT * 8
    assert replay.resistances("first") == pytest.approx((R_P, R_AP))
    assert np.isnan(replay.resistances("third")).all()
    replay.journal.close()
    assert path.read_bytes() == before, "a replay writes nothing"


def test_what_was_not_asked_is_refused(replay: Replay) -> None:
    with pytest.raises(IPNetError, match=r"'third' was not: give the run, the card and the options of the record"):
        replay.run(1, MANY, "third")
    for other in ([*MANY[:-1], Shot(MANY[-1].V + 1e-12, MANY[-1].t)], MANY[:-1], MANY[::-1]):
        with pytest.raises(IPNetError, match="a key stands for the same shots in all of a journal"):
            replay.run(1, other, "first")
    with pytest.raises(IPNetError, match=r"needs the answers of junction 3 .* 40 of 40, the last of them of junc"):
        replay.run(3, MANY, "first")


def test_a_run_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    with begin(tmp_path / "journal") as journal:
        asked, told = bench(Lab(), journal, shots_per_batch=14), list[int]()

        def stop(done: int, total: int, left: float) -> None:
            told.append(done)
            if done == 28:
                raise KeyboardInterrupt

        asked._progress = stop
        with pytest.raises(KeyboardInterrupt):
            asked.run(1, MANY, "first")
        with pytest.raises(IPNetError, match=r"'first'; got 28 of 40, .* finish the run on the bench first"):
            Replay(journal, LIMITS, MTJ, PROTOCOL).run(1, MANY, "first")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE shot SET answer = 1 - answer WHERE batch = 5 AND number = 3", "its answers do not follow from"),
        ("UPDATE shot SET current = -current WHERE batch = 4 AND number = 2", "its answers do not follow from"),
        ("UPDATE batch SET switched = resting, resting = switched WHERE number = 4", "its answers do not follow"),
        ("UPDATE batch SET t = V WHERE number = 4", "a segment|longer than 0 s"),
        (
            "UPDATE batch SET V = (SELECT V FROM batch WHERE number = 4) WHERE number = 5",
            "other shots were played",
        ),
        ("UPDATE shot SET current = 9, answer = 0 WHERE batch = 4 AND number = 15", "the junction is dead"),
    ],
)
def test_an_altered_journal_is_found(path: Path, statement: str, said: str) -> None:
    alter(path, statement)
    with (
        Journal(path, identities=None, limits=LIMITS, card=MTJ.card, protocol=PROTOCOL) as journal,
        pytest.raises(IPNetError, match=said),
    ):
        Replay(journal, LIMITS, MTJ, PROTOCOL).run(1, MANY, "first")


def test_a_replay_is_of_the_same_card_limits_and_protocol(path: Path) -> None:
    with pytest.raises(IPNetError, match="must go on with the limits that it was begun with"):
        Journal(
            path,
            identities=None,
            limits=LIMITS.model_copy(update={"V_max": 0.3}),
            card=MTJ.card,
            protocol=PROTOCOL,
        )
    with pytest.raises(IPNetError, match="there is no journal"):
        Journal(path.with_name("none"), identities=None, limits=LIMITS, card=MTJ.card, protocol=PROTOCOL)
