"""Keysight 81160A: a pulse, function and arbitrary generator with two channels, of which the first is used."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.instrument import Generator, Transport, check_name, check_range
from ipnet.instrument._scpi import Scpi

_FULL = 8191  # largest code of the converter: 14 bits with sign
_PERIODS = 1 / 330e6, 1e6  # shortest and longest of an arbitrary waveform [s]
_AT = "81150A and 81160A User's Guide"
_PYMEASURE = "pymeasure.instruments.keysight.Keysight81160A 0.16"


class Keysight81160A(Scpi, Generator):
    """Plays one cycle of an arbitrary waveform at each ``*TRG``.

    The full scale of the converter is the range between the limits, whatever the waveform: no code can leave it,
    and where the limits are symmetric code 0 is exactly 0 V. The load is set to its largest value, so that the
    voltages are those of an open output: behind the 50 ohm of the source a junction gets less, never more.

    Valid for: output amplifiers that reach 10 V (peak to peak) at an open output.

    References:
        Keysight, 81150A and 81160A Pulse Function Arbitrary Noise Generator, User's Guide: trigger modes p. 92
        (one cycle for each trigger; a trigger during a cycle is ignored), byte order p. 349. Ranges and the
        remaining commands as in PyMeasure 0.16, Keysight81160A, whose voltages (into 50 ohm) are doubled here.
        That the output rests at the first sample is assumed, as are 2 to 131 072 samples in a channel (128 k).
    """

    identity: ClassVar[str] = r"(keysight|agilent) technologies,\s*81160A,"
    manual: ClassVar[str] = "Keysight, 81150A and 81160A User's Guide (Remote Programming Reference)"
    sources: ClassVar[Mapping[str, str]] = {
        "*IDN?": "IEEE 488.2, 10.14",
        "*OPC?": "IEEE 488.2, 10.19",
        "*TRG": f"IEEE 488.2, 10.37; {_AT}, p. 92; {_PYMEASURE}, trigger",
        ":SYST:ERR?": "SCPI-99, volume 2, :SYSTem:ERRor",
        ":OUTP:LOAD": f"{_PYMEASURE}, output_load",
        ":OUTP ": "SCPI-99, volume 2, :OUTPut[:STATe]",
        ":VOLT:HIGH": f"{_PYMEASURE}, voltage_high",
        ":VOLT:LOW": f"{_PYMEASURE}, voltage_low",
        ":VOLT:LIM:": f"{_PYMEASURE}, limit_high, limit_low, limit_state_enabled",
        ":BURS:STAT": f"{_PYMEASURE}, burst_state",
        ":ARM:SOUR": f"{_PYMEASURE}, trigger_mode (IMM, INT2, EXT, MAN)",
        ":FORM:BORD": f"{_AT}, p. 349",
        ":DATA:DAC": f"{_AT}, p. 349 (signed words); {_PYMEASURE}, waveform_volatile",
        ":FUNC:USER": f"{_PYMEASURE}, arb_file",
        ":FUNC": f"{_PYMEASURE}, shape",
        ":FREQ": f"{_PYMEASURE}, frequency",
    }
    off: ClassVar[str] = ":OUTP OFF"
    replies: ClassVar[Mapping[str, str]] = {
        "*IDN?": "Agilent Technologies,81160A,MY51400123,1.0.3.0-2.7",
        "*OPC?": "1",
        ":SYST:ERR?": '+0,"No error"',
    }
    fault: ClassVar[tuple[str, str]] = ":SYST:ERR?", '-222,"Data out of range"'
    points: ClassVar[int] = 131_072
    sample_times: ClassVar[tuple[float, float]] = 0.4e-9, _PERIODS[1] / points

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._limits: tuple[float, float] | None = None
        self._loaded: str | None = None  # "" where nothing it holds may be played

    def park(self) -> None:
        """Switch the output off."""
        self._tell(self.off)

    def limit(self, low: float, high: float) -> None:
        """Set full scale and limits to [low, high], which contains 0.

        What is loaded stays loaded if these are the limits that it was loaded under. On a new connection the
        caller answers for that: other limits would stretch it.
        """
        check_range("the generator's lower limit [V]", low, -10, 0)
        check_range("the generator's upper limit [V]", high, 0, 10)
        check_range("the generator's range between the limits [V]", high - low, 0.1, 10)
        if self._limits not in (None, (low, high)):
            self._loaded = ""
        self._limits = None
        self._tell(self.off, ":OUTP:LOAD 1E6", ":VOLT:LIM:STAT OFF")
        self._tell(f":VOLT:HIGH {high:.6E}", f":VOLT:LOW {low:.6E}")
        self._tell(f":VOLT:LIM:HIGH {high:.6E}", f":VOLT:LIM:LOW {low:.6E}", ":VOLT:LIM:STAT ON")
        self.check()
        self._limits = low, high

    def load(self, samples: NDArray[np.float64], sample_time: float, name: str) -> None:
        """Fill the volatile memory and select it."""
        codes = self._codes(np.asarray(samples, np.float64))
        self._check_times(len(codes), sample_time)
        check_name(name)
        self._loaded = ""
        self._tell(self.off, ":BURS:STAT OFF", ":ARM:SOUR MAN", ":FORM:BORD NORM")
        self._tell_block(":DATA:DAC VOLATILE,", codes)
        self._tell(":FUNC:USER VOLATILE", ":FUNC USER", f":FREQ {1 / (len(codes) * sample_time):.12E}")
        self._complete()
        self.check()
        self._loaded = name

    def trigger(self) -> None:
        """Switch the output on and start one cycle.

        A driver that has not loaded the waveform itself, because the connection was lost since, asks first whether
        the instrument still has it: after a power cycle it would play a sine.
        """
        self._require_limits()
        if self._loaded == "":
            raise IPNetError(
                "a generator must hold a waveform loaded under its limits; got none: call load first."
            )
        if self._loaded is None:
            for message, expected in ((":FUNC?", "USER"), (":FUNC:USER?", "VOLATILE"), (":ARM:SOUR?", "MAN")):
                if (reply := self._ask(message).strip('"').upper()) != expected:
                    raise IPNetError(
                        f"{message} must answer {expected} before a trigger; got '{reply}': load again."
                    )
        self._tell(":OUTP ON")
        self._complete()
        self._tell("*TRG")

    def _require_limits(self) -> tuple[float, float]:
        if self._limits is None:
            raise IPNetError(
                "a generator must have limits before it drives a junction; got none: call limit first."
            )
        return self._limits

    def _codes(self, samples: NDArray[np.float64]) -> NDArray[np.int16]:
        """Codes of the converter: -8191 at the lower limit, 8191 at the upper."""
        low, high = self._require_limits()
        if samples.ndim != 1 or not 2 <= len(samples) <= self.points:
            raise IPNetError(
                f"a waveform must have 2 to {self.points} samples; got {list(samples.shape)}: use smaller batches."
            )
        if not np.isfinite(samples).all():
            raise IPNetError("a waveform must be finite; got NaN or infinity: look at the shots.")
        check_range("the lowest sample [V]", samples.min(), low, high)
        check_range("the highest sample [V]", samples.max(), low, high)
        if samples[0] or samples[-1]:
            raise IPNetError(
                f"a waveform must begin and end at 0 V, where the output rests; got {samples[0]:g} V and "
                f"{samples[-1]:g} V: add a sample of 0 V."
            )
        codes = np.rint((2 * samples - (low + high)) / (high - low) * _FULL)
        return codes.astype(np.int16)

    def _check_times(self, points: int, sample_time: float) -> None:
        check_range("the sample time [s]", sample_time, *self.sample_times)
        check_range("the length of the waveform [s]", points * sample_time, *_PERIODS)
