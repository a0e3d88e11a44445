"""A dialogue with an instrument, word by word, for the tests of drivers and transports."""

import struct
from collections.abc import Iterable
from typing import Any

import pytest

from ipnet.errors import IPNetError
from ipnet.instrument import INSTRUMENTS

AWG, SMU, SCOPE = "keysight_81160a", "keithley_2600", "keysight_infiniivision"
ASK = (
    ":WAVeform:SOURce CHANnel1",
    ":WAVeform:FORMat WORD",
    ":WAVeform:BYTeorder MSBFirst",
    ":WAVeform:UNSigned ON",
    ":WAVeform:POINts:MODE RAW",
    ":WAVeform:POINts MAXimum",
)
PREAMBLE = "+1,+0,+5,+1,+1.0E-08,-2.0E-08,+0,+2.0E-06,+1.0E-03,+32768"


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


class Script:
    """A transport that knows the whole dialogue: (sent, received), or a message that has no reply."""

    def __init__(self, *dialogue: tuple[Any, Any] | Any) -> None:
        self.left = [pair if isinstance(pair, tuple) else (pair, None) for pair in dialogue]

    def _next(self, sent: Any) -> Any:
        assert self.left, f"nothing more was expected; got {sent!r}"
        expected, reply = self.left.pop(0)
        assert sent == expected
        if isinstance(reply, Exception):
            raise reply
        return reply

    def write(self, message: str) -> None:
        assert self._next(message) is None

    def query(self, message: str) -> str:
        reply = self._next(message)
        assert reply is not None
        return f"{reply}\n"

    def write_binary_values(
        self, message: str, values: Iterable[int], datatype: str = "h", is_big_endian: bool = True
    ) -> None:
        assert is_big_endian
        assert datatype == "h"
        block = list(values)
        self._next(message.encode() + struct.pack(f">{len(block)}h", *block))

    def query_binary_values(
        self, message: str, datatype: str = "h", is_big_endian: bool = True, container: Any = list
    ) -> Any:
        assert is_big_endian
        data = self._next(message)
        return container(struct.unpack(f">{len(data) // 2}{datatype}", data))

    def close(self) -> None:
        self.left.clear()


def identity(name: str) -> tuple[str, str]:
    return "*IDN?", INSTRUMENTS[name].replies["*IDN?"]


def raised(sentence: str, kind: type[IPNetError] = IPNetError) -> Any:
    return pytest.raises(kind, match=sentence)
