"""On a virtual laboratory: an unknown junction is measured, becomes a card, and runs in a network."""

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ipnet.bench import Bench
from ipnet.bench_file import Address, BenchFile, open_bench, replay_bench
from ipnet.bench_procedures import characterise
from ipnet.cache import write_atomically
from ipnet.cards import format_card
from ipnet.config import Run, read_config
from ipnet.data import DATA
from ipnet.errors import IPNetError
from ipnet.finished import load_finished
from ipnet.fit import fit, load_junction
from ipnet.fit_result import Estimate, Fit, format_value
from ipnet.fitted_card import fitted_card
from ipnet.hil import run_on_bench
from ipnet.hil_result import HilRun
from ipnet.replay import Replay
from ipnet.simulated_measurement import format_measurements, voltage_at
from ipnet.study import check_runs, execute_all
from ipnet.virtual_chip import Chip
from ipnet.virtual_lab import VirtualLab

JUNCTIONS = 8
BASE = "mtj-thermal"
COLD_ANSWER = 0.3  # of a cold junction to the probe of the trained network: one event makes that 0.86
_NO_RECORDINGS = [  # hands move on for 1.5 s, and eight events are a full pulse: a pixel sums 64 of the sensor's
    "data.name=simulated_gesture",
    "task.size=[16, 16]",
    "task.steps=12",
    "memory.intrinsic.clock.gain=0.05",
]
_MEASURED, _TRAINED = 0.2, 0.5  # shares of the demonstration that are done by then

LIMITS = """\
# Of the virtual laboratory's chip.
V_max = { value = 0.42, unit = "V", assumed = "what it survives: 5 % more than the clock's 0.40 V" }
I_max = { value = 0.5, unit = "mA", assumed = "0.42 V on the smaller resistance, and spread" }
P_max = { value = 0.2, unit = "mW", assumed = "the same" }
t_min = { value = 10, unit = "ns", assumed = "the probe" }
t_max = { value = 1, unit = "us", assumed = "a drive of 0.9 us, and the probe, read and reset behind it" }
duty = { value = 0.5, unit = "1", assumed = "half" }
pulses = { value = 1e9, unit = "1", assumed = "no wear in a simulation" }
rise_max = { value = 150, unit = "K", assumed = "published rises reach 145 K (D. H. Lee et al.)" }
"""


@contextmanager
def virtual_laboratory(seed: int) -> Iterator[dict[str, str]]:
    """A laboratory in a process of its own, which ends with this one; VISA addresses of its instruments, by part.

    Raises:
        IPNetError: it does not start.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(seed, there))
    process.start()
    there.close()
    try:
        yield here.recv()
    except EOFError as error:
        raise IPNetError("the virtual laboratory must start; see what its process said above.") from error
    finally:
        here.close()
        process.join()


def _serve(seed: int, caller: Connection) -> None:
    """Serve until the caller hangs up, as it does when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, who parks the instruments first
    with VirtualLab(Chip(BASE, JUNCTIONS, seed)) as laboratory, suppress(EOFError):
        caller.send(laboratory.resources)
        caller.recv()


@dataclass(frozen=True)
class Known:
    """A fitted value of the junction that was measured, and the true one, which only a simulated chip can tell.

    Args:
        estimate: with its interval.
        true: in the same unit.
    """

    estimate: Estimate
    true: float

    @property
    def inside(self) -> bool:
        """Whether the true value lies in the interval."""
        return self.estimate.low <= self.true <= self.estimate.high

    @property
    def numbers(self) -> dict[str, Any]:
        """For machines, in SI."""
        one = self.estimate
        return {"name": one.name, "value": one.value, "low": one.low, "high": one.high, "true": self.true}

    def __str__(self) -> str:
        where = "inside" if self.inside else "outside"
        return f"{self.estimate}; true: {format_value(self.true, self.estimate.unit)}, {where}"


class Story(NamedTuple):
    """What a demonstration found: the card that was measured, and the run on the chip."""

    card: tuple[Known, ...]
    run: HilRun


