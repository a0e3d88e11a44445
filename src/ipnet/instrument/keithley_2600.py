"""Keithley 2600: a source-measure unit that is told in TSP what to do; channel A and the digital port are used."""

import contextlib
from collections.abc import Mapping
from typing import ClassVar

from ipnet.errors import IPNetError, LostConnection, UnreadableError
from ipnet.instrument import Meter, Transport, check_range

_ERROR = "print(errorqueue.next())"
_LINES = 2**14  # the port has 14 lines
_QUEUE = 100
_AT = "Series 2600B Reference Manual, 2600BS-901-01 Rev. C"
_PYMEASURE = "pymeasure.instruments.keithley.Keithley2600 0.16"


class Keithley2600(Meter):
    """Sources a small voltage, measures the current, and leaves channel A disconnected (high impedance).

    The number of a junction is the number at the digital port. The models 2604B, 2614B and 2634B have no such
    port and are refused.

    Valid for: |V| up to 1 V, where a magnetic tunnel junction breaks down (assumed), and I_limit up to 0.1 A,
    which every model can source.

    References:
        Keithley, Series 2600B System SourceMeter Instrument, Reference Manual, 2600BS-901-01 Rev. C (2016):
        digio.writeport p. 7-64, smuX.source.output p. 7-244; Rev. B (2013): smuX.source.limiti p. 2-87,
        error queue p. E-3. What they print is as in PyMeasure 0.16, Keithley2600.
    """

    identity: ClassVar[str] = r"keithley instruments( inc\.)?,\s*model 26(0[12]|1[12]|3[56])[AB]?,"
    manual: ClassVar[str] = "Keithley, Series 2600B Reference Manual, 2600BS-901-01 (TSP command reference)"
    sources: ClassVar[Mapping[str, str]] = {
        "*IDN?": "IEEE 488.2, 10.14",
        "smua.reset()": f"{_AT}, TSP command reference",
        "smua.source.func": f"{_PYMEASURE}, source_mode",
        "smua.source.limiti": "Reference Manual Rev. B, p. 2-87",
        "smua.source.levelv": f"{_PYMEASURE}, source_voltage",
        "smua.source.output": f"{_AT}, p. 7-244",
        "smua.measure.nplc": f"{_PYMEASURE}, measure_nplc",
        "print(smua.measure.i())": f"{_PYMEASURE}, current",
        "digio.writeport": f"{_AT}, p. 7-64",
        _ERROR: "Reference Manual Rev. B, p. E-3",
    }
    off: ClassVar[str] = "smua.source.output = smua.OUTPUT_HIGH_Z"
    replies: ClassVar[Mapping[str, str]] = {
        "*IDN?": "Keithley Instruments Inc., Model 2602B, 1398687, 3.2.1",
        _ERROR: "0.00000e+00\tQueue Is Empty\t0.00000e+00\t0.00000e+00",
    }
    fault: ClassVar[tuple[str, str]] = _ERROR, "-2.85000e+02\tTSP Syntax error at line 1\t2.00000e+01\t1.00000e+00"

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._ready = False

    def park(self) -> None:
        """Set 0 V and disconnect."""
        self._tell("smua.source.levelv = 0", self.off)

    def errors(self) -> list[str]:
        """Ask for the next error until its code is 0."""
        found: list[str] = []
        for _ in range(_QUEUE):
            reply = self._ask(_ERROR)
            code, _, rest = reply.partition("\t")
            try:
                number = int(float(code))
            except (ValueError, OverflowError) as error:
                raise self._garbled(_ERROR, reply) from error
            if number == 0:
                return found
            found.append(f"{number} {rest.partition(chr(9))[0]}")
        raise IPNetError(
            f"the {self.name()} must run out of errors; got {_QUEUE}, the last '{found[-1]}': restart it."
        )

    def select(self, junction: int) -> None:
        """Write the number to the digital port; the channel is disconnected before."""
        if not 0 <= junction < _LINES:
            raise IPNetError(
                f"a junction must have a number in [0, {_LINES - 1}] at the digital port; got {junction}."
            )
        self._tell(self.off, f"digio.writeport({junction})")
        self.check()

    def resistance(self, V: float, I_limit: float) -> float:
        """Measure over one power-line cycle."""
        check_range("the size of the voltage that measures a resistance [V]", abs(V), 1e-3, 1)
        check_range("the limit of the current [A]", I_limit, 1e-9, 0.1)
        if not self._ready:
            self._tell("smua.reset()", self.off)
            self._tell("smua.source.func = smua.OUTPUT_DCVOLTS", "smua.measure.nplc = 1")
        self._tell(f"smua.source.limiti = {I_limit:.6e}", f"smua.source.levelv = {V:.6e}")
        self.check()
        self._ready = True
        try:
            self._tell("smua.source.output = smua.OUTPUT_ON")
            current = self._number("print(smua.measure.i())")
        except BaseException:
            with contextlib.suppress(LostConnection):
                self.park()
            raise
        self.park()
        self.check()
        return self._ohm(V, current, I_limit)

    def _ohm(self, V: float, current: float, I_limit: float) -> float:
        if abs(current) >= 0.999 * I_limit:
            raise UnreadableError(
                f"the current must stay below its limit of {I_limit:g} A; got {current:g} A at {V:g} V: the "
                "junction may be shorted; else raise I_limit or lower V."
            )
        if not V * current > 0:
            raise UnreadableError(
                f"a current must flow as the voltage says; got {current:g} A at {V:g} V: see the contacts."
            )
        return V / current
