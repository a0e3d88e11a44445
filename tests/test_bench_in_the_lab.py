"""The bench and the virtual laboratory over TCP, through PyVISA: whatever fails, each waveform is played once."""

import base64
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipnet.bench import Bench, DeadJunction
from ipnet.bench_file import Address, BenchFile, open_bench, read_bench
from ipnet.bench_procedures import trim
from ipnet.errors import IPNetError
from ipnet.hil_demo import run_demo
from ipnet.instrument import PARTS
from ipnet.instrument._replay import Player, Recorder
from ipnet.instrument._visa import connect
from ipnet.journal import Journal
from ipnet.shots import Shot
from ipnet.virtual_chip import Chip, Fate
from ipnet.virtual_faults import Draws, Faults, chip_with
from ipnet.virtual_lab import VirtualLab
from tiny import train_tiny_network, write_tiny_study

pytest.importorskip("pyvisa_py", reason='needs PyVISA: pip install "mtj-ipnet[lab]"')
InvalidSession = pytest.importorskip("pyvisa.errors").InvalidSession

LIMITS = """
V_max = { value = 0.41, unit = "V", assumed = "a test" }
I_max = { value = 0.4, unit = "mA", assumed = "a test" }
P_max = { value = 0.2, unit = "mW", assumed = "a test" }
t_min = { value = 10, unit = "ns", assumed = "a test" }
t_max = { value = 1, unit = "us", assumed = "a test" }
duty = { value = 0.5, unit = "1", assumed = "a test" }
pulses = { value = 100000, unit = "1", assumed = "a test" }
rise_max = { value = 150, unit = "K", assumed = "a test" }
"""
SHOTS = [Shot(np.array([-0.3, V]), np.array([100e-9, 10e-9])) for V in (0.25, 0.285, 0.31) for _ in range(7)]
ALL = bool(os.environ.get("IPNET_ALL_FAULTS"))  # minutes; CI runs them
GROUPS, SCHEDULES, KILLS = (20, 10, 20) if ALL else (1, 4, 3)
CHILD = """
import sys
from pathlib import Path
from ipnet.bench_file import open_bench, read_bench
sys.path.insert(0, {tests!r})
from test_bench_in_the_lab import SHOTS
with open_bench(read_bench(Path({bench!r})), Path({journal!r})) as (bench, mtj):
    for number in range(200):
        bench.run(0, SHOTS, str(number))
"""


def bench_file(folder: Path, addresses: dict[str, str], timeout: str = "150 ms") -> BenchFile:
    (folder / "limits.toml").write_text(LIMITS)
    drivers = {"generator": "keysight_81160a", "meter": "keithley_2600", "digitiser": "keysight_infiniivision"}
    parts = {part: Address(driver=driver, address=addresses[part]) for part, driver in drivers.items()}
    return BenchFile(
        card="mtj-thermal", limits=str(folder / "limits.toml"), junctions=(0, 1), timeout=timeout, **parts
    )


def as_text(file: BenchFile, **more: object) -> str:
    """The text of a bench file."""
    head = {"card": file.card, "limits": file.limits, "junctions": list(file.junctions)} | more
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in head.items()]
    for part in ("generator", "meter", "digitiser"):
        at = getattr(file, part)
        lines.append(f'[{part}]\ndriver = "{at.driver}"\naddress = "{at.address}"\n')
    return "".join(lines)


def connected(file: BenchFile, journal: Path) -> Iterator[Bench]:
    """The bench, however often its first connection fails."""
    for attempt in range(30):
        try:
            with open_bench(file, journal) as (bench, _):
                yield bench
                return
        except IPNetError as error:
            if "must answer" not in str(error) or attempt == 29:
                raise


