"""The waveform generator of the virtual laboratory, an 81160A: one waveform, played once for each trigger.

References:
    Keysight 81150A and 81160A Pulse Function Arbitrary Noise Generators, User's Guide, "Programming Reference":
    DAC codes -8191 to 8191 stand for the low to the high level, two bytes each, the high one first.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ipnet.instrument import SIMULATED
from ipnet.virtual_instruments import LabInstrument
from ipnet.virtual_scpi import STALE, Choice, Number, ScpiError, Setting, Switch, command

_TOP = 8191  # the DAC code of the high level, the negative one of the low level
_SOURCE = 50.0  # ohm, of the output


class WaveformGenerator(LabInstrument):
    """An 81160A, channel 1.

    Without a burst one trigger plays one cycle. Levels are those at the load that it is told of, 50 ohm by
    default; a junction is none, so it gets (load + 50 ohm) / load times as much: twice, unless the load is set.

    Attributes:
        codes: DAC codes of the waveform in its volatile memory.
    """

    identity: ClassVar[str] = f"Agilent Technologies,81160A,{SIMULATED},1.0.3.0-2.6"
    points: ClassVar[tuple[int, int]] = (2, 262144)
    shortest: ClassVar[float] = 0.4e-9
    table: ClassVar[dict[str, Setting]] = {
        "function": Choice(":FUNCtion#[:SHAPe]", "SIN", ("SINusoid", "SQUare", "PULSe", "USER", "DC")),
        "user": Choice(":FUNCtion#[:SHAPe]:USER", "VOLATILE", ("VOLATILE",)),
        "high": Number("[:SOURce#]:VOLTage#[:LEVel][:IMMediate]:HIGH", 0.5, -10, 10),
        "low": Number("[:SOURce#]:VOLTage#[:LEVel][:IMMediate]:LOW", -0.5, -10, 10),
        "limit_high": Number("[:SOURce#]:VOLTage#:LIMit[:HIGH]", 10.0, -10, 10),
        "limit_low": Number("[:SOURce#]:VOLTage#:LIMit:LOW", -10.0, -10, 10),
        "limited": Switch("[:SOURce#]:VOLTage#:LIMit:STATe", default=False),
        "frequency": Number("[:SOURce#]:FREQuency#[:CW]", 1e3, 1e-6, 500e6),
        "burst": Switch("[:SOURce#]:BURSt#:STATe", default=False),
        "cycles": Number("[:SOURce#]:BURSt#:NCYCles", 1, 1, 1, int),
        "mode": Choice("[:SOURce#]:BURSt#:MODE", "TRIG", ("TRIGgered", "GATed")),
        "arm": Choice(
            ":ARM#[:SEQuence#][:STARt][:LAYer]:SOURce#",
            "IMM",
            ("IMMediate", "INTernal", "INTernal2", "EXTernal", "MANual", "BUS"),
        ),
        "trigger_mode": Choice(":TRIGger#:SOURce#", "IMM", ("IMMediate", "INTernal", "EXTernal", "MANual", "BUS")),
        "output": Switch(":OUTPut#[:STATe]", default=False),
        "load": Number(":OUTPut#:LOAD", 50.0, 0.3, 1e6),
        "complement": Switch(":OUTPut#:COMPlement", default=False),
        "order": Choice(":FORMat:BORDer", "NORM", ("NORMal", "SWAPped")),
    }

    codes: NDArray[np.int64]

    def reset(self) -> None:
        """Also forget the waveform."""
        super().reset()
        self.codes = np.zeros(0, np.int64)

    def change(self, name: str, value: Any) -> None:
        """Set a value; levels obey each other and the limits."""
        new = self.values | {name: value}
        if name in ("high", "low"):
            self._obey(new, name)
        if name == "output" and value:
            self._stay_within(new)
        self.values = new

    def _obey(self, new: dict[str, Any], name: str) -> None:
        """Refuse a level beyond the limits; one on the wrong side of the other level moves that."""
        if new["limited"] and not new["limit_low"] - 1e-9 <= new[name] <= new["limit_high"] + 1e-9:
            raise ScpiError(-222, "Data out of range")
        if new["high"] <= new["low"]:
            self.report(ScpiError(-221, "Settings conflict"))
            other, step = ("low", -0.01) if name == "high" else ("high", 0.01)
            new[other] = new[name] + step

    @command(":DATA#:DAC")
    def _load(self, parameters: list[str], block: bytes | None) -> None:
        if not parameters or parameters[0].upper() != "VOLATILE":
            raise ScpiError(-224, "Illegal parameter value")
        try:
            order = ">i2" if self.values["order"] == "NORM" else "<i2"
            codes = np.frombuffer(block, order) if block else np.array([int(text) for text in parameters[1:]])
        except ValueError:
            raise ScpiError(
                -161 if block else -104, "Invalid block data" if block else "Data type error"
            ) from None
        if len(codes) > self.points[1]:
            raise ScpiError(-223, "Too much data")
        if len(codes) < self.points[0] or np.abs(codes.astype(np.int64)).max() > _TOP:
            raise ScpiError(-222, "Data out of range")
        self.codes = codes.astype(np.int64)

    @command("*TRG", ":TRIGger#[:IMMediate]")
    def _trigger(self, *_: object) -> None:
        values = self.values
        if values["arm"] not in ("MAN", "BUS") or values["function"] != "USER":
            raise ScpiError(-211, "Trigger ignored")
        if not len(self.codes):
            raise STALE
        sample_time = 1 / (values["frequency"] * len(self.codes))
        if sample_time < self.shortest * (1 - 1e-6):
            raise ScpiError(-221, "Settings conflict")
        self._stay_within(values)
        middle, half = (values["high"] + values["low"]) / 2, (values["high"] - values["low"]) / 2
        gain = 1 + _SOURCE / values["load"]
        samples = gain * (middle + half * (self.codes / _TOP))
        self.wiring.play(samples, sample_time, on=values["output"])

    def _stay_within(self, values: dict[str, Any]) -> None:
        """The output refuses levels beyond its own limits."""
        beyond = values["high"] > values["limit_high"] + 1e-9 or values["low"] < values["limit_low"] - 1e-9
        if values["limited"] and beyond:
            raise ScpiError(-221, "Settings conflict")
