"""How an instrument understands SCPI: headers in long and short form, settings, binary blocks, an error queue.

Every command of a message is taken from the root, with or without the leading colon: paths that a semicolon
continues are not kept. Binary blocks have a definite length, as IEEE 488.2 says: #, the number of digits, the
length.
"""

import abc
import re
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_BLOCK = re.compile(rb"[ ,]#([1-9])")
_LONGEST = 30  # messages of an error queue


class ScpiError(Exception):
    """A message for the error queue: its number and its text."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f'{number},"{text}"')


STALE = ScpiError(-230, "Data corrupt or stale")


class Number(NamedTuple):
    """A setting that is a number, and its range; a whole one has `kind` int."""

    header: str
    default: float
    low: float = -1e12
    high: float = 1e12
    kind: type = float

    def read(self, text: str) -> float | int:
        """The number of a parameter."""
        try:
            value = float(text)
        except ValueError:
            raise ScpiError(-104, "Data type error") from None
        if not self.low <= value <= self.high:
            raise ScpiError(-222, "Data out of range")
        return int(value) if self.kind is int else value

    def show(self, value: Any) -> str:
        """The answer to the query."""
        return f"{value:+d}" if self.kind is int else f"{value:+.9E}"


class Choice(NamedTuple):
    """A setting that is one of several words, written as in the manual; stored and shown in short form."""

    header: str
    default: str
    words: tuple[str, ...]

    def read(self, text: str) -> str:
        """The word of a parameter."""
        for word in self.words:
            if pattern_of(word).fullmatch(text.upper()):
                return short(word)
        raise ScpiError(-224, "Illegal parameter value")

    def show(self, value: Any) -> str:
        """The answer to the query."""
        return str(value)


class Switch(NamedTuple):
    """A setting that is on or off."""

    header: str
    default: bool

    def read(self, text: str) -> bool:
        """ON or 1, OFF or 0."""
        if text.upper() not in ("ON", "1", "OFF", "0"):
            raise ScpiError(-224, "Illegal parameter value")
        return text.upper() in ("ON", "1")

    def show(self, value: Any) -> str:
        """The answer to the query."""
        return "1" if value else "0"


Setting = Number | Choice | Switch


def short(word: str) -> str:
    """The short form of a mnemonic.

    Example:
        >>> short("LSBFirst")
        'LSBF'
    """
    return "".join(letter for letter in word if not letter.islower())


def pattern_of(header: str) -> re.Pattern[str]:
    """What a header of a manual matches: long and short forms, [optional] parts, # for the number of a channel.

    Example:
        >>> bool(pattern_of(":VOLTage#[:LEVel]:HIGH").fullmatch("VOLT1:HIGH"))
        True
    """
    text = header.removeprefix(":").replace("?", r"\?").replace("*", r"\*")
    text = text.replace("[", "(?:").replace("]", ")?").replace("#", "1?")
    return re.compile(":?" + re.sub(r"([A-Z]+)([a-z]+)", lambda m: f"{m[1]}(?:{m[2].upper()})?", text))


def command(*headers: str) -> Callable[[F], F]:
    """Mark a method as what answers these headers; a query returns its answer."""

    def mark(method: F) -> F:
        method.headers = headers  # type: ignore[attr-defined]
        return method

    return mark


def whole_messages(buffer: bytearray) -> list[bytes]:
    r"""Take the messages that have arrived whole from a buffer; a block may contain newlines.

    Example:
        >>> buffer = bytearray(b"*CLS\nDATA #12\n\n\n*ID")
        >>> whole_messages(buffer), bytes(buffer)
        ([b'*CLS', b'DATA #12\n\n'], b'*ID')
    """
    messages = []
    while (end := _end(buffer)) >= 0:
        messages.append(bytes(buffer[:end]).removesuffix(b"\r"))
        del buffer[: end + 1]
    return messages


def _end(buffer: bytearray) -> int:
    """Where the newline of the first message stands; -1 if it has not come yet."""
    newline = buffer.find(b"\n")
    block = _BLOCK.search(buffer, 0, newline if newline >= 0 else len(buffer))
    if block is None or buffer.count(b'"', 0, block.start()) % 2:
        return newline
    digits = buffer[block.end() : block.end() + int(block[1])]
    if len(digits) < int(block[1]):
        return -1
    return buffer.find(b"\n", block.end() + int(block[1]) + int(digits)) if digits.isdigit() else newline


def block_of(data: bytes) -> bytes:
    """A block of definite length.

    Example:
        >>> block_of(b"ab")
        b'#12ab'
    """
    length = str(len(data)).encode()
    return b"#%d%s%s" % (len(length), length, data)


class Interpreter(abc.ABC):
    """An instrument on the other end of a socket."""

    @abc.abstractmethod
    def execute(self, message: bytes, *, invalid: bool = False) -> bytes:
        """Do what a message says; what it answers, empty for nothing. `invalid` spoils a measured value."""


class Scpi(Interpreter):
    """An instrument that understands SCPI.

    Attributes:
        identity: what *IDN? answers.
        table: its settings by name; each can be set and queried.
        values: what they are.
    """

    identity: ClassVar[str]
    table: ClassVar[dict[str, Setting]] = {}

    def __init__(self) -> None:
        self.queue: deque[str] = deque()
        self.values: dict[str, Any] = {}
        self.invalid = False
        self._commands = [
            (pattern_of(header), method)
            for method in (getattr(self, name) for name in dir(type(self)) if not name.startswith("__"))
            for header in getattr(method, "headers", ())
        ]
        self._settings = [(pattern_of(setting.header), name) for name, setting in self.table.items()]
        self.reset()

    def execute(self, message: bytes, *, invalid: bool = False) -> bytes:
        """Every command of a message; a mistake goes to the error queue and ends the message."""
        self.invalid = invalid
        answers = []
        try:
            for unit, block in _units(message):
                header, _, rest = unit.partition(" ")
                if header:
                    answer = self._one(header.upper(), _parameters(rest), block)
                    answers += [] if answer is None else [answer]
        except ScpiError as error:
            self.report(error)
        return b";".join(answers)

    def report(self, error: ScpiError) -> None:
        """Put a message into the error queue."""
        if len(self.queue) == _LONGEST:
            self.queue[-1] = '-350,"Queue overflow"'
        else:
            self.queue.append(str(error))

    def _one(self, header: str, parameters: list[str], block: bytes | None) -> bytes | None:
        for pattern, method in self._commands:
            if pattern.fullmatch(header):
                answer = method(parameters, block)
                return answer.encode() if isinstance(answer, str) else answer
        query = header.endswith("?")
        for pattern, name in self._settings:
            if pattern.fullmatch(header.removesuffix("?")):
                if query:
                    return self.table[name].show(self.values[name]).encode()
                if not parameters:
                    raise ScpiError(-109, "Missing parameter")
                self.change(name, self.table[name].read(parameters[0]))
                return None
        raise ScpiError(-113, "Undefined header")

    def change(self, name: str, value: Any) -> None:
        """Set a value."""
        self.values[name] = value

    def reset(self) -> None:
        """The settings of *RST."""
        self.values = {name: setting.default for name, setting in self.table.items()}

    @command("*IDN?")
    def _identify(self, *_: object) -> str:
        return self.identity

    @command("*RST")
    def _reset(self, *_: object) -> None:
        self.reset()

    @command("*CLS")
    def _clear(self, *_: object) -> None:
        self.queue.clear()

    @command("*OPC?")
    def _complete(self, *_: object) -> str:
        return "1"

    @command("*OPC", "*WAI")
    def _wait(self, *_: object) -> None:
        """Everything is done at once."""

    @command("*ESR?", "*STB?")
    def _status(self, *_: object) -> str:
        return "+0"

    @command(":SYSTem:ERRor[:NEXT]?")
    def _next_error(self, *_: object) -> str:
        return self.queue.popleft() if self.queue else '+0,"No error"'


def _units(message: bytes) -> list[tuple[str, bytes | None]]:
    """The commands of a message, and the block that is the last parameter of the last."""
    found = _BLOCK.search(message)
    if found is None or message.count(b'"', 0, found.start()) % 2:
        text, block = message, None
    else:
        start = found.end() + int(found[1])
        length = message[found.end() : start]
        text = message[: found.start()]
        if not length.isdigit() or len(message) != start + int(length):
            raise ScpiError(-161, "Invalid block data")
        block = message[start:]
    units = re.split(r""";(?=(?:[^"]*"[^"]*")*[^"]*$)""", text.decode("ascii", "replace"))
    return [(unit.strip(), block if unit is units[-1] else None) for unit in units]


def _parameters(text: str) -> list[str]:
    """Parameters between commas; quotes are taken off."""
    parts = [part.strip() for part in re.split(r""",(?=(?:[^"]*"[^"]*")*[^"]*$)""", text)]
    return [part.strip('"') for part in parts if part]