def played_once(lab: VirtualLab, journal: Path) -> None:
    """No waveform was played twice, and every one that counts was played."""
    plays = lab.wiring.plays
    assert set(plays.values()) <= {1}
    with Journal.reopen(journal) as written:
        closed = {batch.name for batch in written._batches("") if batch.state in ("closed", "void")}
    assert closed <= set(plays)


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_schedule_of_faults_breaks_a_limit_or_repeats_a_waveform(group: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(group)
    for number in range(SCHEDULES):
        shares = {key: float(rng.uniform(0, 0.02)) for key in ("time_out", "drop", "garbled", "nan")}
        chip = Chip("mtj-thermal", 2, seed=number)
        folder = tmp_path / str(number)
        folder.mkdir()
        with VirtualLab(chip, Faults(seed=100 * group + number, **shares)) as lab:
            journal = folder / "journal.sqlite"
            for bench in connected(bench_file(folder, lab.resources), journal):
                said = "."
                try:
                    bench.run(number % 2, SHOTS, "asked")
                except IPNetError as error:
                    said = str(error)
                assert said.endswith("."), "a run that stops says what to do"
            assert not chip.violations
            played_once(lab, journal)


def test_a_process_that_is_killed_loses_and_repeats_nothing(tmp_path: Path) -> None:
    rng, chip = np.random.default_rng(0), Chip("mtj-thermal", 2, seed=0)
    with VirtualLab(chip) as lab:
        file = bench_file(tmp_path, lab.resources, "2 s")
        bench, journal = tmp_path / "bench.toml", tmp_path / "journal.sqlite"
        bench.write_text(as_text(file))
        code = CHILD.format(tests=str(Path(__file__).parent), bench=str(bench), journal=str(journal))
        for _ in range(KILLS):
            child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
            seen, since = len(lab.wiring.plays), time.monotonic()
            while len(lab.wiring.plays) == seen and child.poll() is None and time.monotonic() - since < 60:
                time.sleep(0.005)
            time.sleep(float(rng.uniform(0, 0.15)))
            if child.poll() is None:
                os.kill(child.pid, signal.SIGKILL)
            child.wait()
        for opened in connected(file, journal):
            opened.recover()
            assert opened.run(0, SHOTS, "0").shape == (len(SHOTS),)
        assert not chip.violations
        played_once(lab, journal)
        with Journal.reopen(journal) as written:
            assert written.applied(0) >= chip.junctions[0].pulses


def test_a_junction_that_dies_is_noticed_within_twenty_pulses(tmp_path: Path) -> None:
    chip = Chip("mtj-thermal", 2, seed=0, fates=[Fate(0, 5, "broken")])
    with VirtualLab(chip) as lab:
        for bench in connected(bench_file(tmp_path, lab.resources, "2 s"), tmp_path / "journal.sqlite"):
            with pytest.raises(DeadJunction, match="junction 0 is dead"):
                bench.run(0, SHOTS * 10, "0")
            assert bench.run(1, SHOTS, "1").shape == (len(SHOTS),)
            with pytest.raises(DeadJunction):
                bench.run(0, SHOTS, "0/again")
            assert json.dumps(sorted(bench.journal.dead())) == "[0]"


def test_a_connection_is_closed_before_another_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, Any]] = []

    def is_open(transport: Any) -> bool:
        try:
            return transport.session is not None
        except InvalidSession:
            return False

    def only_one_each(address: str, **options: Any) -> Any:
        assert not any(is_open(transport) for at, transport in opened if at == address)
        opened.append((address, connect(address, **options)))
        return opened[-1][1]

    monkeypatch.setattr("ipnet.bench_file.connect", only_one_each)
    with VirtualLab(Chip("mtj-thermal", 2, seed=0)) as lab:
        with open_bench(bench_file(tmp_path, lab.resources, "2 s"), tmp_path / "journal.sqlite") as (bench, _):
            bench.run(0, SHOTS, "before")
            lab._ports[1].close_all()
            bench.run(1, SHOTS, "after")
            assert [is_open(transport) for _, transport in opened] == [False] * 3 + [True] * 3
        assert not any(is_open(transport) for _, transport in opened)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals, which this system does not have")
def test_a_meter_on_a_serial_line_serves_a_bench(tmp_path: Path) -> None:
    import termios

    with VirtualLab(Chip("mtj-thermal", 2, seed=0), serial=True) as lab:
        text = as_text(bench_file(tmp_path, lab.resources), timeout="150 ms")
        (tmp_path / "bench.toml").write_text(text.replace("[digitiser]", "baud = 19200\n[digitiser]"))
        journal = tmp_path / "journal.sqlite"
        with open_bench(read_bench(tmp_path / "bench.toml"), journal) as (bench, _):
            line = os.open(lab.resources["meter"][len("ASRL") : -len("::INSTR")], os.O_RDWR | os.O_NOCTTY)
            assert termios.tcgetattr(line)[4:6] == [termios.B19200] * 2
            os.close(line)
            for junction in (0, 1):
                low, _, high = bench.run(junction, SHOTS, str(junction)).reshape(3, -1).sum(1)
                assert low < high
                lab._ports[1].served.draws.faults = Faults(time_out=0.1, drop=0.1)  # when the second one is asked
            lost = [event[3] for event in bench.journal.events() if event[2] == "connection lost"]
            assert lost
            assert all("the keithley_2600 must answer" in text for text in lost)
        assert not lab.chip.violations
        played_once(lab, journal)


