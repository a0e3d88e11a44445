"""The oscilloscope of the virtual laboratory, an InfiniiVision: one record of channel 1, the current.

References:
    Keysight InfiniiVision 4000 X-Series Oscilloscopes, Programmer's Guide: ":WAVeform Commands" (preamble; level 0
    is a hole, 1 and 65535 are clipped), ":OPERegister:CONDition" (bit 3: running, bit 5: waiting for a trigger),
    ":TIMebase:REFerence".
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ipnet.instrument import SIMULATED
from ipnet.virtual_instruments import LabInstrument
from ipnet.virtual_scpi import STALE, Choice, Number, ScpiError, Setting, Switch, block_of, command

Floats = NDArray[np.float64]


class Oscilloscope(LabInstrument):
    """An InfiniiVision with one record of channel 1, its other inputs unused."""

    identity: ClassVar[str] = f"KEYSIGHT TECHNOLOGIES,MSO-X 4104A,{SIMULATED},07.50.2021102830"
    memory: ClassVar[int] = 500_000
    shortest: ClassVar[float] = 1e-9
    table: ClassVar[dict[str, Setting]] = {
        "range": Number(":CHANnel#:RANGe", 40.0, 1e-9, 1e3),
        "offset": Number(":CHANnel#:OFFSet", 0.0),
        "units": Choice(":CHANnel#:UNITs", "VOLT", ("VOLT", "AMPere")),
        "probe": Number(":CHANnel#:PROBe", 1.0, 1e-9, 1e9),
        "display": Switch(":CHANnel#:DISPlay", default=True),
        "coupling": Choice(":CHANnel#:COUPling", "DC", ("DC", "AC")),
        "impedance": Choice(":CHANnel#:IMPedance", "ONEM", ("ONEMeg", "FIFTy")),
        "duration": Number(":TIMebase:RANGe", 1e-3, 1e-8, 500),
        "position": Number(":TIMebase:POSition", 0.0, -500, 500),
        "reference": Choice(":TIMebase:REFerence", "CENT", ("LEFT", "CENTer", "RIGHt")),
        "time_mode": Choice(":TIMebase:MODE", "MAIN", ("MAIN",)),
        "type": Choice(":ACQuire:TYPE", "NORM", ("NORMal", "HRESolution")),
        "trigger_mode": Choice(":TRIGger:MODE", "EDGE", ("EDGE",)),
        "trigger_source": Choice(":TRIGger[:EDGE]:SOURce", "CHAN1", ("CHANnel1", "EXTernal")),
        "trigger_level": Number(":TRIGger[:EDGE]:LEVel", 0.0),
        "trigger_slope": Choice(":TRIGger[:EDGE]:SLOPe", "POS", ("POSitive", "NEGative")),
        "sweep": Choice(":TRIGger:SWEep", "AUTO", ("AUTO", "NORMal")),
        "source": Choice(":WAVeform:SOURce", "CHAN1", ("CHANnel1",)),
        "format": Choice(":WAVeform:FORMat", "BYTE", ("WORD", "BYTE")),
        "order": Choice(":WAVeform:BYTeorder", "MSBF", ("MSBFirst", "LSBFirst")),
        "unsigned": Switch(":WAVeform:UNSigned", default=True),
        "points_mode": Choice(":WAVeform:POINts:MODE", "NORM", ("NORMal", "MAXimum", "RAW")),
    }

    def reset(self) -> None:
        """Also forget the record and the label; the scope runs."""
        super().reset()
        self.label = "1"
        self.armed, self.triggered, self.arm_event = False, False, False
        self.levels, self.sample_time, self.start = np.zeros(0, np.uint16), 0.0, 0.0
        self.scale = (1.0, 0.0)  # of the record: A per level of 65536, and the current in their middle

    def trigger(self, current: Floats, sample_time: float) -> None:
        """Record if armed: the current [A] of a waveform that begins now."""
        if not self.armed:
            return
        duration, values = self.values["duration"], self.values
        share = {"LEFT": 0.1, "CENT": 0.5, "RIGH": 0.9}[values["reference"]]
        self.start = values["position"] - share * duration
        self.sample_time = self._fastest()
        points = round(duration / self.sample_time)
        at = np.floor((self.start + np.arange(points) * self.sample_time) / sample_time + 1e-6).astype(np.int64)
        inside = (at >= 0) & (at < len(current))
        seen = self.wiring.chip.noise(points, self.sample_time).astype(np.float64)
        seen[inside] += current[at[inside]]
        bits = 12 if values["type"] == "HRES" else 8
        coarse = np.rint((seen - values["offset"]) / values["range"] * 2**bits)
        self.levels = np.clip(coarse * 2 ** (16 - bits) + 32768, 1, 65535).astype(np.uint16)
        self.scale = values["range"] / 65536, values["offset"]
        self.armed, self.triggered = False, True

    @command(":CHANnel#:LABel")
    def _label(self, parameters: list[str], _: object) -> None:
        if not parameters:
            raise ScpiError(-109, "Missing parameter")
        self.label = parameters[0][:32]

    @command(":CHANnel#:LABel?")
    def _ask_label(self, *_: object) -> str:
        return f'"{self.label}"'

    @command(":SINGle", ":DIGitize")
    def _single(self, *_: object) -> None:
        self.armed, self.triggered, self.arm_event = True, False, True

    @command(":RUN", ":STOP")
    def _stop(self, *_: object) -> None:
        self.armed = False

    @command(":DISPlay:LABel", ":SYSTem:HEADer")
    def _shown(self, *_: object) -> None:
        """Nobody looks."""

    @command(":OPERegister:CONDition?")
    def _condition(self, *_: object) -> str:
        return f"{(1 << 3 | 1 << 5) * self.armed:+d}"

    @command(":TER?")
    def _trigger_event(self, *_: object) -> str:
        seen, self.triggered = self.triggered, False
        return f"{seen:+d}"

    @command(":AER?")
    def _arm_event(self, *_: object) -> str:
        seen, self.arm_event = self.arm_event, False
        return f"{seen:+d}"

    @command(":WAVeform:POINts")
    def _points(self, *_: object) -> None:
        """The whole record is sent always."""

    @command(":WAVeform:POINts?", ":ACQuire:POINts[:ANALog]?")
    def _ask_points(self, *_: object) -> str:
        return f"{len(self.levels):+d}"

    @command(":ACQuire:SRATe[:ANALog]?")
    def _rate(self, *_: object) -> str:
        return f"{1 / (self.sample_time or self._fastest()):+.6E}"

    @command(":WAVeform:PREamble?")
    def _preamble(self, *_: object) -> str:
        step, word = self._step(), self.values["format"] == "WORD"
        kind = 3 if self.values["type"] == "HRES" else 0
        return (
            f"{int(word):+d},{kind:+d},{len(self.levels):+d},+1,{self.sample_time:+.9E},{self.start:+.9E},+0,"
            f"{step[0]:+.9E},{self.scale[1]:+.9E},{step[1]:+d}"
        )

    @command(":WAVeform:YINCrement?")
    def _y_increment(self, *_: object) -> str:
        return f"{self._step()[0]:+.9E}"

    @command(":WAVeform:YORigin?")
    def _y_origin(self, *_: object) -> str:
        return f"{self.scale[1]:+.9E}"

    @command(":WAVeform:YREFerence?")
    def _y_reference(self, *_: object) -> str:
        return f"{self._step()[1]:+d}"

    @command(":WAVeform:XINCrement?")
    def _x_increment(self, *_: object) -> str:
        return f"{self.sample_time:+.9E}"

    @command(":WAVeform:XORigin?")
    def _x_origin(self, *_: object) -> str:
        return f"{self.start:+.9E}"

    @command(":WAVeform:DATA?")
    def _data(self, *_: object) -> bytes:
        if not len(self.levels):
            raise STALE
        word, values = self.values["format"] == "WORD", self.values
        levels = self.levels.astype(np.int32) >> (0 if word else 8)
        if self.invalid:
            levels[len(levels) // 3 :: 97] = 0  # holes: samples that are not there yet
        kind = "u" if values["unsigned"] else "i"
        if kind == "i":
            levels -= 32768 if word else 128
        order = ">" if values["order"] == "MSBF" else "<"
        return block_of(levels.astype(f"{order}{kind}{2 if word else 1}").tobytes())

    def _fastest(self) -> float:
        """Sample time with which the duration fits the memory [s]."""
        return max(self.shortest, _ladder(self.values["duration"] / self.memory))

    def _step(self) -> tuple[float, int]:
        """What a level of the format is worth [A], and the level in the middle."""
        if not len(self.levels):
            raise STALE
        word, unsigned = self.values["format"] == "WORD", self.values["unsigned"]
        return self.scale[0] * (1 if word else 256), (32768 if word else 128) * unsigned


def _ladder(sample_time: float) -> float:
    """The next of 1, 2, 5 times a power of ten that is not shorter [s].

    Example:
        >>> [_ladder(t) for t in (1.1e-9, 2e-9, 2.5e-9, 9e-9)]
        [2e-09, 2e-09, 5e-09, 1e-08]
    """
    power = np.floor(np.log10(sample_time) + 1e-9)
    steps = (float(f"{step}e{int(power)}") for step in (1, 2, 5, 10))
    return next(step for step in steps if step >= sample_time * (1 - 1e-9))
