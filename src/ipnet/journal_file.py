"""One SQLite file for one process: whole after any crash, and refused by name if it is not what it should be."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ipnet.errors import BusyError, IPNetError

SYNCHRONOUS = "FULL"  # what was committed outlives a power cut
_MARK = 0x49504A31  # "IPJ1", SQLite's application_id
_TABLES = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE asked (key TEXT PRIMARY KEY, digest TEXT NOT NULL, total INTEGER NOT NULL);
CREATE TABLE batch (
    number INTEGER PRIMARY KEY, junction INTEGER NOT NULL, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    key TEXT NOT NULL, places BLOB NOT NULL, sizes BLOB NOT NULL, V BLOB NOT NULL, t BLOB NOT NULL,
    protocol TEXT NOT NULL, resting REAL, switched REAL, pulses INTEGER NOT NULL, state TEXT NOT NULL,
    opened REAL NOT NULL, sent REAL, closed REAL);
CREATE INDEX of_key ON batch (key);
CREATE INDEX of_junction ON batch (junction, pulses);
CREATE INDEX of_state ON batch (state);
CREATE TABLE shot (
    batch INTEGER NOT NULL, number INTEGER NOT NULL, current REAL, answer INTEGER,
    PRIMARY KEY (batch, number)) WITHOUT ROWID;
CREATE TABLE event (time REAL NOT NULL, junction INTEGER, what TEXT NOT NULL, detail TEXT NOT NULL)
"""


class JournalFile:
    """The file of a journal, open.

    Args:
        path: of the file.
        begin: the header that an empty or missing file gets; None for one that must be a journal already.

    Attributes:
        header: what it was begun with.

    Raises:
        IPNetError: no file, or one that is damaged or foreign.
        BusyError: another process has it open.
    """

    def __init__(self, path: Path, begin: Mapping[str, str] | None) -> None:
        self.path = path
        if begin is None and not path.is_file():
            raise IPNetError(f"there is no journal '{path}'; check the path.")
        try:
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        try:
            self._admit(begin)
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise self._trouble(error) from error
            raise

    def close(self) -> None:
        """Let another process have it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; what SQLite objects to is a sentence that names the file."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._trouble(error) from error
            raise

    def _trouble(self, error: sqlite3.Error) -> IPNetError:
        if "locked" in str(error):
            return BusyError(f"journal '{self.path}' is open in another process; wait for it, or stop it.")
        if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
            return IPNetError(
                f"journal '{self.path}' must be readable and writable ({error}); see to its folder and the space "
                "on its disk, then start again: it goes on where it stopped."
            )
        return IPNetError(
            f"'{self.path}' is no journal of a bench, or is damaged ({error}); name another file, or bring back a "
            "copy of it together with its -wal file."
        )

    def _admit(self, begin: Mapping[str, str] | None) -> None:
        """Refuse what is not a whole journal; give an empty file its tables."""
        db = self._db
        mark = db.execute("PRAGMA application_id").fetchone()[0]
        empty = not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if mark != _MARK and not (empty and mark == 0 and begin):  # left as it is, to the byte
            raise sqlite3.DatabaseError("another application's")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        with self.transaction():
            if empty and begin:
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.executemany("INSERT INTO header VALUES (?, ?)", begin.items())
                db.execute(f"PRAGMA application_id = {_MARK}")
        if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        self.header = dict(db.execute("SELECT key, value FROM header").fetchall())
