"""How the instruments of the virtual laboratory are wired, and what they all answer.

The generator drives the junction that the meter's digital port selects; its trigger output goes to the
oscilloscope, which records the current through a transimpedance amplifier.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ipnet.virtual_chip import Chip
from ipnet.virtual_scpi import Scpi, command

Floats = NDArray[np.float64]


class Recorder(Protocol):
    """What a trigger reaches."""

    label: str

    def trigger(self, current: Floats, sample_time: float) -> None:
        """Record, if armed, the current [A] of a waveform that begins now."""


@dataclass
class Wiring:
    """What connects the instruments.

    Attributes:
        chip: the junctions.
        selected: number of the one that is driven and measured.
        recorder: what records its current.
        plays: how many waveforms were played while the recorder had this label.
    """

    chip: Chip
    selected: int = 0
    recorder: Recorder | None = None
    plays: Counter[str] = field(default_factory=Counter)

    def play(self, V: Floats, sample_time: float, *, on: bool) -> None:
        """A waveform on the selected junction if the output is on, and a trigger for the recorder."""
        current = np.zeros(0)
        if on:
            self.plays[self.recorder.label if self.recorder else ""] += 1
            current = self.chip.play(self.selected, V, sample_time)
        if self.recorder:
            self.recorder.trigger(current, sample_time)


class LabInstrument(Scpi):
    """An instrument with queries that no real one has, each answered in JSON: what reached the chip."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        super().__init__()

    @command("LAB:VIOLations?")
    def _violations(self, *_: object) -> str:
        return json.dumps(self.wiring.chip.violations)

    @command("LAB:PLAYS?")
    def _plays(self, *_: object) -> str:
        return json.dumps(self.wiring.plays)

    @command("LAB:PULSes?")
    def _pulses(self, *_: object) -> str:
        return json.dumps([junction.pulses for junction in self.wiring.chip.junctions])