def session(file: BenchFile, journal: Path, halfway: Callable[[], None] = lambda: None) -> list[list[bool]]:
    """What two junctions answer, calibrated and asked twice."""
    answers = []
    with open_bench(file, journal) as (bench, _):
        for turn in range(2):
            answers += [bench.run(junction, SHOTS, f"{turn}/{junction}").tolist() for junction in (0, 1)]
            if not turn:
                halfway()
    return answers


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchFile, list[list[bool]]]:
    """A session with a connection that is lost and made anew: folder of its records, bench, answers."""
    folder = tmp_path_factory.mktemp("session")
    with VirtualLab(Chip("mtj-thermal", 2, seed=0)) as lab, pytest.MonkeyPatch.context() as patch:
        parts = {address: part for part, address in lab.resources.items()}
        patch.setattr("secrets.token_hex", lambda _: "abcdef")
        patch.setattr(
            "ipnet.bench_file.connect",
            lambda at, **options: Recorder(connect(at, **options), folder / f"{parts[at]}.jsonl"),
        )
        file = bench_file(folder, lab.resources)

        def trouble() -> None:
            lab._ports[0].served.draws = Draws(Faults(seed=1, drop=0.06), 0)

        return folder, file, session(file, folder / "journal.sqlite", trouble)


def play_back(folder: Path, file: BenchFile, journal: Path, patch: pytest.MonkeyPatch) -> list[list[bool]]:
    """The same session from records."""
    players = {getattr(file, part).address: Player(folder / f"{part}.jsonl") for part in PARTS}
    patch.setattr("secrets.token_hex", lambda _: "abcdef")
    patch.setattr("ipnet.bench_file.connect", lambda address, **_: players[address].open())
    answers = session(file, journal)
    for player in players.values():
        player.finish()
    return answers


def exported(journal: Path, folder: Path) -> list[Any]:
    """All that a journal exports but for times, and its header."""
    with Journal.reopen(journal) as written:
        written.export(folder / "shots.csv")
        found: list[Any] = [written.header]
    for name in ("shots.csv", "shots.events.csv"):
        rows = csv.DictReader((folder / name).open(encoding="utf-8", newline=""))
        times = ("opened", "sent", "closed", "time [s since 1970]")
        found.append([{key: value for key, value in row.items() if key not in times} for row in rows])
    return found


