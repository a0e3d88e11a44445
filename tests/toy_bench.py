"""A bench in memory: a chip that switches at a threshold, three instruments, and whatever can go wrong."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ipnet.errors import GarbledReply, LostConnection, UnreadableError

IDENTITIES = {"generator": "Toy,generator,1", "meter": "Toy,meter,2", "digitiser": "Toy,digitiser,3"}
R_P, R_AP = 2400.0, 5400.0
THRESHOLD = 0.25
BEFORE, AFTER = False, True
OFFSET = 2  # points per sample of the waveform in a record


class CrashError(BaseException):
    """The process is gone."""


class Lab:
    """What outlives a process: the junctions, and what the instruments hold."""

    def __init__(self, junctions: int = 4, *, antiparallel: bool = False) -> None:
        self.rest = antiparallel
        self.switched = [False] * junctions
        self.dead: dict[int, float] = {}  # resistance that is left
        self.dies_at = -1  # shots, counted by their reset pulses
        self.resets = 0
        self.resets_after_death = 0
        self.selected = -1
        self.loaded: tuple[str, Any, float] | None = None
        self.limits: tuple[float, float] | None = None
        self.label, self.armed, self.record = "", False, None
        self.plays: Counter[str] = Counter()
        self.on = False
        self.calls, self.killed, self.connections = 0, 0, 0
        self.fault: Callable[[int, str, bool], None] = lambda number, name, after: None

    def connect(self) -> tuple[Any, Any, Any]:
        self.connections += 1
        return ToyGenerator(self, "generator"), ToyMeter(self, "meter"), ToyDigitiser(self, "digitiser")

    def play(self) -> None:
        assert self.loaded is not None
        name, samples, step = self.loaded
        self.on = True
        self.plays[name] += 1
        currents = np.repeat([self.respond(V) for V in samples.tolist()], OFFSET)
        if self.armed:
            self.armed, self.record = False, (currents, step / OFFSET)

    def respond(self, V: float) -> float:
        """The current of one sample; a run of reset samples counts once."""
        assert self.limits is not None
        assert self.limits[0] <= V <= self.limits[1]
        junction = self.selected
        forward = -V if self.rest else V
        if forward >= THRESHOLD:
            self.switched[junction] = True
        elif forward <= -0.38:
            if self.switched[junction] is not None and not self._resetting:
                self.resets += 1
                self.resets_after_death += junction in self.dead
                if self.resets == self.dies_at:
                    self.dead[junction] = self.left
            self.switched[junction] = False
        self._resetting = forward <= -0.38
        return V / self.resistance(junction)

    _resetting = False
    left = R_P

    def resistance(self, junction: int) -> float:
        if junction in self.dead:
            return self.dead[junction]
        return R_AP if self.switched[junction] != self.rest else R_P


class Toy:
    """One connection to an instrument of the lab; a call can fail before or after it has had its effect."""

    def __init__(self, lab: Lab, part: str) -> None:
        self.lab, self.idn, self.gone = lab, IDENTITIES[part], False

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        if self.gone:
            raise LostConnection("the cable is out.")
        self.lab.calls += 1
        number = self.lab.calls
        try:
            self.lab.fault(number, name, BEFORE)
            answer = effect()
            self.lab.fault(number, name, AFTER)
        except (LostConnection, CrashError):
            self.gone = True
            raise
        return answer

    def park(self) -> None:
        self.call("park", lambda: setattr(self.lab, "on", False))

    def errors(self) -> list[str]:
        return self.call("errors", list)


class ToyGenerator(Toy):
    points = 40_000
    sample_times = (1e-9, 1e-6)

    def limit(self, low: float, high: float) -> None:
        self.call("limit", lambda: setattr(self.lab, "limits", (low, high)))

    def load(self, samples: Any, sample_time: float, name: str) -> None:
        assert samples[0] == samples[-1] == 0
        assert 2 <= len(samples) <= self.points
        self.call("load", lambda: setattr(self.lab, "loaded", (name, samples.copy(), sample_time)))

    def trigger(self) -> None:
        self.call("trigger", self.lab.play)


class ToyMeter(Toy):
    def select(self, junction: int) -> None:
        self.call("select", lambda: setattr(self.lab, "selected", junction))

    def resistance(self, V: float, I_limit: float) -> float:
        assert 0 < V < 0.1
        R = self.call("resistance", lambda: self.lab.resistance(self.lab.selected))
        if I_limit < V / R:
            raise UnreadableError(f"the current must stay below its limit of {I_limit:g} A; got more.")
        return R


class ToyDigitiser(Toy):
    def arm(self, duration: float, I_range: float, name: str) -> None:
        def effect() -> None:
            self.lab.label, self.lab.armed, self.lab.record = name, True, None
            self.I_range = I_range

        self.call("arm", effect)

    def state(self) -> tuple[str, bool]:
        return self.call("state", lambda: (self.lab.label, not self.lab.armed))

    def fetch(self) -> tuple[Any, float]:
        currents, step = self.call("fetch", lambda: self.lab.record)
        if np.abs(currents).max() > 1e-3:
            raise UnreadableError("the current must stay on the screen; got clipped samples: raise I_range.")
        return self.spoil(currents.copy()), step

    spoil = staticmethod(lambda currents: currents)


def lose(at: int, *, after: bool) -> Callable[[int, str, bool], None]:
    """Lose the connection once, at this call."""

    def fault(number: int, name: str, late: bool) -> None:
        if number == at and late == after:
            raise LostConnection(f"no answer to {name}.")

    return fault


def garble(at: int) -> Callable[[int, str, bool], None]:
    """Garble one reply."""

    def fault(number: int, name: str, late: bool) -> None:
        if number == at and late and name in ("state", "fetch", "resistance", "errors"):
            raise GarbledReply(f"no sense in the answer to {name}.")

    return fault
