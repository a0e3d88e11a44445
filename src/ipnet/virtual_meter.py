"""The source-measure unit of the virtual laboratory: a Keithley 2600 that speaks TSP, and whose port selects.

It understands assignments, calls and ``print`` of the commands below, one statement after the other, and no Lua.

References:
    Keithley Series 2600B System SourceMeter Instruments, Reference Manual (2600BS-901-01), "TSP command
    reference"; numbers are printed with 6 digits, an empty error queue gives code 0, "Queue Is Empty".
"""

import re
from collections import deque
from typing import ClassVar

from ipnet.instrument import SIMULATED
from ipnet.virtual_instruments import Wiring
from ipnet.virtual_scpi import Interpreter

_NAME = r"[A-Za-z_][\w.]*"
_WORDS = {
    "smua.OUTPUT_DCVOLTS": 1.0,
    "smua.OUTPUT_DCAMPS": 0.0,
    "smua.OUTPUT_ON": 1.0,
    "smua.OUTPUT_OFF": 0.0,
    "smua.OUTPUT_HIGH_Z": 2.0,
    "smua.AUTORANGE_ON": 1.0,
    "smua.AUTORANGE_OFF": 0.0,
    "smua.SENSE_LOCAL": 0.0,
    "smua.SENSE_REMOTE": 1.0,
    "smua.AUTOZERO_OFF": 0.0,
    "smua.AUTOZERO_ONCE": 1.0,
    "smua.AUTOZERO_AUTO": 2.0,
    "smua.FILTER_OFF": 0.0,
    "display.SMUA": 0.0,
    "display.MEASURE_DCAMPS": 0.0,
}
_RESET = {
    "smua.source.func": 1.0,
    "smua.source.levelv": 0.0,
    "smua.source.limiti": 0.1,
    "smua.source.limitv": 20.0,
    "smua.source.rangev": 0.2,
    "smua.source.rangei": 1e-7,
    "smua.source.autorangev": 1.0,
    "smua.source.autorangei": 1.0,
    "smua.source.delay": 0.0,
    "smua.source.output": 0.0,
    "smua.source.offmode": 0.0,
    "smua.measure.nplc": 1.0,
    "smua.measure.rangei": 1e-3,
    "smua.measure.rangev": 0.2,
    "smua.measure.autorangei": 1.0,
    "smua.measure.autorangev": 1.0,
    "smua.measure.autozero": 2.0,
    "smua.measure.count": 1.0,
    "smua.measure.filter.enable": 0.0,
    "smua.sense": 0.0,
    "format.asciiprecision": 6.0,
    "beeper.enable": 1.0,
    "display.smua.measure.func": 0.0,
}
_RANGES = {
    "smua.source.levelv": (-40.0, 40.0),
    "smua.source.limiti": (1e-9, 3.0),
    "smua.measure.nplc": (1e-3, 25.0),
}
INVALID = 9.91e37  # what stands for "not a number"
_NOISE = 2e-4  # of a reading


class TspError(Exception):
    """A number and a text for the error queue."""


