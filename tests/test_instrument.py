"""Each driver as a transcript of what it sends and receives."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from dialogue import ASK, AWG, PREAMBLE, SCOPE, SMU, Script, identity, raised, words
from ipnet.errors import GarbledReply, LostConnection, UnreadableError
from ipnet.instrument import INSTRUMENTS, Digitiser, Generator, Meter

NO_ERROR = (":SYST:ERR?", '+0,"No error"')
DONE = ("*OPC?", "1")
QUIET = ("print(errorqueue.next())", "0.00000e+00\tQueue Is Empty\t0.00000e+00\t0.00000e+00")


@contextmanager
def on(name: str, *dialogue: Any) -> Iterator[Any]:
    """A driver whose dialogue after the identity must be this one, to its end."""
    script = Script(identity(name), *dialogue)
    yield INSTRUMENTS[name](script)
    assert script.left == []


# The generator

LIMITS = (
    ":OUTP OFF",
    ":OUTP:LOAD 1E6",
    ":VOLT:LIM:STAT OFF",
    ":VOLT:HIGH 8.000000E-01",
    ":VOLT:LOW -8.000000E-01",
    ":VOLT:LIM:HIGH 8.000000E-01",
    ":VOLT:LIM:LOW -8.000000E-01",
    ":VOLT:LIM:STAT ON",
    NO_ERROR,
)
LOAD = (
    ":OUTP OFF",
    ":BURS:STAT OFF",
    ":ARM:SOUR MAN",
    ":FORM:BORD NORM",
    b":DATA:DAC VOLATILE,\x00\x00\x1f\xff\xe0\x01\xf0\x00\x00\x00",  # 0, 8191, -8191, -4096, 0
    ":FUNC:USER VOLATILE",
    ":FUNC USER",
    ":FREQ 2.000000000000E+07",
    DONE,
    NO_ERROR,
)
WAVEFORM = np.array([0, 0.8, -0.8, -0.4, 0])


def test_generator_plays_a_waveform_once() -> None:
    with on(AWG, *LIMITS, *LOAD, ":OUTP ON", DONE, "*TRG", ":OUTP OFF") as generator:
        assert isinstance(generator, Generator)
        generator.limit(-0.8, 0.8)
        generator.load(WAVEFORM, 10e-9, "batch 1")
        generator.trigger()
        generator.park()


def test_unequal_limits_fill_the_converter() -> None:
    limits = [m.replace("HIGH 8.0", "HIGH 2.0") if isinstance(m, str) else m for m in LIMITS]
    load = list(LOAD)
    load[4] = b":DATA:DAC VOLATILE," + struct.pack(">4h", 4915, 8191, -8191, 4915)  # 0 V: 0.6 of the half range
    load[7] = ":FREQ 2.500000000000E+07"
    with on(AWG, *limits, *load) as generator:
        generator.limit(-0.8, 0.2)
        generator.load(np.array([0, 0.2, -0.8, 0]), 10e-9, "b")


def test_generator_on_a_new_connection_asks_what_it_holds() -> None:
    held = (":FUNC?", "USER"), (":FUNC:USER?", "VOLATILE"), (":ARM:SOUR?", "MAN")
    with on(AWG, *LIMITS, *held, ":OUTP ON", DONE, "*TRG") as generator:
        generator.limit(-0.8, 0.8)
        generator.trigger()
    with on(AWG, *LIMITS, (":FUNC?", "SIN")) as generator:
        generator.limit(-0.8, 0.8)
        with raised(r":FUNC\? must answer USER.*got 'SIN': load again"):
            generator.trigger()


BAD_WAVEFORMS: dict[str, tuple[Any, float, str, str]] = {
    "above": ([0, 0.81, 0], 1e-8, "b", r"highest sample \[V\] must lie in \[-0.8, 0.8\]; got 0.81"),
    "below": ([0, -0.81, 0], 1e-8, "b", "lowest sample"),
    "one sample": ([0], 1e-8, "b", r"2 to 131072 samples; got \[1\]"),
    "two axes": ([[0, 0], [0, 0]], 1e-8, "b", r"got \[2, 2\]"),
    "too many": (np.zeros(131_073), 1e-8, "b", r"got \[131073\]"),
    "not a number": ([0, np.nan, 0], 1e-8, "b", "finite"),
    "begins above": ([0.1, 0.1, 0], 1e-8, "b", "begin and end at 0 V.*got 0.1 V and 0 V"),
    "ends above": ([0, 0.1, 0.1], 1e-8, "b", "begin and end at 0 V"),
    "too fast": ([0, 0.1, 0], 0.3e-9, "b", r"sample time \[s\] must lie in"),
    "too slow": ([0, 0.1, 0], 8.0, "b", "sample time"),
    "too short": ([0, 0.1, 0], 0.9e-9, "b", "length of the waveform"),
    "no time": ([0, 0.1, 0], float("nan"), "b", "sample time"),
    "name": ([0, 0.1, 0], 1e-8, 'a "b"', "1 to 32 plain characters"),
    "no name": ([0, 0.1, 0], 1e-8, "", "1 to 32 plain characters"),
}


@pytest.mark.parametrize("case", list(BAD_WAVEFORMS))
def test_bad_waveform_is_refused_before_anything_is_sent(case: str) -> None:
    samples, sample_time, name, sentence = BAD_WAVEFORMS[case]
    with on(AWG, *LIMITS) as generator:
        generator.limit(-0.8, 0.8)
        with raised(sentence):
            generator.load(np.array(samples), sample_time, name)


@pytest.mark.parametrize(
    ("low", "high"), [(-11, 1), (-1, 11), (0.1, 1), (-1, -0.1), (-0.02, 0.02), (-6, 6), (float("nan"), 1)]
)
def test_limits_that_the_generator_cannot_have(low: float, high: float) -> None:
    with on(AWG) as generator, raised("limit"):
        generator.limit(low, high)


def test_nothing_is_driven_without_limits() -> None:
    with on(AWG) as generator:
        for call in (generator.trigger, lambda: generator.load(WAVEFORM, 1e-8, "b")):
            with raised("must have limits before"):
                call()


def test_refused_limits_do_not_count() -> None:
    dialogue = [*LIMITS[:-1], (":SYST:ERR?", '+222,"Data out of range"'), NO_ERROR]
    with on(AWG, *LIMITS, *dialogue) as generator:
        generator.limit(-0.8, 0.8)
        with raised("got 222 Data out of range"):
            generator.limit(-0.8, 0.8)
        with raised("must have limits"):
            generator.trigger()


def test_waveform_that_failed_to_load_is_not_played() -> None:
    with on(AWG, *LIMITS, *LOAD[:8], ("*OPC?", TimeoutError("late"))) as generator:
        generator.limit(-0.8, 0.8)
        with raised("late", LostConnection):
            generator.load(WAVEFORM, 10e-9, "batch 1")
        with raised("must hold a waveform"):
            generator.trigger()


def test_other_limits_would_stretch_the_waveform() -> None:
    others = [m.replace("8.0", "9.0") if isinstance(m, str) else m for m in LIMITS]
    with on(AWG, *LIMITS, *LOAD, *LIMITS, ":OUTP ON", DONE, "*TRG", *others) as generator:
        generator.limit(-0.8, 0.8)
        generator.load(WAVEFORM, 10e-9, "batch 1")
        generator.limit(-0.8, 0.8)
        generator.trigger()
        generator.limit(-0.9, 0.9)
        with raised("call load first"):
            generator.trigger()


# The meter

READY = (
    "smua.reset()",
    "smua.source.output = smua.OUTPUT_HIGH_Z",
    "smua.source.func = smua.OUTPUT_DCVOLTS",
    "smua.measure.nplc = 1",
)
SET = ("smua.source.limiti = 1.000000e-04", "smua.source.levelv = 2.000000e-02", QUIET)
PARKED = ("smua.source.levelv = 0", "smua.source.output = smua.OUTPUT_HIGH_Z")
MEASURE = "print(smua.measure.i())"
ON = "smua.source.output = smua.OUTPUT_ON"


def test_meter_measures_twice_and_selects() -> None:
    measured = (*SET, ON, (MEASURE, "1.00000e-05"), *PARKED, QUIET)
    chosen = "smua.source.output = smua.OUTPUT_HIGH_Z", "digio.writeport(5)", QUIET
    with on(SMU, *chosen, *READY, *measured, *measured) as meter:
        assert isinstance(meter, Meter)
        meter.select(5)
        assert meter.resistance(0.02, 1e-4) == pytest.approx(2000)
        assert meter.resistance(0.02, 1e-4) == pytest.approx(2000)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("1.00000e-04", "must stay below its limit of 0.0001 A"),
        ("-2.0e-06", "must flow as the voltage says"),
        ("0.00000e+00", "must flow as the voltage says"),
    ],
)
def test_current_that_says_something_is_wrong(reply: str, sentence: str) -> None:
    with on(SMU, *READY, *SET, ON, (MEASURE, reply), *PARKED, QUIET) as meter, raised(sentence, UnreadableError):
        meter.resistance(0.02, 1e-4)


@pytest.mark.parametrize("reply", ["9.91000e+37", "nan", "1.0e-", "", "TSP>", "1e-5 1e-5"])
def test_no_current_parks_the_meter(reply: str) -> None:
    with (
        on(SMU, *READY, *SET, ON, (MEASURE, reply), *PARKED) as meter,
        raised(re.escape(f"got '{reply}'"), GarbledReply),
    ):
        meter.resistance(0.02, 1e-4)


def test_lost_meter_is_parked_if_it_can_be() -> None:
    dialogue = *READY, *SET, ON, (MEASURE, TimeoutError("timed out")), (PARKED[0], OSError("gone"))
    with on(SMU, *dialogue) as meter, raised("got TimeoutError .timed out.", LostConnection):
        meter.resistance(0.02, 1e-4)


@pytest.mark.parametrize(("V", "limit"), [(0, 1e-4), (1.1, 1e-4), (float("nan"), 1e-4), (0.1, 0), (0.1, 1)])
def test_voltage_and_limit_of_the_meter(V: float, limit: float) -> None:
    with on(SMU) as meter, raised("must lie in"):
        meter.resistance(V, limit)


@pytest.mark.parametrize("junction", [-1, 16384])
def test_port_has_14_lines(junction: int) -> None:
    with on(SMU) as meter, raised(f"got {junction}"):
        meter.select(junction)


@pytest.mark.parametrize("model", ["2604B", "2614B", "2634B", "2450", "26021B"])
def test_model_without_a_port_is_refused(model: str) -> None:
    script = Script(("*IDN?", f"Keithley Instruments Inc., Model {model}, 1, 3.2.1"))
    with raised("name another driver"):
        INSTRUMENTS[SMU](script)


def test_garbled_error_queue() -> None:
    with on(SMU, ("print(errorqueue.next())", "\x00?")) as meter, raised("got '\x00", GarbledReply):
        meter.errors()
    endless = [("print(errorqueue.next())", "5\toops\t1\t1")] * 100
    with on(SMU, *endless) as meter, raised("must run out of errors"):
        meter.errors()


# The digitiser

ARM = (
    ':CHANnel1:LABel "-"',
    ":STOP",
    ":TRIGger:MODE EDGE",
    ":TRIGger:SWEep NORMal",
    ":TRIGger:EDGE:SOURce EXTernal",
    ":TIMebase:REFerence CENTer",
    ":CHANnel1:UNITs AMP",
    ":TIMebase:RANGe 1.000000000E-03",
    ":TIMebase:POSition 5.000000000E-04",
    ":CHANnel1:RANGe 2.000000E-03",
    NO_ERROR,
    (":AER?", "1"),
    ":SINGle",
    (":AER?", "0"),
    (":AER?", "1"),
    ':CHANnel1:LABel "b7"',
    (":CHANnel1:LABel?", '"b7"'),
)


def test_digitiser_records_once() -> None:
    record = (*ASK, (":WAVeform:PREamble?", PREAMBLE), (":WAVeform:DATA?", words(2, 3, 32768, 33268, 65534)))
    states = (
        ((":CHANnel1:LABel?", '"b7"'), (":OPERegister:CONDition?", "+40")),
        (
            (":CHANnel1:LABel?", '"b7"'),
            (":OPERegister:CONDition?", "32"),
        ),
    )
    with on(SCOPE, *ARM, *states[0], *states[1], *record, *record) as digitiser:
        assert isinstance(digitiser, Digitiser)
        digitiser.arm(1e-3, 2e-3, "b7")
        assert digitiser.state() == ("b7", False)
        assert digitiser.state() == ("b7", True)
        for _ in range(2):  # two samples stand before the trigger
            current, sample_time = digitiser.fetch()
            np.testing.assert_allclose(current, [1e-3, 2e-3, 1e-3 + 2e-6 * 32766])
            assert sample_time == 1e-8
        digitiser.park()


def test_label_is_gone_until_the_trigger_can_come() -> None:
    """Else a stopped oscilloscope with the label of a batch would not mean that the batch was played."""
    set_up = [message for message in ARM if isinstance(message, str)]
    assert set_up[0] == ':CHANnel1:LABel "-"'
    assert set_up[-2:] == [":SINGle", ':CHANnel1:LABel "b7"']


def test_label_that_is_not_kept() -> None:
    with on(SCOPE, *ARM[:-1], (":CHANnel1:LABel?", '"B7"')) as digitiser, raised("keep the label 'b7'; got 'B7'"):
        digitiser.arm(1e-3, 2e-3, "b7")


def test_digitiser_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipnet.instrument.keysight_infiniivision._PATIENCE", -1.0)
    with on(SCOPE, *ARM[:14]) as digitiser, raised("must wait for its trigger"):
        digitiser.arm(1e-3, 2e-3, "b7")


@pytest.mark.parametrize(
    ("preamble", "data", "sentence"),
    [
        (PREAMBLE, words(2, 3, 4, 5), "got '4 words instead of 5'"),
        (PREAMBLE, words(2, 3, 0, 5, 6), "holes"),
        (PREAMBLE, words(2, 3, 1, 5, 6), "clipped"),
        (PREAMBLE, words(2, 3, 65535, 5, 6), "clipped"),
        (PREAMBLE.replace("+1.0E-08", "0"), None, "PREamble"),
        (PREAMBLE.replace("+1.0E-08", "NAN"), None, "PREamble"),
        (PREAMBLE.replace("+1,+0", "+0,+0"), None, "PREamble"),
        (PREAMBLE[:30], None, "PREamble"),
        ("?", None, r"got '\?'"),
    ],
)
def test_record_that_is_none(preamble: str, data: bytes | None, sentence: str) -> None:
    asked = [(":WAVeform:DATA?", data)] if data else []
    kind = UnreadableError if sentence in ("holes", "clipped") else GarbledReply
    with on(SCOPE, *ASK, (":WAVeform:PREamble?", preamble), *asked) as digitiser, raised(sentence, kind):
        digitiser.fetch()


@pytest.mark.parametrize("reply", ["8.5", "-8", "x"])
def test_register_that_is_none(reply: str) -> None:
    dialogue = (":CHANnel1:LABel?", '"b7"'), (":OPERegister:CONDition?", reply)
    with on(SCOPE, *dialogue) as digitiser, raised("CONDition", GarbledReply):
        digitiser.state()


@pytest.mark.parametrize(
    ("duration", "full", "name"), [(1e-9, 1e-3, "b"), (1, 0, "b"), (1, 1e-3, "b\n"), (float("nan"), 1, "b")]
)
def test_digitiser_refuses_before_anything_is_sent(duration: float, full: float, name: str) -> None:
    with on(SCOPE) as digitiser, raised("must"):
        digitiser.arm(duration, full, name)


# What all share


@pytest.mark.parametrize("name", list(INSTRUMENTS))
@pytest.mark.parametrize(
    "failure", [TimeoutError("late"), ConnectionResetError("gone"), BrokenPipeError(), EOFError()]
)
def test_lost_connection(name: str, failure: Exception) -> None:
    with raised("see that it is on and connected", LostConnection):
        INSTRUMENTS[name](Script(("*IDN?", failure)))


def test_reply_that_is_no_text() -> None:
    failure = UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range(128)")
    with raised("ordinal not in range", GarbledReply):
        INSTRUMENTS[AWG](Script(("*IDN?", failure)))


def test_visa_errors_are_lost_connections() -> None:
    pyvisa = pytest.importorskip("pyvisa")  # an extra: the drivers do not need it
    late = pyvisa.errors.VisaIOError(pyvisa.constants.StatusCode.error_timeout)
    with raised("VI_ERROR_TMO", LostConnection):
        INSTRUMENTS[AWG](Script(("*IDN?", late)))


def test_message_without_a_source_would_be_found() -> None:
    """What the transcripts above send is all in the drivers' lists of sources."""
    sent = {AWG: (*LIMITS, *LOAD, ":OUTP ON", "*TRG", ":FUNC?", ":FUNC:USER?", ":ARM:SOUR?")}
    sent |= {SMU: (*READY, *SET, ON, MEASURE, *PARKED, "digio.writeport(5)")}
    sent |= {SCOPE: (*ARM, *ASK, ":OPERegister:CONDition?", ":WAVeform:PREamble?", ":WAVeform:DATA?")}
    for name, messages in sent.items():
        for entry in messages:
            message = entry[0] if isinstance(entry, tuple) else entry
            text = message.decode("latin-1") if isinstance(message, bytes) else message
            assert text.startswith(tuple(INSTRUMENTS[name].sources)), text
