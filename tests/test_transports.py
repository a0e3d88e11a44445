"""Transports: sockets and serial lines through PyVISA, PyMeasure's adapters, and records that play back."""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dialogue import ASK, AWG, PREAMBLE, SCOPE, SMU, Script, identity, raised, words
from ipnet.errors import GarbledReply, LostConnection
from ipnet.instrument import INSTRUMENTS
from ipnet.instrument._pymeasure import adapt
from ipnet.instrument._replay import Player, Recorder
from ipnet.instrument._visa import connect
from ipnet.virtual_chip import Chip
from ipnet.virtual_faults import Faults
from ipnet.virtual_lab import VirtualLab

# Through a socket


@pytest.fixture
def served() -> Iterator[Callable[[dict[bytes, bytes]], tuple[str, list[bytes]]]]:
    """A server on loopback that replies to lines by a table; its address and what it has received."""
    server = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(replies: dict[bytes, bytes]) -> tuple[str, list[bytes]]:
        received: list[bytes] = []

        def run() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    received.append(line)
                    connection.sendall(replies.get(line.strip(), b""))

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET", received

    yield serve
    server.close()


def test_dialogue_over_a_socket(served) -> None:
    pytest.importorskip("pyvisa_py")
    block = words(2570, 10, 32768, 33268, 65534)  # with the bytes of a line feed in it
    table = {b"*IDN?": identity(SCOPE)[1].encode() + b"\n", b":WAVeform:DATA?": b"#800000010" + block + b"\n"}
    address, received = served(table | {b":WAVeform:PREamble?": PREAMBLE.encode() + b"\n"})
    transport = connect(address, timeout=2)
    current, _ = INSTRUMENTS[SCOPE](transport).fetch()  # type: ignore[attr-defined]
    np.testing.assert_allclose(current, [1e-3, 2e-3, 1e-3 + 2e-6 * 32766])
    transport.write_binary_values(":DATA:DAC VOLATILE,", [1, -2], datatype="h", is_big_endian=True)
    transport.query("*IDN?")
    transport.close()
    assert received[-2] == b":DATA:DAC VOLATILE,#14\x00\x01\xff\xfe\n"


def test_silent_server_is_a_lost_connection(served) -> None:
    pytest.importorskip("pyvisa_py")
    address, _ = served({})
    transport = connect(address, timeout=0.2)
    with raised("allow it more time", LostConnection):
        INSTRUMENTS[SCOPE](transport)
    transport.close()


# Through a serial line

R_P = 2000.0, 3000.0


def serial_lab(**faults: float) -> VirtualLab:
    """A laboratory whose meter is on a serial line."""
    pytest.importorskip("pyvisa_py")
    if not hasattr(os, "openpty"):
        pytest.skip("needs pseudo-terminals, which this system does not have")
    return VirtualLab(Chip("mtj-thermal", true=[{"R_P": R} for R in R_P]), Faults(**faults), serial=True)


def test_resistances_over_a_serial_line() -> None:
    with serial_lab() as lab:
        transport = connect(lab.resources["meter"], timeout=2)
        meter: Any = INSTRUMENTS[SMU](transport)
        for junction, R in enumerate(R_P):
            meter.select(junction)
            assert meter.resistance(0.02, 1e-3) == pytest.approx(R, rel=0.01)
        transport.close()


@pytest.mark.parametrize("fault", ["time_out", "drop"])
def test_silent_serial_line_is_a_lost_connection(fault: str) -> None:
    with serial_lab(**{fault: 1.0}) as lab:
        transport = connect(lab.resources["meter"], timeout=0.1)
        with raised(r"the keithley_2600 must answer \*IDN\?.*allow it more time", LostConnection):
            INSTRUMENTS[SMU](transport)
        transport.close()


def test_serial_line_that_goes_away_is_a_lost_connection() -> None:
    with serial_lab() as lab:
        transport = connect(lab.resources["meter"], timeout=2)
        meter: Any = INSTRUMENTS[SMU](transport)
    with raised("the keithley_2600 must answer", LostConnection):
        meter.errors()
    transport.close()
    with raised("must answer at 'ASRL.*see that it is on", LostConnection):
        connect(lab.resources["meter"], timeout=0.1)


def test_serial_line_works_on_after_many_replies_that_nobody_read() -> None:
    with serial_lab() as lab:
        for _ in range(2):
            transport = connect(lab.resources["meter"], timeout=5)
            assert transport.query("*IDN?").startswith("Keithley")
            for _ in range(300):  # 16 kB of replies, four times what the line has room for
                transport.write("*IDN?")
            transport.close()


def test_nobody_at_the_address() -> None:
    pytest.importorskip("pyvisa_py")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with raised("see that it is on", LostConnection):
        INSTRUMENTS[SCOPE](connect(f"TCPIP::127.0.0.1::{port}::SOCKET", timeout=1))
    with raised("ASRL", LostConnection):
        connect("ASRL/dev/no-such-port::INSTR", timeout=1)