class SourceMeter(Interpreter):
    """A 2602B, channel A on the selected junction; its digital port drives the multiplexer.

    ``digio.writeport(n)`` selects junction n, counted from 0; a number that no junction has selects none.
    """

    identity: ClassVar[str] = f"Keithley Instruments Inc., Model 2602B, {SIMULATED}, 3.4.0"

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, self.values, self.port = wiring, dict(_RESET), 0
        self.queue: deque[tuple[int, str, int]] = deque(maxlen=100)
        self.invalid = False

    def execute(self, message: bytes, *, invalid: bool = False) -> bytes:
        """The statements of a line; a mistake goes to the error queue and ends it."""
        self.invalid = invalid
        answers = []
        try:
            for statement in message.decode("ascii", "replace").split(";"):
                if statement.strip():
                    answers += self._statement(statement.strip())
        except TspError as error:
            self.queue.append((error.args[0], error.args[1], 20))
        return "\n".join(answers).encode()

    def _statement(self, text: str) -> list[str]:
        common = {"*IDN?": [self.identity], "*OPC?": ["1"], "*RST": [], "*CLS": [], "*WAI": [], "*OPC": []}
        if text.upper() in common:
            if text.upper() == "*CLS":
                self.queue.clear()
            if text.upper() == "*RST":
                self._reset()
            return common[text.upper()]
        if found := re.fullmatch(rf"({_NAME})\s*=\s*(.+)", text):
            self._assign(found[1], self._evaluate(found[2])[0])
            return []
        if found := re.fullmatch(r"print\s*\((.*)\)", text):
            parts = re.split(r",(?![^(]*\))", found[1])
            return ["\t".join(self._show(value) for part in parts for value in self._evaluate(part.strip()))]
        if re.fullmatch(rf"{_NAME}\s*\(.*\)", text):
            self._evaluate(text)
            return []
        raise TspError(-285, f"TSP Syntax error at line 1: unexpected symbol near `{text[:20]}'")

    def _assign(self, name: str, value: float | str) -> None:
        if name not in _RESET:
            raise TspError(-286, f"TSP Runtime error at line 1: attempt to set unknown attribute `{name}'")
        low, high = _RANGES.get(name, (-1e12, 1e12))
        if isinstance(value, str) or not low <= value <= high:
            raise TspError(1102 if name.endswith("levelv") else 802, "Parameter too big")
        self.values[name] = value

    def _evaluate(self, text: str) -> list[float | str]:
        """The values of an expression."""
        if found := re.fullmatch(rf"({_NAME})\s*\((.*)\)", text):
            return self._call(found[1], found[2].strip())
        for known in (self.values, _WORDS):
            if text in known:
                return [known[text]]
        if text == "errorqueue.count":
            return [float(len(self.queue))]
        if text == "smua.source.compliance":
            return ["true" if self._measure()[2] else "false"]
        try:
            return [float(text)]
        except ValueError:
            raise TspError(-286, f"TSP Runtime error at line 1: unknown value `{text[:40]}'") from None

    def _call(self, name: str, argument: str) -> list[float | str]:
        if name == "digio.writeport":
            self._select(self._evaluate(argument)[0])
        elif name in ("smua.reset", "reset"):
            self._reset()
        elif name == "errorqueue.clear":
            self.queue.clear()
        elif name == "errorqueue.next":
            number, text, severity = self.queue.popleft() if self.queue else (0, "Queue Is Empty", 0)
            return [float(number), text, float(severity), 1.0]
        elif name == "digio.readport":
            return [float(self.port)]
        elif name.startswith("smua.measure."):
            return self._reading(name.rpartition(".")[2])
        elif name not in ("waitcomplete", "delay", "status.reset", "smua.nvbuffer1.clear", "beeper.beep"):
            raise TspError(-286, f"TSP Runtime error at line 1: attempt to call `{name}' (a nil value)")
        return []

    def _select(self, value: float | str) -> None:
        if isinstance(value, str) or not 0 <= value < 2**14 or value != int(value):
            raise TspError(-222, "Parameter data out of range")
        self.port = self.wiring.selected = int(value)

    def _reset(self) -> None:
        """The channel's settings; the digital port stays as it is."""
        self.values = dict(_RESET)

    def _reading(self, kind: str) -> list[float | str]:
        voltage, current, _ = self._measure()
        readings: dict[str, list[float | str]] = {
            "i": [current],
            "v": [voltage],
            "r": [voltage / current if current else INVALID],
            "iv": [current, voltage],
            "p": [current * voltage],
        }
        if kind not in readings:
            raise TspError(
                -286, f"TSP Runtime error at line 1: attempt to call `smua.measure.{kind}' (a nil value)"
            )
        return [INVALID] * len(readings[kind]) if self.invalid else readings[kind]

    def _measure(self) -> tuple[float, float, bool]:
        """Voltage [V], current [A], and whether the limit was reached; the voltage is on while it integrates."""
        if self.values["smua.source.output"] != 1:  # off, or high impedance
            return 0.0, 0.0, False
        chip, V = self.wiring.chip, self.values["smua.source.levelv"]
        current = chip.hold(self.wiring.selected, V, self.values["smua.measure.nplc"] / 50)
        limit = self.values["smua.source.limiti"]
        if abs(current) > limit:
            return V * limit / abs(current), limit if current > 0 else -limit, True
        spread = _NOISE * float(chip.noise(1, 1.0)[0]) / (chip.nominal.card.clock.I_noise or 1.0)
        return V, current * (1 + spread), False

    def _show(self, value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.{int(self.values['format.asciiprecision']) - 1}e}"
