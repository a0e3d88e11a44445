"""Instruments: what a junction on a bench is driven, measured and recorded with, one driver per file.

Drop a file with one `Generator`, `Meter` or `Digitiser` here and it is found, listed and tested.
"""

import abc
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import GarbledReply, IPNetError, LostConnection
from ipnet.registry import Registry

Answer = TypeVar("Answer")
_NAME = re.compile(r'[^"\x00-\x1f\x7f-\U0010ffff]{1,32}')


class Transport(Protocol):
    """What a driver talks through; PyVISA's `MessageBasedResource` fits it as it is.

    Name datatype and byte order of a block always: PyVISA has other defaults.
    """

    def write(self, message: str) -> Any:
        """Send a message."""

    def query(self, message: str) -> str:
        """Send a message and return the reply."""

    def write_binary_values(
        self, message: str, values: Iterable[int], datatype: str = "h", is_big_endian: bool = True
    ) -> Any:
        """Send a message that ends in a block of IEEE 488.2 with these integers."""

    def query_binary_values(
        self, message: str, datatype: str = "h", is_big_endian: bool = True, container: Any = list
    ) -> Any:
        """Send a message and return the integers of the block that is the reply."""

    def close(self) -> None:
        """End the connection."""


class Instrument(abc.ABC):
    """An instrument at the end of a transport.

    The contract, checked by `ipnet.contracts.check_instrument`: the constructor asks for the identity and sends
    nothing else; a wrong one is refused; `park` ends with `off`; `errors` empties the queue; every message that is
    sent is one of `sources`.

    Args:
        transport: open; a driver never closes it.

    Attributes:
        identity: regular expression that the reply to ``*IDN?`` must match from its beginning, in any case.
        manual: where the commands are published.
        sources: beginning of every message that it sends, and where in the manual, or in whose driver, it stands.
        off: the message after which it drives nothing; empty for one that never drives anything.
        replies: what a healthy instrument at rest replies, by message; for tests and simulations.
        fault: a message that asks for an error, and the reply if there is one.

    Raises:
        IPNetError: another instrument answers.
        LostConnection: none does.
    """

    identity: ClassVar[str]
    manual: ClassVar[str]
    sources: ClassVar[Mapping[str, str]]
    off: ClassVar[str]
    replies: ClassVar[Mapping[str, str]]
    fault: ClassVar[tuple[str, str]]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.idn = self._ask("*IDN?")
        if not re.match(self.identity, self.idn, re.IGNORECASE):
            raise IPNetError(
                f"the {self.name()} must answer *IDN? with '{self.identity}'; got '{self.idn}': give the "
                "address of the right instrument, or name another driver."
            )

    @classmethod
    def name(cls) -> str:
        """The name under which it is registered: that of its file."""
        return cls.__module__.rpartition(".")[2]

    @abc.abstractmethod
    def park(self) -> None:
        """Go to where nothing drives the junction, from any state."""

    @abc.abstractmethod
    def errors(self) -> list[str]:
        """Empty the instrument's queue of errors, oldest first."""

    def check(self) -> None:
        """Ask whether all went well.

        Raises:
            IPNetError: the instrument has noted an error.
        """
        if found := self.errors():
            raise IPNetError(
                f"the {self.name()} must have no error; got {'; '.join(found)}: look at its settings."
            )

    def _tell(self, *messages: str) -> None:
        for message in messages:
            self._call(message, partial(self._transport.write, message))

    def _ask(self, message: str) -> str:
        return str(self._call(message, lambda: self._transport.query(message))).strip()

    def _number(self, message: str) -> float:
        """The one finite number that a query returns."""
        reply = self._ask(message)
        try:
            number = float(reply)
        except ValueError:
            number = math.nan
        if not abs(number) < 9e36:  # SCPI and TSP write 9.9e37 for infinity and 9.91e37 for "not a number"
            raise self._garbled(message, reply)
        return number

    def _tell_block(self, message: str, values: NDArray[np.int16]) -> None:
        send = self._transport.write_binary_values
        self._call(message, lambda: send(message, values, datatype="h", is_big_endian=True))

    def _ask_block(self, message: str) -> NDArray[np.float64]:
        """The unsigned words of 16 bits that a query returns."""
        ask = self._transport.query_binary_values
        words = self._call(message, lambda: ask(message, datatype="H", is_big_endian=True, container=np.array))
        return np.asarray(words, np.float64)

    def _garbled(self, message: str, reply: str) -> GarbledReply:
        return GarbledReply(
            f"the {self.name()} must answer {message} sensibly; got '{reply[:80]}': connect again, then look at "
            "the cable."
        )

    def _call(self, message: str, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except IPNetError:
            raise
        except losses() as error:
            raise LostConnection(
                f"the {self.name()} must answer {message}; got {type(error).__name__} ({error}): see that it is "
                "on and connected, or allow it more time."
            ) from error
        except ValueError as error:  # no text, or no block
            raise self._garbled(message, str(error)) from error


class Generator(Instrument):
    """An arbitrary-waveform generator that drives the junction.

    Attributes:
        points: most samples of a waveform.
        sample_times: shortest and longest time between samples [s].
    """

    points: ClassVar[int]
    sample_times: ClassVar[tuple[float, float]]

    @abc.abstractmethod
    def limit(self, low: float, high: float) -> None:
        """Switch on the instrument's own limit of the voltage [V]; the output is off afterwards.

        Raises:
            IPNetError: limits that the instrument cannot have.
        """

    @abc.abstractmethod
    def load(self, samples: NDArray[np.float64], sample_time: float, name: str) -> None:
        """Load a waveform; the output is off afterwards.

        Args:
            samples: voltage [V] at an open output, within the limits; 0 at both ends, where the output rests.
            sample_time: between two samples [s].
            name: of the batch.

        Raises:
            IPNetError: no limits yet, or samples that break one; nothing was sent.
        """

    @abc.abstractmethod
    def trigger(self) -> None:
        """Play the loaded waveform once.

        Raises:
            IPNetError: no limits yet, or nothing is loaded; nothing was played.
        """


class Meter(Instrument):
    """A source-measure unit that measures the resistance and selects the junction."""

    @abc.abstractmethod
    def select(self, junction: int) -> None:
        """Connect the junction of this number and no other.

        Raises:
            IPNetError: the port has no such number.
        """

    @abc.abstractmethod
    def resistance(self, V: float, I_limit: float) -> float:
        """Resistance [ohm] at a voltage V [V], with a current up to I_limit [A]; nothing is driven afterwards.

        Raises:
            IPNetError: values out of range.
            UnreadableError: the current reached its limit, or none flows.
        """


class Digitiser(Instrument):
    """A digitiser that records the current, and whose label of channel 1 says which batch it was armed for.

    It drives nothing, so `park` leaves it as it is: a record that was not fetched yet is kept, and one that is
    armed stays armed.
    """

    off: ClassVar[str] = ""

    def park(self) -> None:
        """Leave it as it is."""

    @abc.abstractmethod
    def arm(self, duration: float, I_range: float, name: str) -> None:
        """Wait for one trigger, then record once; returns when it does wait.

        Args:
            duration: of the record, from the trigger on [s].
            I_range: full scale of the current, from -I_range / 2 to I_range / 2 [A].
            name: what the label says from then on; an earlier one is gone as soon as this call has begun.

        Raises:
            IPNetError: values out of range, or the instrument cannot keep the name as it is.
        """

    @abc.abstractmethod
    def state(self) -> tuple[str, bool]:
        """The label, and whether a record has been taken since it was armed."""

    @abc.abstractmethod
    def fetch(self) -> tuple[NDArray[np.float64], float]:
        """Current [A] of the last record from the trigger on, and its sample time [s]; any number of times.

        Raises:
            UnreadableError: the current left the range, or samples are missing.
        """


def check_name(name: str) -> None:
    """Refuse a name that no label can keep.

    Raises:
        IPNetError: not 1 to 32 printable characters without quotes.
    """
    if not _NAME.fullmatch(name):
        raise IPNetError(f"a batch must have a name of 1 to 32 plain characters without quotes; got '{name}'.")


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Refuse a value that lies outside [low, high].

    Raises:
        IPNetError: names the value and its range.

    Example:
        >>> check_range("the pulse's height [V]", 0.5, 0, 1)
    """
    if not low <= value <= high:
        raise IPNetError(f"{what} must lie in [{low:g}, {high:g}]; got {value:g}.")


def losses() -> tuple[type[Exception], ...]:
    """The exceptions of a connection that is gone or too slow; PyVISA's, too, where it is in use."""
    visa = sys.modules.get("pyvisa.errors")
    return (OSError, EOFError, *([visa.Error] if visa else []))


SIMULATED = "SIMULATED"  # in place of a serial number, in the identity of an instrument without a junction
PARTS: Mapping[str, type[Instrument]] = {"generator": Generator, "meter": Meter, "digitiser": Digitiser}
INSTRUMENTS: Registry[Instrument] = Registry("instrument", __name__, Instrument)