def test_address_that_is_none() -> None:
    pytest.importorskip("pyvisa_py")
    with raised("must have a VISA address.*got 'the scope'"):
        connect("the scope")
    with raised("more than 0 s"):
        connect("TCPIP::127.0.0.1::1::SOCKET", timeout=0)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("pyvisa", lambda: connect("ASRL1::INSTR")),
        ("serial", lambda: connect("ASRL1::INSTR")),
        ("pymeasure", None),
    ],
)
def test_missing_package_is_named(module: str, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with raised(r'pip install "mtj-ipnet\[lab\]"'):
        (call or (lambda: adapt(object())))()


def test_pymeasure_adapter() -> None:
    adapters = pytest.importorskip("pymeasure.adapters")
    script = [
        identity(SCOPE),
        *((message, None) for message in ASK),
        (":WAVeform:PREamble?", PREAMBLE),
        (":WAVeform:DATA?", b"#210" + words(2570, 3, 32768, 33268, 65534)),
        (b":DATA:DAC VOLATILE,#14\x00\x01\xff\xfe", None),
        ("?", "x"),
    ]
    adapter = adapters.ProtocolAdapter(script)
    transport = adapt(adapter)
    current, _ = INSTRUMENTS[SCOPE](transport).fetch()  # type: ignore[attr-defined]
    np.testing.assert_allclose(current[:2], [1e-3, 2e-3])
    transport.write_binary_values(":DATA:DAC VOLATILE,", np.array([1, -2]))
    with raised("block of IEEE 488.2", GarbledReply):
        transport.query_binary_values("?")
    with raised("instrument or adapter of PyMeasure is wanted; got int"):
        adapt(3)


def test_pymeasure_instrument_over_a_socket(served) -> None:
    instruments = pytest.importorskip("pymeasure.instruments")
    address, _ = served({b"*IDN?": identity(AWG)[1].encode() + b"\n"})
    ends = {"read_termination": "\n", "write_termination": "\n"}
    instrument = instruments.Instrument(
        address, "any", includeSCPI=False, visa_library="@py", timeout=2000, **ends
    )
    assert INSTRUMENTS[AWG](adapt(instrument)).idn.startswith("Agilent Technologies,81160A")
    instrument.adapter.close()


# Records


def play(transport: Any) -> tuple[Any, ...]:
    """All kinds of calls, with a lost reply and another connection."""
    digitiser: Any = INSTRUMENTS[SCOPE](transport)
    current, sample_time = digitiser.fetch()
    with pytest.raises(LostConnection) as lost:
        digitiser.state()
    with pytest.raises(GarbledReply) as garbled:
        digitiser.state()
    transport.write_binary_values(":DATA:DAC VOLATILE,", [1, -2])
    transport.close()
    return tuple(current), sample_time, str(lost.value), str(garbled.value)


@pytest.fixture
def record(tmp_path: Path) -> tuple[Path, tuple[Any, ...]]:
    path = tmp_path / "scope.jsonl"
    dialogue = (
        *ASK,
        (":WAVeform:PREamble?", PREAMBLE),
        (":WAVeform:DATA?", words(2, 3, 32768, 33268, 65534)),
        (":CHANnel1:LABel?", TimeoutError("late")),
        (":CHANnel1:LABel?", UnicodeDecodeError("ascii", b"\xff", 0, 1, "no text")),
        b":DATA:DAC VOLATILE,\x00\x01\xff\xfe",
    )
    return path, play(Recorder(Script(identity(SCOPE), *dialogue), path))


def test_record_plays_exactly(record: tuple[Path, tuple[Any, ...]]) -> None:
    path, outcome = record
    player = Player(path)
    again = play(player.open())
    player.finish()
    assert again == outcome


def test_second_connection_is_appended(record: tuple[Path, tuple[Any, ...]]) -> None:
    path, _ = record
    recorder = Recorder(Script("*TRG"), path)
    recorder.write("*TRG")
    recorder.close()
    player = Player(path)
    play(player.open())
    with raised("expected open '.*got the end"):
        player.finish()
    player.open().write("*TRG")
    player.close()
    player.finish()
    with raised("expected the end; got write"):
        player.write("*TRG")


def test_single_changed_byte_is_found(record: tuple[Path, tuple[Any, ...]]) -> None:
    path, _ = record
    player = Player(path).open()
    digitiser: Any = INSTRUMENTS[SCOPE](player)
    digitiser.fetch()
    for _ in range(2):
        with pytest.raises((LostConnection, GarbledReply)):
            digitiser.state()
    with raised(r"entry 13 expected write_block ':DATA:DAC VOLATILE,' and 4 bytes .sum 510.; got .*sum 509"):
        player.write_binary_values(":DATA:DAC VOLATILE,", [1, -3])
    with raised("got query"):
        player.query(":DATA:DAC VOLATILE,")
    player.write_binary_values(":DATA:DAC VOLATILE,", [1, -2])


def test_other_message_is_found(record: tuple[Path, tuple[Any, ...]]) -> None:
    path, _ = record
    player = Player(path).open()
    with raised(r"scope.jsonl must be played.*entry 2 expected query '\*IDN\?'; got query '\*IDN'"):
        player.query("*IDN")


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        '{"send": "x"}',
        '{"call": "write_block", "send": "x", "type": ">h", "block": "AAE."}',
        '{"call": "query_block", "send": "x", "type": ">h", "receive": "AAE."}',
        '{"call": "write_block", "send": "x", "type": ">h", "block": 1}',
    ],
)
def test_file_that_is_no_record(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text, "utf-8")
    with raised("must be a recorded dialogue"):
        Player(tmp_path / "x")
    with raised("must be a recorded dialogue"):
        Player(tmp_path / "missing")
