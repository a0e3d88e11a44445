"""A bench: junctions that answer shots, within limits, exactly once each, and on record."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from ipnet.batch import protocol_text
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, UnreadableError
from ipnet.journal import Journal
from ipnet.levels import Levels, check_shots, strangeness
from ipnet.limits import Limits, allows, check_batch, count_pulses
from ipnet.link import Instruments, Link
from ipnet.sender import Sender
from ipnet.shots import Protocol, Shot, points_of
from ipnet.units import format_si

if TYPE_CHECKING:
    from ipnet.instrument import Digitiser, Generator, Meter

Progress = Callable[[int, int, float], object]

_PACE = 0.5  # seconds for a batch, assumed until some were played
_TRIES = 3  # to switch a junction in its calibration, and to get a batch through


class DeadJunction(IPNetError):  # noqa: N818
    """A junction does not switch, or is broken.

    Args:
        junction: its number.
        why: what was seen.
    """

    def __init__(self, junction: int, why: str) -> None:
        super().__init__(f"junction {junction} is dead: {why}; give its neurons to another one.")
        self.junction, self.why = junction, why


class Bench:
    """Generator, meter and digitiser around a chip of junctions.

    Every batch ends in two shots that check the junction, one that must switch it and one that cannot. If they do
    not come out so, the batch does not count, and two more of each decide: with 14 shots in a batch, a junction
    that dies has had 20 shots at most when that is found.

    Positive voltages of a shot switch the resting state. Where that is AP, the generator gets the opposite sign:
    positive voltages at the chip switch P to AP.

    Args:
        generator: drives the selected junction.
        meter: selects it, and measures its resistance.
        digitiser: records its current, from the trigger on.
        limits: that no pulse may break.
        journal: of this bench.
        mtj: junction of the card.
        protocol: what follows each shot.
        reconnect: gives the three instruments anew after a connection was lost; None asks the same ones again.
        progress: called before the start and after each batch with shots that are done, all shots, and an estimate
            of the seconds that are left.
        shots_per_batch: at most; the memory of the generator is the other bound.
        attempts: to get through to an instrument, with longer and longer pauses.
        sleep: waits for so many seconds.

    Raises:
        IPNetError: instruments, limits or protocol are not those of the journal; a sample time that the generator
            does not have.
    """

    def __init__(
        self,
        generator: "Generator",
        meter: "Meter",
        digitiser: "Digitiser",
        limits: Limits,
        journal: Journal,
        mtj: MTJ,
        protocol: Protocol,
        *,
        reconnect: Callable[[], Instruments] | None = None,
        progress: Progress | None = None,
        shots_per_batch: int = 14,
        attempts: int = 8,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limits, self.journal, self.mtj, self.protocol = limits, journal, mtj, protocol
        self._agree(generator)
        self._points, self._most = generator.points, shots_per_batch
        self._progress: Progress = progress or (lambda done, total, left: None)  # noqa: ARG005
        self._levels: dict[int, Levels] = {}
        self._surely, self._never = self._checks = check_shots(mtj, protocol, limits)
        self._link = Link(
            (generator, meter, digitiser),
            journal.identities,
            limits.V_max,
            reconnect=reconnect,
            note=lambda what, detail: journal.note(what, None, detail),
            attempts=attempts,
            sleep=sleep,
        )
        self._sender = Sender(self._link, journal, limits, mtj)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.park()

    def park(self) -> None:
        """Switch the instruments off."""
        self._link.park()

    def estimate(self, shots: Sequence[Shot]) -> tuple[float, int]:
        """Seconds that these shots take, from the pace of the last batches, and their pulses, checks included."""
        plan = self._plan(shots, list(range(len(shots))))
        asked = [[*(shots[place] for place in places), *self._checks] for places in plan]
        pulses = sum(count_pulses(batch, self.protocol) for batch in asked)
        return len(plan) * (self.journal.pace() or _PACE), pulses

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        """Ask a junction; what was measured under this key before, on whichever junction, is not asked again.

        Args:
            junction: its number at the multiplexer.
            shots: in any number.
            key: names these shots, and no others, in the journal.

        Returns:
            Whether each of them switched the junction [number of shots].

        Raises:
            IPNetError: a limit would be broken, before anything is sent; or an instrument reports an error.
            LostConnection: an instrument does not come back.
            DeadJunction: the junction fails its check; the journal knows from then on.
        """
        self.journal.ask(key, shots)
        if self._missing(key):
            self._admit(junction, shots, key)
            try:
                self._measure(junction, shots, key)
            except DeadJunction:
                self.park()
                raise
            except BaseException:
                self._levels.clear()
                self._link.lost = True  # a reply may still be on its way
                self.park()
                raise
        return np.equal(self.journal.answers(key), 1)

    def resistances(self, key: str) -> tuple[float, float]:
        """Of the resting and of the switched junction that answered a key [ohm], read by the meter at V_read."""
        return self.journal.resistances(key)

    def allows(self, shot: Shot, R: float) -> bool:
        """Whether the limits let a shot pass to a junction of this lowest resistance [ohm]."""
        return allows(shot, self.protocol, self.limits, self.mtj, R)

    def recover(self) -> None:
        """Bring the batch to its end that was in the air when the last process stopped, if there is one."""
        if batch := self.journal.pending():
            self._sender.finish(batch)

    def _missing(self, key: str) -> list[int]:
        return [int(place) for place in np.flatnonzero(self.journal.answers(key) < 0)]

    def _measure(self, junction: int, shots: Sequence[Shot], key: str) -> None:
        """Batch after batch; what did not count is asked once more."""
        self.recover()
        fruitless = 0
        while missing := self._missing(key):
            batches, before = self._plan(shots, missing), len(missing)
            self._tell(len(shots) - before, len(shots), len(batches) + (0 if junction in self._levels else 3))
            levels = self._levels.get(junction) or self._calibrate(junction)
            for number, places in enumerate(batches, 1):
                asked = [*(shots[place] for place in places), *self._checks]
                sent = self._sender.send(
                    junction, asked, self.protocol, "answers", key=key, places=places, levels=levels
                )
                if sent.state == "closed":
                    before -= len(places)
                else:
                    self._doubt(junction, levels)
                self._tell(len(shots) - before, len(shots), len(batches) - number)
            fruitless = fruitless + 1 if before == len(missing) else 0
            if fruitless == _TRIES:
                raise IPNetError(
                    f"a batch must get through in {_TRIES} attempts; got none for junction {junction}: see that "
                    "nothing else uses the instruments, then start again."
                )

    def _tell(self, done: int, total: int, batches: int) -> None:
        self._progress(done, total, batches * (self.journal.pace() or _PACE))

    def _plan(self, shots: Sequence[Shot], places: Sequence[int]) -> list[list[int]]:
        """Which shots go into which batch."""
        room = self._points - 1 - sum(points_of(shot, self.protocol) for shot in self._checks)
        batches: list[list[int]] = [[]]
        free = room
        for place in places:
            points = points_of(shots[place], self.protocol)
            if points > room:
                raise IPNetError(
                    f"a shot must fit into the {room} samples that two checks leave in the generator's memory; "
                    f"got {points}: shorten its history, or choose a longer sample time."
                )
            if len(batches[-1]) == self._most or points > free:
                batches.append([])
                free = room
            batches[-1].append(place)
            free -= points
        return batches

    def _admit(self, junction: int, shots: Sequence[Shot], key: str) -> None:
        """Refuse a run that cannot be made, before anything is sent."""
        if why := self.journal.dead().get(junction):
            raise DeadJunction(junction, why)
        applied, R = self.journal.applied(junction), self._lowest(junction)
        calibration = [] if junction in self._levels else [[self._never] * 2, [self._surely], [self._never]]
        plan = self._plan(shots, self._missing(key))
        asked = [[*(shots[place] for place in places), *self._checks] for places in plan]
        for batch in [*calibration, *asked]:
            check_batch(batch, self.protocol, self.limits, self.mtj, applied, R)
            applied += count_pulses(batch, self.protocol)

    def _lowest(self, junction: int) -> float:
        """Lower resistance that was measured [ohm]; infinite if none was."""
        return self.protocol.V_read / max(self._levels[junction]) if junction in self._levels else math.inf

    def _calibrate(self, junction: int) -> Levels:
        """Measure the resistances of both states, which a reset and a pulse that must switch bring about."""
        why = ""
        for _ in range(_TRIES):
            try:
                resting = self._resistance(junction, [self._never] * 2, self.protocol)  # the first one resets it
                switched = self._resistance(junction, [self._surely], replace(self.protocol, V_reset=0.0))
            except UnreadableError as error:
                why = str(error).removesuffix(".")
                continue
            self._sender.send(junction, [self._never], self.protocol, "calibration")
            if not (why := strangeness(self.mtj, self.protocol.V_read, resting[0], switched[0])):
                break
        else:
            raise self._bury(junction, why)
        levels = Levels(self.protocol.V_read / resting[0], self.protocol.V_read / switched[0])
        for seen, expected in ((resting[1], levels.resting), (switched[1], levels.switched)):
            if not abs(seen - expected) < abs(levels.switched - levels.resting) / 2:
                raise IPNetError(
                    f"digitiser and meter must agree on the read current of junction {junction}; got "
                    f"{format_si(seen, 'A')} and {format_si(expected, 'A')}: see to the gain and the sign of the "
                    "amplifier, and to the trigger."
                )
        self._levels[junction] = levels
        self.journal.note("calibrated", junction, json.dumps(levels._asdict()))
        return levels

    def _resistance(self, junction: int, shots: Sequence[Shot], protocol: Protocol) -> tuple[float, float]:
        """What meter [ohm] and digitiser [A] say of a junction after these shots, and at the last of them."""
        batch = self._sender.send(junction, shots, protocol, "calibration")
        R = self._link.resistance(junction, self.protocol.V_read, min(self.limits.I_max, 0.1))
        return R, float(batch.currents[-1])

    def _doubt(self, junction: int, levels: Levels) -> None:
        """Check a junction that failed a check; with a second failure it is dead."""
        batch = self._sender.send(junction, self._checks * 2, self.protocol, "check", levels=levels)
        switched, resting = (float(batch.currents[i::2].mean()) for i in (0, 1))
        if batch.state == "void":
            reasons = [event[3] for event in self.journal.events() if event[2] == "unreadable"]
            raise self._bury(junction, f"no record of it can be read ({reasons[-1].removesuffix('.')})")
        if batch.state == "closed" and not levels.alive(switched, resting):
            seen, expected = (
                f"{format_si(a, 'A')} and {format_si(b, 'A')}" for a, b in ((switched, resting), reversed(levels))
            )
            raise self._bury(
                junction,
                f"after a pulse that must switch it, and at rest, it reads {seen} instead of {expected}",
            )

    def _bury(self, junction: int, why: str) -> DeadJunction:
        self.journal.note("dead", junction, why)
        return DeadJunction(junction, why)

    def _agree(self, generator: "Generator") -> None:
        for what, mine in (
            ("limits", json.dumps(self.limits.model_dump(), sort_keys=True)),
            ("protocol", protocol_text(self.protocol)),
        ):
            if self.journal.header[what] != mine:
                raise IPNetError(
                    f"a bench must have the {what} of its journal, {self.journal.header[what]}; got {mine}."
                )
        shortest, longest = generator.sample_times
        if not shortest <= self.protocol.sample_time <= longest:
            raise IPNetError(
                f"the sample time must lie in [{format_si(shortest, 's')}, {format_si(longest, 's')}], which the "
                f"generator has; got {format_si(self.protocol.sample_time, 's')}."
            )
