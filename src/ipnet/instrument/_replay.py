"""Dialogues with an instrument: written down as they happen, and played back without one.

The file has one JSON object in a line: what was called, what was sent, and what came back or failed. Each line is
on the disk before the caller goes on.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ipnet.errors import IPNetError
from ipnet.instrument import Transport, losses

Answer = TypeVar("Answer")
Entry = dict[str, Any]


class Recorder:
    """A transport that does what another does and appends the dialogue to a file.

    Args:
        transport: open.
        path: of the record; a connection that follows another is appended to the same file.
    """

    def __init__(self, transport: Transport, path: str | Path) -> None:
        self._transport = transport
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115
        self._note({"call": "open"})

    def write(self, message: str) -> None:
        """Send a message."""
        self._do({"call": "write", "send": message}, lambda: self._transport.write(message), lambda _: None)

    def query(self, message: str) -> str:
        """Send a message and return the reply."""
        return self._do({"call": "query", "send": message}, lambda: self._transport.query(message), str)

    def write_binary_values(
        self, message: str, values: Iterable[int], datatype: str = "h", is_big_endian: bool = True
    ) -> None:
        """Send a message that ends in a block."""
        block = np.asarray(list(values))
        entry = _block_entry(message, block, datatype, is_big_endian)
        send = self._transport.write_binary_values
        self._do(
            entry, lambda: send(message, block, datatype=datatype, is_big_endian=is_big_endian), lambda _: None
        )

    def query_binary_values(
        self, message: str, datatype: str = "h", is_big_endian: bool = True, container: Any = list
    ) -> Any:
        """Send a message and return the integers of the reply."""
        entry = {"call": "query_block", "send": message, "type": _dtype(datatype, is_big_endian)}
        ask = self._transport.query_binary_values
        words = self._do(
            entry,
            lambda: list(ask(message, datatype=datatype, is_big_endian=is_big_endian)),
            lambda words: _encode(words, entry["type"]),
        )
        return container(words)

    def close(self) -> None:
        """Close both."""
        self._note({"call": "close"})
        self._file.close()
        self._transport.close()

    def _do(self, entry: Entry, call: Callable[[], Answer], receive: Callable[[Answer], Any]) -> Answer:
        try:
            answer = call()
        except losses() as error:
            self._note(entry | {"lost": f"{type(error).__name__} ({error})"})
            raise
        except ValueError as error:
            self._note(entry | {"garbled": str(error)})
            raise
        reply = receive(answer)
        self._note(entry if reply is None else entry | {"receive": reply})
        return answer

    def _note(self, entry: Entry) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class Player:
    r"""A transport that answers as the record says, as long as it is sent exactly what the record says.

    Args:
        path: written by `Recorder`.

    Raises:
        IPNetError: the file is no such record.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "dialogue.jsonl"
        >>> _ = path.write_text('{"call": "open"}\n{"call": "query", "send": "*IDN?", "receive": "ACME"}\n')
        >>> Player(path).open().query("*IDN?")
        'ACME'
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._entries = _read(self._path)
        self._position = 0

    def open(self) -> "Player":
        """Connect, as often as the record does."""
        self._next({"call": "open"})
        return self

    def write(self, message: str) -> None:
        """Expect a message."""
        self._next({"call": "write", "send": message})

    def query(self, message: str) -> str:
        """Expect a message and return its reply."""
        return str(self._next({"call": "query", "send": message})["receive"])

    def write_binary_values(
        self, message: str, values: Iterable[int], datatype: str = "h", is_big_endian: bool = True
    ) -> None:
        """Expect a message that ends in a block."""
        self._next(_block_entry(message, np.asarray(list(values)), datatype, is_big_endian))

    def query_binary_values(
        self, message: str, datatype: str = "h", is_big_endian: bool = True, container: Any = list
    ) -> Any:
        """Expect a message and return the integers of its reply."""
        entry = {"call": "query_block", "send": message, "type": _dtype(datatype, is_big_endian)}
        return container(np.frombuffer(base64.b64decode(self._next(entry)["receive"]), entry["type"]).tolist())

    def close(self) -> None:
        """Expect the end of the connection."""
        self._next({"call": "close"})

    def finish(self) -> None:
        """Expect that all was played.

        Raises:
            IPNetError: the record goes on.
        """
        if self._position < len(self._entries):
            self._differ("the end")

    def _next(self, sent: Entry) -> Entry:
        expected = self._entries[self._position] if self._position < len(self._entries) else {}
        if {key: expected.get(key) for key in ("call", "send", "type", "block")} != {
            key: sent.get(key) for key in ("call", "send", "type", "block")
        }:
            self._differ(_shown(sent))
        self._position += 1
        if "lost" in expected:
            raise _loss(expected["lost"])
        if "garbled" in expected:
            raise ValueError(expected["garbled"])
        return expected

    def _differ(self, got: str) -> None:
        over = self._position >= len(self._entries)
        expected = "the end" if over else _shown(self._entries[self._position])
        raise IPNetError(
            f"{self._path} must be played as recorded; entry {self._position + 1} expected {expected}; got {got}: "
            "replay with the limits, card, protocol and version of the record."
        )


def _loss(recorded: str) -> Exception:
    """What was raised, by its name and its text, whether or not the package is there whose exception it was."""
    name, _, text = recorded.removesuffix(")").partition(" (")
    loss: Exception = type(name, (ConnectionError,), {})(text)
    return loss


def _dtype(datatype: str, is_big_endian: bool) -> str:
    return (">" if is_big_endian else "<") + datatype


def _encode(values: Any, dtype: str) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def _block_entry(message: str, values: Any, datatype: str, is_big_endian: bool) -> Entry:
    dtype = _dtype(datatype, is_big_endian)
    return {"call": "write_block", "send": message, "type": dtype, "block": _encode(values, dtype)}


def _shown(entry: Entry) -> str:
    """What was sent, short."""
    block = base64.b64decode(entry.get("block", ""))
    many = f" and {len(block)} bytes (sum {sum(block)})" if block else ""
    return f"{entry['call']} '{entry.get('send', '')}'{many}"


def _read(path: Path) -> list[Entry]:
    try:
        entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if not all(isinstance(entry, dict) and "call" in entry for entry in entries):
            raise ValueError("no calls")
        for entry in entries:
            for block in (entry.get("block", ""), entry.get("receive", "") if "type" in entry else ""):
                base64.b64decode(block, validate=True)
    except (OSError, ValueError, TypeError) as error:
        raise IPNetError(f"{path} must be a recorded dialogue; got {error}: name the file of a record.") from error
    return entries
