"""A chip of junctions that differ, as a bench meets it: a voltage against time goes in, a current comes out.

It knows no frames and no shots. Voltages have a polarity: a positive one can switch P -> AP, a negative one
AP -> P, and each only heats a junction that it cannot switch.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ipnet.device import load_device
from ipnet.device._variation import Varied
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.units import format_si
from ipnet.virtual_pulses import QUIET, Runs, Thermal, answer, runs_of

Floats = NDArray[np.float64]
PAUSE = 1e-3  # s, the least time between two plays or measurements: what an instrument needs to be ready again
SHORT = 0.05  # of R_P, what is left when the barrier is pierced


@dataclass(frozen=True)
class Endurance:
    """What a junction of the chip survives: anything above breaks its barrier, for good.

    Args:
        V_max: voltage [V].
        P_max: power V^2 / R_P [W].
        t_max: width of a pulse above a quarter of V_max [s].
    """

    V_max: float
    P_max: float
    t_max: float

    @classmethod
    def of(cls, mtj: MTJ) -> "Endurance":
        """5 % more than the card's clock applies, for at most 100 us."""
        V_max = 1.05 * float(mtj.V_max)
        return cls(V_max, V_max**2 / float(mtj.R_P) * 1.3, 100e-6)


@dataclass(frozen=True)
class Drift:
    """Slow change of a junction: the standard deviation of ln R and of ln V_c0 that one play adds [1]."""

    R: float = 0.0
    V_c0: float = 0.0


class Fate(NamedTuple):
    """What happens to a junction at the start of one of its plays, counted from 0."""

    junction: int
    play: int
    what: Literal["P", "AP", "broken"]


@dataclass
class Junction:
    """One junction of the chip.

    Attributes:
        mtj: its true values.
        rng: of its switching.
        weather: of its drift.
        antiparallel: its state.
        rise: temperature rise of each thermal pole [K].
        stuck: whether it keeps its state for good.
        broken: whether its barrier is pierced.
        plays: waveforms it has seen.
        pulses: pulses it has seen in them.
    """

    mtj: MTJ
    rng: np.random.Generator
    weather: np.random.Generator
    antiparallel: bool
    rise: Floats
    stuck: bool = False
    broken: bool = False
    plays: int = 0
    pulses: int = 0
    R_short: float = field(init=False)

    def __post_init__(self) -> None:
        self.R_short = SHORT * float(self.mtj.R_P)


