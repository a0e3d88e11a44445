"""Keysight InfiniiVision: an oscilloscope that records the current through a transimpedance amplifier."""

import time
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError, UnreadableError
from ipnet.instrument import Digitiser, check_name, check_range
from ipnet.instrument._scpi import Scpi

_RUN = 8  # bit 3 of the Operation Status Condition Register: the oscilloscope is not stopped
_WORD = 1  # format in the preamble
_HOLE, _LOW, _HIGH = 0, 1, 65535  # words that are no measurement
_PATIENCE = 5.0  # seconds until it must wait for the trigger (assumed)
_UNNAMED = "-"  # the label from the beginning of `arm` until it waits
_AT = "InfiniiVision 3000 X-Series Programmer's Guide"
_PYMEASURE = "pymeasure.instruments.keysight.KeysightDSOX1102G 0.16"
_SETUP = (
    ":STOP",
    ":TRIGger:MODE EDGE",
    ":TRIGger:SWEep NORMal",  # else it would trigger by itself
    ":TRIGger:EDGE:SOURce EXTernal",
    ":TIMebase:REFerence CENTer",
    ":CHANnel1:UNITs AMP",
)


class KeysightInfiniiVision(Scpi, Digitiser):
    """Takes one record at the generator's trigger, which enters at EXT TRIG; channel 1 shows the current.

    `arm` takes the label away first and sets the new one last, when the oscilloscope waits for its trigger:
    a label beside a stopped oscilloscope always means a record. Whether it is stopped is read from a register
    that reading does not clear.

    The gain of the amplifier (A/V, as the probe's attenuation of channel 1), the trigger's level and the coupling
    are set at the front panel and left alone.

    References:
        Agilent/Keysight, InfiniiVision 3000 X-Series Oscilloscopes, Programmer's Guide: :OPERegister:CONDition
        (table 63; p. 171 of the Agilent edition). 4000 X-Series: :WAVeform:DATA (p. 1243: holes and clipped
        words). 2000 X-Series: :WAVeform:PREamble (p. 644: (word - reference) * increment + origin).
    """

    identity: ClassVar[str] = r"(keysight|agilent) technologies,\s*[DM]SO-?X ?\d{4}[A-Z]*,"
    manual: ClassVar[str] = "Keysight, InfiniiVision 3000 X-Series Oscilloscopes, Programmer's Guide"
    sources: ClassVar[Mapping[str, str]] = {
        "*IDN?": "IEEE 488.2, 10.14",
        ":SYST:ERR?": "SCPI-99, volume 2, :SYSTem:ERRor",
        ":STOP": f"{_AT}, root commands; {_PYMEASURE}, stop",
        ":SINGle": f"{_AT}, root commands; {_PYMEASURE}, single",
        ":AER?": f"{_AT}, root commands (Arm Event Register)",
        ":OPERegister:CONDition?": f"{_AT}, p. 171",
        ":CHANnel1:LABel": f"{_AT}, :CHANnel<n> commands",
        ":CHANnel1:UNITs": f"{_AT}, :CHANnel<n> commands",
        ":CHANnel1:RANGe": f"{_AT}, :CHANnel<n> commands",
        ":TIMebase:": f"{_AT}, :TIMebase commands; {_PYMEASURE}, timebase_range, timebase_offset",
        ":TRIGger:": f"{_AT}, :TRIGger commands",
        ":WAVeform:": f"{_AT}, :WAVeform commands; {_PYMEASURE}, waveform_preamble",
    }
    replies: ClassVar[Mapping[str, str]] = {
        "*IDN?": "KEYSIGHT TECHNOLOGIES,DSO-X 3034T,MY57251234,07.30",
        ":SYST:ERR?": '+0,"No error"',
    }
    fault: ClassVar[tuple[str, str]] = ":SYST:ERR?", '-113,"Undefined header"'

    def arm(self, duration: float, I_range: float, name: str) -> None:
        """Set up, start a single acquisition, wait until it is armed, set the label."""
        check_range("the duration of a record [s]", duration, 20e-9, 500)
        check_range("the full scale of the current [A]", I_range, 1e-9, 10)
        check_name(name)
        self._tell(f':CHANnel1:LABel "{_UNNAMED}"', *_SETUP)
        self._tell(f":TIMebase:RANGe {duration:.9E}", f":TIMebase:POSition {duration / 2:.9E}")
        self._tell(f":CHANnel1:RANGe {I_range:.6E}")
        self.check()
        self._number(":AER?")  # reading clears it
        self._tell(":SINGle")
        self._wait_until_armed()
        self._tell(f':CHANnel1:LABel "{name}"')
        if (label := self._label()) != name:
            raise IPNetError(f"the oscilloscope must keep the label '{name}'; got '{label}': take a shorter name.")

    def state(self) -> tuple[str, bool]:
        """The label, and whether the oscilloscope is stopped."""
        return self._label(), not self._integer(":OPERegister:CONDition?") & _RUN

    def fetch(self) -> tuple[NDArray[np.float64], float]:
        """All samples from the trigger on."""
        self._tell(":WAVeform:SOURce CHANnel1", ":WAVeform:FORMat WORD", ":WAVeform:BYTeorder MSBFirst")
        self._tell(":WAVeform:UNSigned ON", ":WAVeform:POINts:MODE RAW", ":WAVeform:POINts MAXimum")
        points, x, y = self._preamble()
        words = self._ask_block(":WAVeform:DATA?")
        if len(words) != points:
            raise self._garbled(":WAVeform:DATA?", f"{len(words)} words instead of {points}")
        if (words == _HOLE).any():
            raise UnreadableError(
                "a record must be complete; got holes in it: wait for its end, then fetch again."
            )
        if np.isin(words, (_LOW, _HIGH)).any():
            raise UnreadableError("the current must stay on the screen; got clipped samples: raise I_range.")
        step, first, reference = x
        before = max(0, int(np.ceil(reference - first / step - 1e-6)))
        return ((words - y[2]) * y[0] + y[1])[before:], step

    def _label(self) -> str:
        return self._ask(":CHANnel1:LABel?").strip('"').strip()

    def _integer(self, message: str) -> int:
        number = self._number(message)
        if number != int(number) or number < 0:
            raise self._garbled(message, f"{number:g}")
        return int(number)

    def _wait_until_armed(self) -> None:
        end = time.monotonic() + _PATIENCE
        while not self._integer(":AER?"):
            if time.monotonic() > end:
                raise IPNetError(
                    f"the oscilloscope must wait for its trigger within {_PATIENCE:g} s; got no answer: see that "
                    "its sweep is NORMal and nothing else controls it."
                )
            time.sleep(1e-3)

    def _preamble(self) -> tuple[int, tuple[float, float, float], tuple[float, float, float]]:
        """Number of points; increment, origin and reference of the time [s]; the same of the current [A]."""
        reply = self._ask(":WAVeform:PREamble?")
        try:
            numbers = [float(part) for part in reply.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 10 or not np.isfinite(numbers).all() or numbers[0] != _WORD or not numbers[4] > 0:
            raise self._garbled(":WAVeform:PREamble?", reply)
        return int(numbers[2]), (numbers[4], numbers[5], numbers[6]), (numbers[7], numbers[8], numbers[9])
