"""What a network's memory on a bench did, beside the same network in software: one JSON file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ipnet.instrument import SIMULATED
from ipnet.results import Estimate, Proportion, wilson
from ipnet.settings import read_json

PATTERN = "hil*.json"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bin(_Table):
    """Answers that the law expected alike.

    Args:
        expected: mean probability by the law [1].
        measured: share of them in which the junction switched.
        rise_expected: temperature rise at which the law gives the expected probability [K].
        rise_measured: the same for the measured share and the ends of its interval: the temperature of a junction
            that is told by nothing but its switching.
    """

    expected: float
    measured: Proportion
    rise_expected: float
    rise_measured: Estimate


class Served(_Table):
    """What one junction did.

    Args:
        junction: its number at the multiplexer.
        answers: that it gave.
        deviation: see `HilRun`.
        V_probe: its probe voltage [V]; None if it was not trimmed.
        heat: factor of the voltages that heat it [1]; None if it was not trimmed.
        dead: why it was set aside; empty if it was not.
    """

    junction: int
    answers: int
    deviation: float
    V_probe: float | None
    heat: float | None
    dead: str


class HilRun(_Table):
    """One run of a network on a bench.

    Args:
        run: of the network, within its study.
        study: its name.
        source: hash of its configuration, data and weights.
        place: of the memory that stands on the bench.
        card: of its junctions.
        identities: of the instruments.
        command: that does the same.
        junctions: that took turns, those that died among them.
        data: name of the set.
        real: whether the clips are recordings.
        split: of the set.
        items: names of the clips.
        truth: their targets.
        hardware: what the network answered with the bench.
        software: what it answered without, in each of some runs.
        bins: of answers that the law expected alike, from the least likely on.
        deviation: sum of measured minus expected answers, in standard deviations of what is expected by chance.
    """

    run: str
    study: str
    source: str
    place: str
    card: str
    identities: tuple[str, ...]
    command: str
    junctions: tuple[Served, ...]
    data: str
    real: bool
    split: str
    items: tuple[str, ...]
    truth: tuple[int, ...]
    hardware: tuple[int, ...]
    software: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]
    deviation: float

    @property
    def simulated(self) -> bool:
        """Whether the junctions are, as an instrument said: those of the virtual laboratory."""
        return any(SIMULATED in identity for identity in self.identities)

    @property
    def answers(self) -> int:
        """That were measured."""
        return sum(junction.answers for junction in self.junctions)

    @property
    def dead(self) -> tuple[int, ...]:
        """Junctions that were set aside."""
        return tuple(junction.junction for junction in self.junctions if junction.dead)

    @property
    def numbers(self) -> dict[str, Any]:
        """What it comes to, for machines."""
        return {
            "run": self.run,
            "command": self.command,
            "simulated": self.simulated,
            "accuracy": self.accuracy.model_dump(),
            "foreseen": dict(zip(("value", "low", "high"), self.foreseen, strict=True)),
            "agrees": self.agrees,
            "deviation": self.deviation,
            "answers": self.answers,
            "dead": self.dead,
            "junctions": [junction.model_dump() for junction in self.junctions],
            "bins": [part.model_dump() for part in self.bins],
        }

    @property
    def accuracy(self) -> Proportion:
        """On the bench."""
        return wilson(sum(a == b for a, b in zip(self.hardware, self.truth, strict=True)), len(self.truth))

    @property
    def foreseen(self) -> tuple[float, float, float]:
        """Accuracy that the software foresees for one run of these clips, and the ends of 95 % [1].

        Each clip is right with the share q of software runs; sum q +- 1.96 sqrt(sum q (1 - q)).
        """
        right = np.array(self.software) == np.array(self.truth)
        q, n = right.mean(0), len(self.truth)
        reach = 1.96 * math.sqrt(float((q * (1 - q)).sum())) + 0.5  # half a clip: counts are whole
        total = float(q.sum())
        return total / n, max(0.0, (total - reach) / n), min(1.0, (total + reach) / n)

    @property
    def agrees(self) -> bool:
        """Whether the accuracy on the bench lies where the software foresees it."""
        _, low, high = self.foreseen
        return low <= self.accuracy.value <= high


def deviation(expected: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    """Sum of measured minus expected answers, in standard deviations of what is expected by chance; 0 for none.

    Example:
        >>> deviation(np.full(100, 0.5), np.ones(100))
        10.0
    """
    chance = math.sqrt(float((expected * (1 - expected)).sum()))
    return float((measured - expected).sum()) / chance if chance else 0.0


def read_benches(folder: Path) -> list[HilRun]:
    """The files of `ipnet hil run` in a folder.

    Raises:
        IPNetError: a file that is none, by name.
    """
    return [read_hil(path) for path in sorted(folder.glob(PATTERN))]


def read_hil(path: Path) -> HilRun:
    """A file of `ipnet hil run`.

    Raises:
        IPNetError: it is none.
    """
    return read_json(path, HilRun, "run on a bench")