class Chip:
    """Junctions of one card behind a multiplexer.

    Args:
        card: of the junctions, a name or a TOML file; its device must be `mtj`.
        junctions: how many; they differ as the card's ``[variation]`` says, if it has one.
        seed: of the junctions and of everything they do; each has random numbers of its own.
        true: values of each junction in SI that replace the card's, in place of the spread.
        endurance: what they survive; by default a little more than the card's clock applies.
        drift: how they change from play to play.
        fates: what happens to which of them, and when.

    Attributes:
        violations: a sentence for each stress beyond the endurance.

    Raises:
        IPNetError: a card of another device, no junction, or a fate of a junction that is not there.

    Example:
        >>> chip = Chip("mtj-thermal", 2, seed=1)
        >>> current = chip.play(0, np.array([-0.05, 0.0]), 10e-9)
        >>> f"{-0.05 / current[0] / float(chip.junctions[0].mtj.R_P):.3f}"
        '1.000'
    """

    def __init__(
        self,
        card: str | Path,
        junctions: int = 8,
        seed: int = 0,
        *,
        true: Sequence[Mapping[str, Any]] | None = None,
        endurance: Endurance | None = None,
        drift: Drift | None = None,
        fates: Sequence[Fate] = (),
    ) -> None:
        nominal = load_device(card)
        if not isinstance(nominal, MTJ):
            raise IPNetError(
                f"the card of a virtual chip must be of the device 'mtj'; card '{nominal.card.name}' is of "
                f"'{nominal.card.device}': name another."
            )
        count = junctions if true is None else len(true)
        if count < 1:
            raise IPNetError(f"a virtual chip needs at least 1 junction; got {count}.")
        self.nominal, self.seed = nominal, seed
        self.endurance = endurance or Endurance.of(nominal)
        self.drift, self.violations = drift or Drift(), list[str]()
        self.fates = list(fates)
        for fate in self.fates:
            if not 0 <= fate.junction < count:
                raise IPNetError(
                    f"a fault must meet a junction of the chip, 0 to {count - 1}; got junction {fate.junction}."
                )
        self.junctions = _spread(nominal, count, seed) if true is None else _given(nominal, true, seed)
        self._noise = np.random.default_rng((seed, 1))

    def play(self, number: int, samples: Floats, sample_time: float) -> Floats:
        """Current [A] at each sample of a waveform [V]; a number that no junction has is an open circuit.

        Args:
            number: of the junction.
            samples: voltages [V], each held for `sample_time`.
            sample_time: [s].
        """
        runs = runs_of(samples, sample_time)
        if 0 <= number < len(self.junctions):
            self._befall(number, self.junctions[number])
            self.junctions[number].pulses += int((np.abs(runs.V) > QUIET).sum())
        return np.repeat(self._apply(number, runs), runs.counts)

    def hold(self, number: int, V: float, duration: float) -> float:
        """Current [A] under a voltage that is held, as a meter does it; this is no play."""
        runs = Runs(np.array([V]), np.array([duration]), np.array([1]))
        return float(self._apply(number, runs)[0])

    def noise(self, points: int, sample_time: float) -> NDArray[np.float32]:
        """Noise of so many samples of the current [A]: white, I_noise rms in the mean over the card's t_read."""
        sigma = self.nominal.card.clock.I_noise * math.sqrt(max(1.0, float(self.nominal.t_read) / sample_time))
        return self._noise.standard_normal(points, np.float32) * np.float32(sigma)

    def _apply(self, number: int, runs: Runs) -> Floats:
        if not 0 <= number < len(self.junctions):
            return np.zeros(len(runs.V))
        junction = self.junctions[number]
        thermal = Thermal.of(junction.mtj)
        junction.rise = junction.rise * np.exp(-PAUSE / thermal.tau)
        alive = self._survived(number, junction, runs)
        R = np.full(len(runs.V), junction.R_short)
        if alive:
            draws = np.ones(alive) if junction.stuck else junction.rng.random(alive)
            start = junction.antiparallel, junction.rise
            R[:alive], (junction.antiparallel, junction.rise) = answer(
                junction.mtj, thermal, runs.first(alive), start, draws
            )
        junction.broken |= alive < len(runs.V)
        current: Floats = runs.V / R
        return current

    def _befall(self, number: int, junction: Junction) -> None:
        """Let fate and drift have their turn, and count the play."""
        for fate in self.fates:
            if (fate.junction, fate.play) == (number, junction.plays):
                junction.stuck, junction.broken = fate.what != "broken", fate.what == "broken"
                junction.antiparallel = fate.what == "AP" if junction.stuck else junction.antiparallel
        junction.plays += 1
        if self.drift.R or self.drift.V_c0:
            R, V_c0 = np.exp(np.array([self.drift.R, self.drift.V_c0]) * junction.weather.standard_normal(2))
            mtj = junction.mtj
            mtj.R_P, mtj.R_AP = mtj.R_P * R, mtj.R_AP * R
            mtj.V_c0, mtj.V_c0_AP = mtj.V_c0 * V_c0, mtj.V_c0_AP * V_c0
            mtj.derive()

    def _survived(self, number: int, junction: Junction, runs: Runs) -> int:
        """How many runs come before the one that breaks the junction; what breaks it is written down."""
        if junction.broken:
            return 0
        V, limit = np.abs(runs.V), self.endurance
        power = V**2 / float(junction.mtj.R_P)
        stresses = (
            ("voltage", V, limit.V_max, "V"),
            ("power", power, limit.P_max, "W"),
            ("width", np.where(limit.V_max / 4 < V, runs.t, 0.0), limit.t_max, "s"),
        )
        found = [
            (int((value > most).argmax()), what, value, most, unit)
            for what, value, most, unit in stresses
            if (value > most).any()
        ]
        if not found:
            return len(V)
        at, what, value, most, unit = min(found, key=lambda stress: stress[0])
        self.violations.append(
            f"junction {number}, play {junction.plays}: {what} {format_si(float(value[at]), unit)} exceeds "
            f"{format_si(most, unit)}"
        )
        return at


def _make(mtj: MTJ, seed: int, number: int, stuck: float = math.nan) -> Junction:
    """A cold junction in the resting state of its card, or in the one in which it is stuck."""
    rng, weather = (np.random.default_rng((seed, 2 + stream, number)) for stream in range(2))
    antiparallel = mtj.resting if math.isnan(stuck) else mtj.resting != bool(stuck)
    return Junction(mtj, rng, weather, antiparallel, np.zeros(mtj.poles), stuck=not math.isnan(stuck))


def _spread(nominal: MTJ, count: int, seed: int) -> list[Junction]:
    """Junctions that differ as the card says."""
    if not nominal.card.variation:
        return [_make(copy.deepcopy(nominal), seed, number) for number in range(count)]
    population, stuck = Varied(nominal, "card", seed).population(torch.zeros(count, dtype=torch.float64))
    junctions = []
    for number in range(count):
        mtj = copy.deepcopy(nominal)
        for name in type(mtj.card.parameters).model_fields:
            value = getattr(population, name)
            if value.dim() > getattr(nominal, name).dim():
                mtj.register_buffer(name, value[..., number].clone(), persistent=False)
        mtj.derive()
        junctions.append(_make(mtj, seed, number, float(stuck[number])))
    return junctions


def _given(nominal: MTJ, true: Sequence[Mapping[str, Any]], seed: int) -> list[Junction]:
    """Junctions of given values."""
    return [_make(MTJ(nominal.card.with_parameters(**values)), seed, number) for number, values in enumerate(true)]