def test_a_session_plays_back_without_instruments(
    recorded: tuple[Path, BenchFile, list[list[bool]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file, answers = recorded
    assert play_back(folder, file, tmp_path / "journal.sqlite", monkeypatch) == answers
    header, shots, events = exported(tmp_path / "journal.sqlite", tmp_path)
    assert [header, shots, events] == exported(folder / "journal.sqlite", folder)
    assert {shot["junction"] for shot in shots if shot["state"] == "closed"} == {"0", "1"}
    assert "connection lost" in [event["what"] for event in events]


@pytest.mark.parametrize(
    ("part", "message"),
    [("generator", ":DATA:DAC"), ("meter", "smua.source.limiti"), ("digitiser", ":WAVeform:POINts")],
)
def test_one_changed_byte_of_a_session_is_found(
    part: str,
    message: str,
    recorded: tuple[Path, BenchFile, list[list[bool]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, file, _ = recorded
    for name in PARTS:
        shutil.copy(folder / f"{name}.jsonl", tmp_path)
    entries = [json.loads(line) for line in (folder / f"{part}.jsonl").read_text("utf-8").splitlines()]
    place = max(number for number, entry in enumerate(entries) if entry.get("send", "").startswith(message))
    if "block" in entries[place]:
        block = bytearray(base64.b64decode(entries[place]["block"]))
        block[len(block) // 2] ^= 1
        entries[place]["block"] = base64.b64encode(block).decode()
    else:
        sent = entries[place]["send"]
        entries[place]["send"] = sent[:-2] + chr(ord(sent[-2]) ^ 1) + sent[-1]
    (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, entries)), "utf-8")
    with pytest.raises(IPNetError, match=rf"{part}\.jsonl must be played as recorded; entry {place + 1} expected"):
        play_back(tmp_path, file, tmp_path / "journal.sqlite", monkeypatch)


def test_without_limits_or_with_another_instrument_nothing_is_sent(tmp_path: Path) -> None:
    chip = Chip("mtj-thermal", 1, seed=0)
    with VirtualLab(chip) as lab:
        file = bench_file(tmp_path, lab.resources, "2 s")
        missing = file.model_copy(update={"limits": str(tmp_path / "nowhere.toml")})
        with pytest.raises(IPNetError, match=r"nowhere\.toml"):
            next(connected(missing, tmp_path / "journal.sqlite"))
        swapped = file.model_copy(
            update={"generator": Address(driver="keysight_81160a", address=lab.resources["digitiser"])}
        )
        with pytest.raises(IPNetError, match=r"the keysight_81160a must answer \*IDN\? with"):
            next(connected(swapped, tmp_path / "journal.sqlite"))
        assert not lab.wiring.plays
        assert not chip.violations


def test_a_run_whose_junctions_die_in_the_middle_is_finished_by_the_others(
    ipnet: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipnet.bench_procedures._SCANNED", 4)  # trimmed with less care, to be there sooner
    monkeypatch.setattr("ipnet.hil.trim", partial(trim, trials=40))
    dies = {1: 80, 2: 84}  # plays of a junction until it does
    faults = Faults(stuck=[{"junction": 1, "play": dies[1]}], breakdown=[{"junction": 2, "play": dies[2]}])
    chip, output = chip_with("mtj-thermal", 3, 0, faults), tmp_path / "hil.json"
    words = ("hil", "run", train_tiny_network(tmp_path), "--bench", tmp_path / "bench.toml", "--clips", 12)
    words += ("-o", output, "--journal", tmp_path / "journal.sqlite")
    with VirtualLab(chip, faults) as lab:
        file = bench_file(tmp_path, lab.resources, "2 s").model_copy(update={"junctions": (0, *dies)})
        (tmp_path / "bench.toml").write_text(as_text(file))
        code, out, err = ipnet(*words, "--json")
        assert code == 0, err
        found, written = json.loads(out), output.read_bytes()
        assert ([one["junction"] for one in found["junctions"]], found["dead"]) == ([0, 1, 2], [1, 2])
        assert found["answers"] == 12 * 4 * 2 * 2 * 2
        plays = [junction.plays for junction in chip.junctions]
        code, out, err = ipnet(*words)
        assert code == 0, err
        assert "Junction 2: no record of it can be read" in " ".join(out.split())
        assert output.read_bytes() == written
        assert "virtual laboratory's chip, SIMULATED" in " ".join(out.split()), "as the instruments say"
        assert [junction.plays for junction in chip.junctions] == plays, "all was in the journal"
    code, out, err = ipnet(*words, "--replay")  # without a laboratory
    assert code == 0, err
    assert "reproduced exactly" in out
    output.write_text(output.read_text().replace("frontier", "stem"))
    code, _, err = ipnet(*words, "--replay")
    assert code != 0
    assert "a replay must give" in err
    with Journal.reopen(tmp_path / "journal.sqlite") as journal:
        batches, dead = journal._batches(""), journal.dead()
    assert set(dead) == set(dies)
    shots, left = [], set()
    for junction, death in dies.items():
        played = [batch for batch in batches if batch.junction == junction]
        assert len(played) == plays[junction] == death + 2  # what it died in, and a check
        assert "/frontier/" in played[death - 1].key
        left.add(played[death].key)
        shots.append(sum(len(batch.shots) for batch in played[death:]))
    of_network = [batch for batch in batches if "/frontier/" in batch.key and batch.state == "closed"]
    given = sum(int((batch.places >= 0).sum()) for batch in of_network if batch.key not in left)
    assert given == found["answers"], "what was asked of the dead was asked of the others"
    assert max(shots) == 20, "14 that were asked, 2 that check, and 4 more"


def test_the_laboratory_of_a_demonstration_ends_with_it() -> None:
    if not ALL:
        pytest.skip("starts two processes that import everything; IPNET_ALL_FAULTS=1 runs it")
    code = (
        "import time\nfrom ipnet.hil_demo import virtual_laboratory\n"
        "if __name__ == '__main__':\n"
        "    with virtual_laboratory(0) as addresses:\n"
        "        print(addresses['meter'], flush=True)\n        time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        _, host, port, _ = process.stdout.readline().strip().split("::")
        socket.create_connection((host, int(port))).close()
        process.kill()

    def listens() -> bool:
        with suppress(ConnectionRefusedError), socket.create_connection((host, int(port))):
            return True
        return False

    end = time.monotonic() + 60
    while listens():
        assert time.monotonic() < end, "nobody is there to end it"
        time.sleep(0.05)


def test_the_whole_story(tmp_path: Path) -> None:
    """An unknown junction -> its card -> a network -> the chip -> its journal, as `ipnet hil demo` tells it."""
    if not ALL:
        pytest.skip("takes minutes; IPNET_ALL_FAULTS=1 runs it")
    story = run_demo(tmp_path)
    names = {known.estimate.name for known in story.card}
    assert names == {"delta", "V_c0", "R_th", "tau_th"}
    for known in story.card:  # 95 % intervals: one in twenty misses; half as wide again, one in three hundred
        wider = 0.25 * (known.estimate.high - known.estimate.low)
        assert known.estimate.low - wider < known.true < known.estimate.high + wider, str(known)
    run = story.run
    assert (len(run.truth), len(run.junctions), run.dead, run.simulated) == (50, 8, (), True)
    assert sum(one.answers for one in run.junctions) == run.answers > 50_000
    value, low, high = run.foreseen
    assert abs(run.accuracy.value - value) < 0.75 * (high - low), "one in three hundred"
    assert run.accuracy.value > 4 / 20, "far above chance"
    assert run.bins[-1].rise_measured.low > run.bins[0].rise_measured.high, "warm pixels answer as warm junctions"


def test_the_commands_measure_run_compare_and_export(ipnet, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    if not ALL:
        pytest.skip("takes half a minute; IPNET_ALL_FAULTS=1 runs it")
    with VirtualLab(Chip("mtj-thermal", 2, seed=0)) as lab:
        file = bench_file(tmp_path, lab.resources, "2 s")
        (tmp_path / "bench.toml").write_text(as_text(file, shots_per_batch=50))
        data, journal = tmp_path / "data.csv", ("--journal", tmp_path / "measured.sqlite")
        words = (
            "hil",
            "characterise",
            tmp_path / "bench.toml",
            "--trials",
            30,
            "-o",
            data,
            *journal,
        )
        code, _, err = ipnet(*words)
        assert code == 0, err
        before = len(lab.wiring.plays)
        assert ipnet(*words)[0] == 0
        assert len(lab.wiring.plays) == before, "what is in the journal is not measured again"
        code, out, err = ipnet(*words, "--replay")
        assert code == 0, err
        assert "reproduced exactly" in out
        assert "R_P" in data.read_text()
        assert ipnet("devices", "fit", data, "-o", tmp_path / "card.toml")[0] == 0
        study = write_tiny_study(tmp_path, contenders='["intrinsic"]', epochs=1)
        assert ipnet("study", study, "--set", "task.size=[2, 2]", "-o", tmp_path)[0] == 0
        run = tmp_path / "tiny" / "intrinsic-seed0"
        words = "hil", "run", run, "--bench", tmp_path / "bench.toml", "--clips", 3, "-o", tmp_path / "hil.json"
        code, out, err = ipnet(*words, "--journal", tmp_path / "run.sqlite", "--json")
        assert code == 0, err
        assert "96 answers, about " in err
        assert json.loads(out)["answers"] == 3 * 4 * 2 * 2 * 2
        code, out, _ = ipnet("hil", "compare", tmp_path / "hil.json")
        assert code == 0
        assert "SIMULATED" in out
        assert ipnet("hil", "export", tmp_path / "run.sqlite", tmp_path / "pulses.h5")[0] == 0
        assert (tmp_path / "pulses.h5").stat().st_size > 1000
        tuned = "--clips", 4, "--batch-size", 2, "--journal", tmp_path / "run.sqlite", "-o", tmp_path / "tuned"
        code, out, err = ipnet("hil", "tune", *words[2:5], *tuned)
        assert code == 0, err
        assert "epoch 1: loss" in out
        code, out, err = ipnet(
            *words, "--journal", tmp_path / "run.sqlite", "--weights", tmp_path / "tuned", "--json"
        )
        assert code == 0, err
        assert json.loads(out)["answers"] == 96
