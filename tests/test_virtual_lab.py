"""The virtual laboratory, over its sockets, as a client on a bench meets it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from ipnet.errors import IPNetError
from ipnet.virtual_chip import Chip, Fate
from ipnet.virtual_faults import Faults, chip_with, read_faults
from ipnet.virtual_lab import VirtualLab

DT = 10e-9


class Client:
    """A plain socket."""

    def __init__(self, lab, name):
        self.socket = socket.create_connection(("127.0.0.1", lab.ports[name]), timeout=5)
        self.file = self.socket.makefile("rb")

    def write(self, message):
        self.socket.sendall((message if isinstance(message, bytes) else message.encode()) + b"\n")

    def read(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError
        return line.rstrip(b"\n").decode("ascii")

    def query(self, message):
        self.write(message)
        return self.read()

    def block(self, message):
        self.write(message)
        assert self.file.read(1) == b"#"
        length = int(self.file.read(int(self.file.read(1))))
        data = self.file.read(length)
        assert self.file.read(1) == b"\n"
        return data

    def close(self):
        self.file.close()
        self.socket.close()


class Bench:
    """The three instruments of a laboratory."""

    def __init__(self, lab):
        self.generator, self.meter, self.scope = (Client(lab, name) for name in lab.ports)

    def setup(self):
        for text in (":FUNC USER", ":FUNC:USER VOLATILE", ":BURS:STAT ON", ":BURS:NCYC 1", ":ARM:SOUR BUS"):
            self.generator.write(text)
        self.generator.write(":OUTP:LOAD 1E6;:VOLT:HIGH 0.4;:VOLT:LOW -0.4;:OUTP ON")
        for text in (":TIM:REF LEFT", ":CHAN1:RANG 100E-6", ":WAV:SOUR CHAN1", ":WAV:FORM WORD", ":ACQ:TYPE HRES"):
            self.scope.write(text)
        return self

    def load(self, samples):
        codes = np.rint(np.asarray(samples) / 0.4 * 8191).astype(">i2").tobytes()
        head = str(len(codes))
        self.generator.write(f":DATA:DAC VOLATILE,#{len(head)}{head}".encode() + codes)
        self.generator.write(f":FREQ {1 / (len(samples) * DT):.12E}")
        self.scope.write(f":TIM:RANG {len(samples) * DT:.9E};:TIM:POS {len(samples) * DT / 10:.9E}")

    def play(self, name):
        self.scope.write(f':CHAN1:LAB "{name}";:SING')
        assert self.scope.query("*OPC?") == "1"
        self.generator.write("*TRG")
        assert self.generator.query("*OPC?") == "1"

    def fetch(self):
        preamble = [float(part) for part in self.scope.query(":WAV:PRE?").split(",")]
        data = np.frombuffer(self.scope.block(":WAV:DATA?"), ">u2")
        assert preamble[0] == 1
        assert preamble[2] == len(data)
        return (data - preamble[9]) * preamble[7] + preamble[8], preamble[4], preamble[5]

    def errors(self):
        return [client.query(":SYST:ERR?") for client in (self.generator, self.scope)]


@pytest.fixture
def lab():
    with VirtualLab(Chip("mtj-thermal", 4, seed=1, true=[{}] * 4)) as lab:
        yield lab


def test_identities_look_like_the_real_ones_but_for_their_serial_numbers(lab):
    bench = Bench(lab)
    assert re.fullmatch(
        r"(Agilent|Keysight) Technologies,81160A,SIMULATED,[\d.-]+", bench.generator.query("*IDN?")
    )
    assert re.fullmatch(r"Keithley Instruments Inc., Model 26\d\dB, SIMULATED, [\d.]+", bench.meter.query("*IDN?"))
    assert re.fullmatch(r"KEYSIGHT TECHNOLOGIES,MSO-X \d+A,SIMULATED,[\d.]+", bench.scope.query("*IDN?"))
    assert re.fullmatch(r"TCPIP::127\.0\.0\.1::\d+::SOCKET", lab.resources["digitiser"])


def test_a_waveform_comes_back_as_current(lab):
    bench = Bench(lab).setup()
    bench.load([0.0] * 5 + [-0.05] * 50 + [0.4] * 20 + [-0.05] * 50 + [-0.4] * 20 + [-0.05] * 50 + [0.0] * 5)
    bench.play("first")
    assert bench.scope.query(":OPERegister:CONDition?") == "+0"
    current, step, start = bench.fetch()
    assert start == pytest.approx(0, abs=1e-12)
    middles = (np.array([30, 100, 170]) * DT / step).astype(int)
    width = int(30 * DT / step) // 2
    R_AP = float(lab.chip.nominal.resistance(lab.chip.nominal.V_read, antiparallel=True))
    seen = [current[at - width : at + width].mean() for at in middles]
    assert seen == pytest.approx([-0.05 / 2530, -0.05 / R_AP, -0.05 / 2530], rel=0.03)
    assert current[int(65 * DT / step)] > 49e-6  # clipped at the end of the range
    again, *_ = bench.fetch()
    np.testing.assert_array_equal(current, again)
    assert bench.errors() == ['+0,"No error"'] * 2


def test_the_scope_tells_armed_from_recorded_and_keeps_its_label(lab):
    bench = Bench(lab).setup()
    bench.load([0.1] * 10)
    bench.scope.write(':CHAN1:LAB "batch 7"')
    bench.scope.write(":SINGle")
    assert int(bench.scope.query(":OPER:COND?")) & 1 << 3
    assert bench.scope.query(":AER?") == "+1"
    assert bench.scope.query(":TER?") == "+0"
    bench.generator.write("*TRG")
    bench.generator.query("*OPC?")
    other = Client(lab, "digitiser")  # a new connection sees the same instrument
    assert not int(other.query(":OPER:COND?")) & 1 << 3
    assert other.query(":CHANnel1:LABel?") == '"batch 7"'
    assert [other.query(":TER?") for _ in range(2)] == ["+1", "+0"]  # it clears itself


@pytest.mark.parametrize(("form", "unsigned", "kind"), [("BYTE", 1, "u1"), ("BYTE", 0, "i1"), ("WORD", 0, "<i2")])
def test_other_formats_of_a_record(lab, form, unsigned, kind):
    bench = Bench(lab).setup()
    bench.load([-0.05] * 20)
    bench.play("x")
    bench.scope.write(f":WAV:FORM {form};:WAV:UNS {unsigned};:WAV:BYT LSBF")
    preamble = [float(part) for part in bench.scope.query(":WAV:PRE?").split(",")]
    data = np.frombuffer(bench.scope.block(":WAV:DATA?"), kind)
    assert ((data - preamble[9]) * preamble[7]).mean() == pytest.approx(-0.05 / 2530, rel=0.05)


def test_the_meter_measures_and_selects():
    with VirtualLab(Chip("mtj-thermal", 2, true=[{"R_P": 2000.0}, {"R_P": 3000.0}])) as lab:
        meter = Client(lab, "meter")
        for text in (
            "smua.reset()",
            "smua.source.func = smua.OUTPUT_DCVOLTS",
            "smua.source.limiti = 100e-6",
            "smua.source.levelv = 0.02; smua.measure.nplc = 1",
            "smua.source.output = smua.OUTPUT_ON",
        ):
            meter.write(text)
        seen = []
        for junction in range(2):
            meter.write(f"digio.writeport({junction})")
            seen.append(0.02 / float(meter.query("print(smua.measure.i())")))
        assert seen == pytest.approx([2000, 3000], rel=2e-3)
        assert float(meter.query("print(smua.measure.r())")) == pytest.approx(3000, rel=2e-3)
        meter.write("digio.writeport(5)")
        assert float(meter.query("print(smua.measure.i())")) == pytest.approx(0, abs=1e-8)
        assert meter.query("print(errorqueue.next())") == "0.00000e+00\tQueue Is Empty\t0.00000e+00\t1.00000e+00"
        meter.write("digio.writeport(0); smua.source.limiti = 1e-6")
        assert float(meter.query("print(smua.measure.i())")) == pytest.approx(1e-6)
        assert meter.query("print(smua.source.compliance)") == "true"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (":NONSense 3", '-113,"Undefined header"'),
        (":VOLT:HIGH", '-109,"Missing parameter"'),
        (":VOLT:HIGH big", '-104,"Data type error"'),
        (":VOLT:HIGH 99", '-222,"Data out of range"'),
        (":OUTP PERHAPS", '-224,"Illegal parameter value"'),
        ("*TRG", '-211,"Trigger ignored"'),
        (":DATA:DAC VOLATILE,1,9000", '-222,"Data out of range"'),
        (b":DATA:DAC VOLATILE,#13\x00\x01\x02", '-161,"Invalid block data"'),
        (":DATA:DAC VOLATILE,#6524290" + "a" * 524290, '-223,"Too much data"'),
    ],
)
def test_mistakes_go_to_the_error_queue(lab, message, error):
    generator = Client(lab, "generator")
    generator.write(message)
    assert generator.query("SYSTem:ERRor?") == error
    assert generator.query("SYST:ERR?") == '+0,"No error"'


def test_mistakes_of_the_meter_and_the_scope(lab):
    bench = Bench(lab)
    bench.meter.write("smua.source.levelv = 400")
    bench.meter.write("smua.nonsense()")
    bench.meter.write("what is this")
    assert float(bench.meter.query("print(errorqueue.count)")) == 3
    seen = [bench.meter.query("print(errorqueue.next())").split("\t") for _ in range(3)]
    assert [int(float(row[0])) for row in seen] == [1102, -286, -285]
    bench.scope.write(":WAV:DATA?")
    assert bench.scope.query(":SYST:ERR?") == '-230,"Data corrupt or stale"'


def test_the_error_queue_overflows_and_is_cleared(lab):
    generator = Client(lab, "generator")
    for _ in range(40):
        generator.write("BAD")
    seen = [generator.query("SYST:ERR?") for _ in range(31)]
    assert seen[28:] == ['-113,"Undefined header"', '-350,"Queue overflow"', '+0,"No error"']
    generator.write("BAD;*CLS")  # a mistake ends the message
    assert generator.query("*CLS;SYST:ERR?") == '+0,"No error"'


def test_the_generator_has_limits_of_its_own(lab):
    bench = Bench(lab).setup()
    bench.generator.write(":VOLT:LIM:HIGH 0.3;:VOLT:LIM:LOW -0.3;:VOLT:LIM:STAT ON")
    bench.load([0.4] * 10)
    bench.play("beyond")
    assert bench.generator.query("SYST:ERR?") == '-221,"Settings conflict"'
    bench.generator.write(":VOLT:HIGH 0.35")
    assert bench.generator.query("SYST:ERR?") == '-222,"Data out of range"'
    assert bench.generator.query("LAB:PLAYS?") == "{}"
    bench.generator.write(":VOLT:HIGH 0.3;:VOLT:LOW -0.3")
    bench.play("within")
    assert json.loads(bench.generator.query("LAB:PLAYS?")) == {"within": 1}


def test_a_settings_query_answers_what_was_set(lab):
    bench = Bench(lab).setup()
    assert float(bench.generator.query(":SOURce1:VOLTage1:LEVel:IMMediate:HIGH?")) == 0.4
    assert bench.generator.query(":OUTP1?;:FUNC?") == "1;USER"
    bench.generator.write("*RST")
    assert bench.generator.query(":OUTP?") == "0"
    assert float(bench.scope.query(":TIMebase:RANGe?")) == 1e-3


def test_plays_and_pulses_are_counted_and_a_silent_output_plays_nothing(lab):
    bench = Bench(lab).setup()
    bench.meter.write("digio.writeport(2)")
    bench.meter.query("*OPC?")
    bench.load([0.2] * 5 + [0.0] * 5 + [-0.1] * 5 + [0.0] * 5)
    bench.play("a")
    bench.play("b")
    bench.play("b")
    bench.generator.write(":OUTP OFF")
    bench.play("c")
    assert json.loads(bench.scope.query("LAB:PLAYS?")) == {"a": 1, "b": 2}
    assert json.loads(bench.generator.query("LAB:PULSes?")) == [0, 0, 6, 0]


def test_a_violation_is_told_and_breaks_the_junction(lab):
    bench = Bench(lab).setup()
    bench.load([0.4] * 10)
    bench.generator.write(":VOLT:HIGH 0.6")
    bench.play("too much")
    (told,) = json.loads(bench.generator.query("LAB:VIOLations?"))
    assert told == "junction 0, play 1: voltage 600 mV exceeds 420 mV"
    bench.meter.write("smua.source.levelv = 0.02; smua.source.output = 1")
    assert 0.02 / float(bench.meter.query("print(smua.measure.i())")) == pytest.approx(2530 / 20, rel=1e-2)


def test_a_junction_is_no_load_of_50_ohm(lab):
    """A client that does not say so gives it twice the voltage."""
    bench = Bench(lab).setup()
    bench.generator.write(":OUTP:LOAD 50")
    bench.load([0.0, 0.3, 0.0])
    bench.play("twice")
    assert "600 mV" in bench.generator.query("LAB:VIOLations?")


def test_a_meter_of_high_impedance_drives_nothing(lab):
    meter = Client(lab, "meter")
    meter.write("smua.source.levelv = 0.02; smua.source.output = smua.OUTPUT_HIGH_Z")
    assert float(meter.query("print(smua.measure.i())")) == 0


def test_a_client_that_dies_in_the_middle_leaves_the_laboratory_usable(lab):
    code = """
        import socket, sys, time
        for port in sys.argv[1:]:
            client = socket.create_connection(("127.0.0.1", int(port)))
            client.sendall(b":DATA:DAC VOLATILE,#6524288" + b"half a block" * 1000)
        print("sent", flush=True)
        time.sleep(60)
    """
    ports = [str(port) for port in lab.ports.values()]
    client = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *ports], stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"sent\n"
    client.kill()
    client.wait()
    client.stdout.close()
    bench = Bench(lab).setup()
    bench.load([-0.05] * 100)
    bench.play("after")
    assert bench.fetch()[0].mean() == pytest.approx(-0.05 / 2530, rel=0.03)


def ask(faults, name="meter", message="*IDN?", times=20, timeout=0.1):
    """What a client sees: answers, or the kind of trouble."""
    seen = []
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}]), faults) as lab:
        client = Client(lab, name)
        for _ in range(times):
            client.socket.settimeout(timeout)
            try:
                seen.append(client.query(message))
            except (TimeoutError, ConnectionError, UnicodeDecodeError) as error:
                seen.append(type(error).__name__)
                client.close()
                client = Client(lab, name)
        client.close()
    return seen


def test_time_outs():
    seen = ask(Faults(time_out=0.3), timeout=0.05)
    assert 1 <= seen.count("TimeoutError") <= 14
    assert {text for text in seen if text != "TimeoutError"} == {seen[seen.index(max(seen, key=len))]}


def test_dropped_connections_before_and_after_the_command():
    seen = ask(Faults(drop=0.5))
    assert 4 <= sum(word.startswith("Connection") for word in seen) <= 16
    done = []
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}]), Faults(drop=1.0)) as lab:
        for number in range(30):
            client = Client(lab, "digitiser")
            client.write(f':CHAN1:LAB "{number}"')
            assert client.file.read() == b""
            done.append(lab.wiring.recorder.label == str(number))
            client.close()
    assert 5 < sum(done) < 25  # half of them were carried out


def test_garbled_answers_can_be_told_from_right_ones():
    seen = ask(Faults(garbled=0.5))
    assert 4 <= seen.count("UnicodeDecodeError") <= 16
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}])) as lab:
        bench = Bench(lab).setup()
        bench.load([-0.05] * 100)
        bench.play("x")
        lab._ports[2].served.draws.faults = Faults(garbled=1.0)
        bench.scope.write(":WAV:DATA?")
        bench.scope.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):  # the block never ends
            bench.scope.file.read(2 * 10_000_000)


def test_values_that_are_no_numbers():
    assert set(ask(Faults(nan=1.0), message="print(smua.measure.r())", times=2)) == {"9.91000e+37"}
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}]), Faults(nan=1.0)) as lab:
        bench = Bench(lab).setup()
        bench.load([-0.05] * 100)
        bench.play("x")
        words = np.frombuffer(bench.scope.block(":WAV:DATA?"), ">u2")
        assert 0 < (words == 0).sum() < len(words) / 50  # holes
        lab._ports[2].served.draws.faults = Faults()
        assert (np.frombuffer(bench.scope.block(":WAV:DATA?"), ">u2") != 0).all()  # they are gone the next time


def test_a_slow_instrument_answers_late():
    start = time.perf_counter()
    seen = ask(Faults(slow=1.0, slow_time=0.1), times=2, timeout=2)
    assert seen[0].startswith("Keithley")
    assert time.perf_counter() - start > 0.2
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}]), Faults(slow=1.0, slow_time=0.2)) as lab:
        client = Client(lab, "generator")
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.query("*OPC?")
        assert client.socket.fileno() > 0
        client.socket.settimeout(2)
        assert client.socket.recv(10) == b"1\n"  # what a client that gave up will find


def test_a_slow_instrument_forgets_what_a_client_that_left_had_asked():
    with VirtualLab(Chip("mtj-thermal", 1, true=[{}]), Faults(slow=1.0, slow_time=0.2)) as lab:
        client = Client(lab, "digitiser")
        client.write(":SINGle")
        client.close()
        time.sleep(0.4)
        assert not lab.wiring.recorder.armed


def test_a_stuck_and_a_broken_junction():
    chip = Chip("mtj-thermal", 2, true=[{}] * 2, fates=[Fate(0, 1, "AP"), Fate(1, 0, "broken")])
    with VirtualLab(chip) as lab:
        bench = Bench(lab).setup()
        bench.load([-0.4] * 20 + [-0.05] * 100)
        seen = []
        for junction in (0, 0, 1):
            bench.meter.write(f"digio.writeport({junction})")
            bench.meter.query("*OPC?")
            bench.play("x")
            current, step, _ = bench.fetch()
            seen.append(-current[int(40 * DT / step) : int(110 * DT / step)].mean())
    R_AP = float(chip.nominal.resistance(chip.nominal.V_read, antiparallel=True))
    assert seen[:2] == pytest.approx([0.05 / 2530, 0.05 / R_AP], rel=0.05)
    assert seen[2] > 49e-6


def test_the_same_seeds_give_the_same_troubles():
    faults = Faults(seed=5, drop=0.2, garbled=0.2)
    assert ask(faults) == ask(faults)
    assert ask(faults) != ask(faults.model_copy(update={"seed": 6}))


def test_faults_are_read_from_toml(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text(
        'seed = 3\ndrop = 0.1\nstuck = [{ junction = 1, play = 2, state = "AP" }]\n'
        "breakdown = [{ junction = 0, play = 4 }]\n[limits]\nV_max = 0.3\n[drift]\nR = 0.01\n"
    )
    faults = read_faults(path)
    chip = chip_with("mtj-thermal", 2, 0, faults)
    assert chip.endurance.V_max == 0.3
    assert chip.endurance.P_max < 0.3**2 / 2530 * 1.31
    assert chip.fates == [Fate(1, 2, "AP"), Fate(0, 4, "broken")]
    assert chip.drift.R == 0.01
    path.write_text("drops = 0.1")
    with pytest.raises(IPNetError, match=r"faults 'faults.toml': unknown key 'drops'; did you mean 'drop'"):
        read_faults(path)
    path.write_text("drop = 2.0")
    with pytest.raises(IPNetError, match=r"'drop' must be less than or equal to 1; got 2\.0"):
        read_faults(path)


def test_ports_that_cannot_be(monkeypatch):
    chip = Chip("mtj-thermal", 1, true=[{}])
    with pytest.raises(IPNetError, match="a port each"):
        VirtualLab(chip, ports=(0, 0))
    with VirtualLab(chip) as lab, pytest.raises(IPNetError, match="cannot be listened on"):
        VirtualLab(chip, ports=(0, 0, lab.ports["meter"]))
    monkeypatch.delattr(os, "openpty", raising=False)
    with pytest.raises(IPNetError, match="needs pseudo-terminals"):
        VirtualLab(chip, serial=True)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_command_serves_until_interrupted(tmp_path):
    (tmp_path / "faults.toml").write_text("seed = 1\n[limits]\nV_max = 0.41\n")
    command = [sys.executable, "-m", "ipnet.cli", "lab", "serve", "--junctions", "2", "--serial", "--json"]
    command += ["--faults", str(tmp_path / "faults.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            resources = json.loads(process.stdout.readline())
            assert list(resources) == ["generator", "meter", "digitiser"]
            port = int(resources["generator"].split("::")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"*IDN?\n")
                assert client.recv(100).startswith(b"Agilent")
            line = resources["meter"].removeprefix("ASRL").removesuffix("::INSTR")
            with open(line, "rb+", buffering=0) as client:  # noqa: PTH123
                client.write(b"*IDN?\n")
                assert client.readline().startswith(b"Keithley")
                client.write(b"print(errorqueue.count)\n")
                assert client.readline() == b"0.00000e+00\n"  # nothing was echoed
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            assert process.stderr.read() == "the laboratory is closed.\n"
        finally:
            process.kill()


def test_pyvisa_is_served(lab):
    visa = pytest.importorskip("pyvisa")
    pytest.importorskip("pyvisa_py")
    manager = visa.ResourceManager("@py")
    generator, meter, scope = (
        manager.open_resource(resource, read_termination="\n", write_termination="\n", timeout=5000)
        for resource in lab.resources.values()
    )
    for text in (":FUNC USER;:FUNC:USER VOLATILE;:BURS:STAT ON;:BURS:NCYC 1;:ARM:SOUR BUS", ":OUTP ON"):
        generator.write(text)
    codes = np.full(1000, -1000)
    generator.write_binary_values(":DATA:DAC VOLATILE,", codes, datatype="h", is_big_endian=True)
    generator.write(":OUTP:LOAD 1E6;:VOLT:HIGH 0.4;:VOLT:LOW -0.4;:FREQ 1E5")
    scope.write(':TIM:REF LEFT;:TIM:RANG 1E-5;:TIM:POS 1E-6;:CHAN1:RANG 1E-4;:WAV:FORM WORD;:CHAN1:LAB "v";:SING')
    assert scope.query("*OPC?") == "1"
    generator.write("*TRG")
    assert generator.query(":SYST:ERR?") == '+0,"No error"'
    preamble = [float(part) for part in scope.query(":WAV:PRE?").split(",")]
    data = scope.query_binary_values(":WAV:DATA?", datatype="H", is_big_endian=True, container=np.array)
    current = ((data - preamble[9]) * preamble[7]).mean()
    assert current == pytest.approx(-0.4 * 1000 / 8191 / 2530, rel=0.05)
    assert meter.query("print(errorqueue.count)") == "0.00000e+00"
    for resource in (generator, meter, scope):
        resource.close()