def run_demo(
    folder: Path,
    *,
    seed: int = 0,
    clips: int = 50,
    say: Callable[[str], object] = lambda _: None,
    report: Callable[[float, str], None] = lambda *_: None,
) -> Story:
    """Measure, fit, train, run on the chip, compare, play back; killed, the same call goes on where it stopped.

    Args:
        folder: for the measurement, card, trained run, journals and outcome, in a folder of the chip.
        seed: of the chip.
        clips: that run through the bench.
        say: told what the run on the chip will take.
        report: told the share that is done, and what is being done.

    Raises:
        IPNetError: what a part of it raises, or the journal plays back as something else.
    """
    folder /= f"chip-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    limits, journal = folder / "limits.toml", folder / "run.sqlite"
    write_atomically(limits, lambda path: path.write_text(LIMITS, "utf-8"))
    with virtual_laboratory(seed) as addresses:
        drivers = {"generator": "keysight_81160a", "meter": "keithley_2600", "digitiser": "keysight_infiniivision"}
        file = BenchFile(
            card=BASE,
            limits=str(limits),
            junctions=tuple(range(JUNCTIONS)),
            **{part: Address(driver=driver, address=addresses[part]) for part, driver in drivers.items()},
        )
        card, fitted = _measured(file, folder, lambda share: report(_MEASURED * share, "measuring a junction"))
        trained = _trained(card, folder, lambda share: report(_MEASURED + 0.3 * share, "training"))

        def run(bench: Bench | Replay, report: Callable[[float], None]) -> HilRun:
            return run_on_bench(
                load_finished(trained),
                "frontier",
                bench,
                file.junctions,
                clips=clips,
                identities=list(bench.journal.identities.values()),
                command=f"ipnet hil demo --clips {clips}" + (f" --seed {seed}" if seed else ""),
                say=say,
                report=report,
            )

        with open_bench(file, journal, card=str(card)) as (bench, _):
            found = run(bench, lambda share: report(_TRAINED + (1 - _TRAINED) * share, "running on the chip"))
    with replay_bench(file, journal, card=str(card)) as (record, _):
        if run(record, lambda _: None) != found:
            raise IPNetError(f"'{journal}' must play back as what was measured; got another outcome.")
    text = found.model_dump_json(indent=1) + "\n"
    write_atomically(folder / "hil.json", lambda path: path.write_text(text, "utf-8"))
    true = Chip(BASE, JUNCTIONS, seed).junctions[file.junctions[0]].mtj
    values = {name: float(getattr(true, name).sum()) for name in fitted.estimates}
    return Story(tuple(Known(fitted.estimates[name], value) for name, value in values.items()), found)


def _measured(file: BenchFile, folder: Path, report: Callable[[float], None]) -> tuple[Path, Fit]:
    """The card of the first junction of a bench."""
    with open_bench(file, folder / "characterise.sqlite") as (bench, mtj):
        rows = characterise(bench, file.junctions[0], mtj, report=report)
    write_atomically(folder / "data.csv", lambda path: path.write_text(format_measurements(rows), "utf-8"))
    found, card = fit(rows, load_junction(BASE)), folder / "card.toml"
    write_atomically(card, lambda path: path.write_text(format_card(fitted_card(found, "card")), "utf-8"))
    return card, found


def _trained(card: Path, folder: Path, report: Callable[[float], None]) -> Path:
    """A small network with junctions of this card at the sensor; its folder."""
    try:
        DATA.build("nmnist")
        data = list[str]()
    except IPNetError:  # no recordings
        data = _NO_RECORDINGS
    junction = load_junction(card)
    cold = [torch.tensor([value], dtype=torch.float64) for value in (float(junction.t_probe), 0.0, 0.0, 0.0, 0.0)]
    V_probe = float(voltage_at(junction, COLD_ANSWER, cold)[0])
    chosen = [
        *data,
        f"memory.intrinsic.card={json.dumps(str(card.resolve()))}",
        f"memory.intrinsic.clock.V_probe={V_probe:.4f}",
    ]
    run = read_config(Run, "hil", ["contender=intrinsic@frontier", *chosen])

    def told(*_: Any) -> Callable[[float, str], None]:
        return lambda share, _note: report(share)

    execute_all(check_runs([run], folder, lambda *_: None), told)
    return folder / run.study / run.name
