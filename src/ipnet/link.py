"""The link to a bench: three instruments, connected again when they are lost, that play a waveform just once."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ipnet.errors import GarbledReply, IPNetError, LostConnection, UnreadableError
from ipnet.instrument import PARTS
from ipnet.shots import Floats

if TYPE_CHECKING:
    from ipnet.instrument import Digitiser, Generator, Meter

Answer = TypeVar("Answer")
Instruments = tuple["Generator", "Meter", "Digitiser"]

AGAIN = (LostConnection, GarbledReply)  # what another connection may cure
_FETCHES = 5  # of one record, before the connection is doubted


class Playable(NamedTuple):
    """A batch as the instruments see it.

    Attributes:
        name: of the waveform, the label of its record.
        junction: to select.
        samples: voltages [V].
        sample_time: between them [s].
        I_range: full scale of the record [A], from -I_range / 2 to I_range / 2.
        plausible: whether a record can be believed at once; one that cannot is fetched until it is the same twice.
    """

    name: str
    junction: int
    samples: Floats
    sample_time: float
    I_range: float
    plausible: Callable[[Floats, float], bool]

    @property
    def duration(self) -> float:
        """Of the waveform [s]."""
        return len(self.samples) * self.sample_time


class Link:
    """The instruments of a bench, and what to do when they do not answer.

    Exactly once: the digitiser is armed under the name of a batch, then `before_trigger` writes down that it may
    be played, then the generator is triggered. Whatever happens from there on, label and state of the digitiser
    say what became of it: with a record it was played, armed it was not, and under another label nobody knows.

    Args:
        instruments: generator, meter and digitiser.
        identities: what they must answer to ``*IDN?``, by their part.
        V_max: the generator's own limit [V], of either sign.
        reconnect: gives the three anew; None asks the same ones again.
        note: told of what went wrong.
        attempts: to get through, before it is given up.
        sleep: waits for so many seconds.
        patience: how long after its end a record may take to appear [s].
        settle: how long a trigger that was sent over a lost connection may take to have an effect [s].

    Raises:
        IPNetError: other instruments than those of the journal.
    """

    generator: "Generator"
    meter: "Meter"
    digitiser: "Digitiser"
    lost: bool
    _limited: bool
    _selected: int | None

    def __init__(
        self,
        instruments: Instruments,
        identities: dict[str, str],
        V_max: float,
        *,
        reconnect: Callable[[], Instruments] | None = None,
        note: Callable[[str, str], None] = lambda what, detail: None,  # noqa: ARG005
        attempts: int = 8,
        sleep: Callable[[float], None] = time.sleep,
        patience: float = 10.0,
        settle: float = 0.2,
    ) -> None:
        self._identities, self._V_max, self._note, self._sleep = identities, V_max, note, sleep
        self._reconnect, self._attempts, self._patience, self._settle = reconnect, attempts, patience, settle
        self._take(instruments)

    def insist(self, action: Callable[[], Answer]) -> Answer:
        """Do it, on a new connection if the old one was lost, with longer and longer pauses.

        Raises:
            LostConnection: it did not work in any of the attempts; the last reason.
        """
        for attempt in range(self._attempts):
            try:
                if self.lost:
                    self._connect()
                return action()
            except AGAIN as error:
                self.lost, last = True, error
                self._note("connection lost", str(error))
                if attempt + 1 < self._attempts:
                    self._sleep(min(0.05 * 2**attempt, 10.0))
        raise LostConnection(
            f"an instrument must answer in {self._attempts} attempts; got: {last} When it does, start again: the "
            "run goes on where it stopped."
        ) from last

    def play(
        self, batch: Playable, before_trigger: Callable[[], None], *, sent: bool
    ) -> tuple[Floats, float] | None:
        """Play a batch that was not played yet, and fetch its record.

        Args:
            batch: what to play.
            before_trigger: writes down that the batch may be played from now on.
            sent: it was written down before.

        Returns:
            Current [A] and sample time [s] of its record; None if it may have been played and has none.

        Raises:
            LostConnection: an instrument does not answer.
            UnreadableError: there is a record, and it cannot be read.
        """

        def attempt() -> tuple[Floats, float] | None:
            nonlocal sent
            if not sent:
                self._load(batch)
                self.digitiser.arm(batch.duration, batch.I_range, batch.name)
                before_trigger()
                sent = True
                self.generator.trigger()
            elif not self._resume(batch):
                return None
            self._await(batch)
            return self._fetch(batch)

        return self.insist(attempt)

    def resistance(self, junction: int, V: float, I_limit: float) -> float:
        """Resistance of a junction [ohm], measured by the meter."""

        def measure() -> float:
            self._select(junction)
            return self.meter.resistance(V, I_limit)

        return self.insist(measure)

    def park(self) -> None:
        """Switch everything off, over a new connection if need be; what cannot be parked is noted."""
        self._limited, self._selected = False, None
        for again in (True, False):
            failed = [trouble for part in PARTS if (trouble := self._parked(part))]
            if not failed:
                return
            self.lost = True
            if again and self._reconnect is not None:
                with suppress(IPNetError):
                    self._connect()
        self._note("not parked", "; ".join(failed))

    def _parked(self, part: str) -> str:
        try:
            getattr(self, part).park()
        except IPNetError as error:
            return f"{part}: {error}"
        return ""

    def _take(self, instruments: Instruments) -> None:
        self.generator, self.meter, self.digitiser = instruments
        self.lost, self._limited, self._selected = False, False, None
        for part, instrument in zip(PARTS, instruments, strict=True):
            if instrument.idn != (before := self._identities.get(part)):
                raise IPNetError(
                    f"the {part} must be the one that the journal was begun with, '{before}'; got "
                    f"'{instrument.idn}': connect that one, or begin another journal."
                )

    def _connect(self) -> None:
        """Connect again; an identity that came back garbled is no reason to stop."""
        try:
            self._take(self._reconnect() if self._reconnect else (self.generator, self.meter, self.digitiser))
            for part in PARTS:
                if found := getattr(self, part).errors():
                    self._note("instrument error", f"{part}: {'; '.join(found)}")
        except IPNetError as error:
            raise error if isinstance(error, AGAIN) else LostConnection(str(error)) from error

    def _select(self, junction: int) -> None:
        if self._selected != junction:
            self._selected = None
            self.meter.select(junction)
            self._selected = junction

    def _load(self, batch: Playable) -> None:
        """All but the trigger; plays nothing, however often it is done."""
        self._select(batch.junction)
        if not self._limited:
            self.generator.limit(-self._V_max, self._V_max)
            self._limited = True
        self.generator.load(batch.samples, batch.sample_time, batch.name)

    def _resume(self, batch: Playable) -> bool:
        """Trigger a batch that was not played; False if nobody knows whether it was."""
        label, recorded = self._state()
        if (
            label == batch.name and not recorded
        ):  # a trigger may still be on its way through a connection that is gone
            self._sleep(max(self._settle, 2 * batch.duration))
            label, recorded = self._state()
        if label == batch.name and not recorded:
            self._load(batch)
            self.generator.trigger()
        return label == batch.name

    def _state(self) -> tuple[str, bool]:
        """Label and state of the digitiser, the same twice: one garbled reply decides nothing."""
        seen = self.digitiser.state()
        for _ in range(_FETCHES):
            before, seen = seen, self.digitiser.state()
            if seen == before:
                return seen
        raise GarbledReply(f"the digitiser must keep its label; got '{before[0]}', then '{seen[0]}'.")

    def _await(self, batch: Playable) -> None:
        """Wait until the record is there."""
        end = time.monotonic() + batch.duration + self._patience
        while True:
            label, recorded = self.digitiser.state()
            if label != batch.name:
                raise GarbledReply(f"the digitiser must keep the label '{batch.name}'; got '{label}'.")
            if recorded:
                return
            if time.monotonic() > end:
                raise LostConnection(
                    f"a record must follow the trigger within {self._patience:g} s; got none: see to the line "
                    "from the generator's trigger output to the digitiser."
                )
            self._sleep(min(batch.duration, 0.01))

    def _fetch(self, batch: Playable) -> tuple[Floats, float]:
        """The record; one that is hard to believe must be the same twice."""
        before: Floats | None = None
        for attempt in range(_FETCHES):
            try:
                record, step = self.digitiser.fetch()
            except UnreadableError:
                if attempt + 1 == _FETCHES:
                    raise
                self._sleep(0.01 * 2**attempt)
                continue
            whole = np.isfinite(record).all() and step > 0 and (len(record) + 1) * step >= batch.duration
            if not whole:
                before = None
            elif batch.plausible(record, step) or (before is not None and np.array_equal(record, before)):
                return record, step
            else:
                before = record
        raise GarbledReply(f"the digitiser must send the whole record of '{batch.name}'; got pieces or NaN.")
