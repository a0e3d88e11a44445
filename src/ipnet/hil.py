"""A trained network whose memory stands on a bench, and the same network in software beside it."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ipnet.bench import DeadJunction
from ipnet.bench_procedures import trim
from ipnet.data import Split
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, unknown_name
from ipnet.finished import Finished
from ipnet.hardware import Hardware
from ipnet.memory.intrinsic import Intrinsic
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.results import Proportion, wilson
from ipnet.seeds import make_seed
from ipnet.settings import read_json
from ipnet.shots import Answers

PATTERN = "hil*.json"
_BINS = 8  # of expected probabilities, equally full
_REPEATS = 10  # runs in software, each with draws of its own


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bin(_Table):
    """Answers that the law expected alike.

    Args:
        expected: mean probability by the law [1].
        measured: share of them in which the junction switched.
    """

    expected: float
    measured: Proportion


class HilRun(_Table):
    """One run of a network on a bench.

    Args:
        run: of the network, within its study.
        study: its name.
        place: of the memory that stands on the bench.
        card: of its junctions.
        identities: of the instruments.
        simulated: whether the chip is the virtual laboratory's.
        junctions: that took turns.
        dead: those of them that were set aside.
        data: name of the set.
        real: whether the clips are recordings.
        split: of the set.
        items: names of the clips.
        truth: their targets.
        hardware: what the network answered with the bench.
        software: what it answered without, in each of some runs.
        answers: that were measured.
        bins: of answers that the law expected alike, from the least likely on.
        deviation: sum of measured minus expected answers, in standard deviations of what is expected by chance.
    """

    run: str
    study: str
    place: str
    card: str
    identities: tuple[str, ...]
    simulated: bool
    junctions: tuple[int, ...]
    dead: tuple[int, ...]
    data: str
    real: bool
    split: str
    items: tuple[str, ...]
    truth: tuple[int, ...]
    hardware: tuple[int, ...]
    software: tuple[tuple[int, ...], ...]
    answers: int
    bins: tuple[Bin, ...]
    deviation: float

    @property
    def accuracy(self) -> Proportion:
        """On the bench."""
        return wilson(sum(a == b for a, b in zip(self.hardware, self.truth, strict=True)), len(self.truth))

    @property
    def foreseen(self) -> tuple[float, float, float]:
        """Accuracy that the software foresees for one run of these clips, and the ends of 95 % [1].

        Each clip is right with the share q of software runs; sum q +- 1.96 sqrt(sum q (1 - q)).
        """
        right = np.array(self.software) == np.array(self.truth)
        q, n = right.mean(0), len(self.truth)
        reach = 1.96 * math.sqrt(float((q * (1 - q)).sum())) + 0.5  # half a clip: counts are whole
        total = float(q.sum())
        return total / n, max(0.0, (total - reach) / n), min(1.0, (total + reach) / n)

    @property
    def agrees(self) -> bool:
        """Whether the accuracy on the bench lies where the software foresees it."""
        _, low, high = self.foreseen
        return low <= self.accuracy.value <= high


def run_on_bench(
    finished: Finished,
    place: str,
    bench: Answers,
    junctions: Sequence[int],
    *,
    clips: int = 50,
    split: Split = "validation",
    probes: Mapping[int, float] | None = None,
    identities: Sequence[str] = (),
    simulated: bool = False,
    report: Callable[[float], None] = lambda _: None,
) -> HilRun:
    """Run a trained network on clips of its data, with the memory of one position on a bench.

    Args:
        finished: the network, whose memory at the place must be intrinsic, and stands on the bench from then on.
        place: of the memory.
        bench: measures.
        junctions: that take turns.
        clips: of the split.
        split: that the clips are of.
        probes: see `ipnet.hardware.Hardware`.
        identities: of the instruments, for the record.
        simulated: whether the chip is simulated, for the record.
        report: told the share of the frames that is done.

    Raises:
        IPNetError: no such memory, or more clips than there are; what the bench raises. What was measured stays in
            the journal, and the same call goes on with it.
    """
    items = finished.task.items(split)
    if not 1 <= clips <= len(items):
        raise IPNetError(f"the clips must be 1 to {len(items)}, as many as the split has; got {clips}.")
    x, y = items.batch(list(range(clips)))
    neurons, software = _neurons(finished.network, place), []
    finished.network.eval()
    for repeat in range(_REPEATS):
        for number, (neuron, _) in enumerate(neurons):
            neuron.emission = "sample"  # single spikes, drawn anew
            neuron.generator.manual_seed(make_seed(repeat, number))
        software.append(_predicted(finished, x))
    devices = list[Hardware]()
    for number, (neuron, junction) in enumerate(neurons):
        label = f"{finished.source}/{place}/{split}/{clips}/{number}"
        device = Hardware(junction.double(), bench, junctions, label, probes)
        device.report = lambda: report(sum(one.cycles for one in devices) / (len(x) * len(devices)))
        neuron.device, neuron.backend, neuron.emission = device, "reference", "expectation"
        devices.append(device)
    hardware = _predicted(finished, x)
    expected = np.concatenate([part for device in devices for part in device.expected])
    measured = np.concatenate([part for device in devices for part in device.measured])
    return HilRun(
        run=finished.run.name,
        study=finished.run.study,
        place=place,
        card=devices[0].card.name,
        identities=tuple(identities),
        simulated=simulated,
        junctions=tuple(junctions),
        dead=tuple(sorted({number for device in devices for number in device.dead})),
        data=finished.result.data["name"],
        real=bool(finished.result.data["real"]),
        split=split,
        items=tuple(items.names[:clips]),
        truth=tuple(y.tolist()),
        hardware=hardware,
        software=tuple(software),
        answers=len(measured),
        bins=bins_of(expected, measured),
        deviation=float((measured - expected).sum() / np.sqrt((expected * (1 - expected)).sum())),
    )


def junction_of(finished: Finished, place: str) -> tuple[str, MTJ]:
    """Card of the junctions of a memory, as the run's configuration names it, and one of them, with its clock.

    Raises:
        IPNetError: see `run_on_bench`.
    """
    _, device = _neurons(finished.network, place)[0]
    options = finished.run.memory.get(finished.run.memory_name, {})
    return str(options.get("card", device.card.name)), device


def trim_all(bench: Answers, junctions: Sequence[int], model: MTJ) -> dict[int, float]:
    """The probe voltage of each junction that lives [V], see `ipnet.bench_procedures.trim`.

    Raises:
        IPNetError: none lives.
    """
    probes, why = dict[int, float](), list[str]()
    for junction in junctions:
        try:
            probes[junction] = trim(bench, junction, model, label=f"trim/{junction}")
        except DeadJunction as error:
            why.append(str(error))
    if not probes:
        raise IPNetError(f"one junction at least must live; got: {' '.join(why)} Put in another chip.")
    return probes


def bins_of(expected: Any, measured: Any, count: int = _BINS) -> tuple[Bin, ...]:
    """Answers in bins of equally many, by what the law expected.

    Example:
        >>> [bin.expected for bin in bins_of(np.array([0.1, 0.3]), np.array([0.0, 1.0]), 2)]
        [0.1, 0.3]
    """
    order = np.argsort(expected, kind="stable")
    parts = [part for part in np.array_split(order, count) if len(part)]
    return tuple(
        Bin(expected=float(expected[part].mean()), measured=wilson(int(measured[part].sum()), len(part)))
        for part in parts
    )


def _neurons(network: Network, place: str) -> list[tuple[Neuron, MTJ]]:
    """The neurons of a memory, each with its junction."""
    if place not in network.memories:
        raise unknown_name("position with a memory", place, network.memories)
    memory = network.memories[place]
    neurons = memory.neurons if isinstance(memory, Intrinsic) else []
    found = [(neuron, neuron.device) for neuron in neurons if isinstance(neuron.device, MTJ)]
    if not found or len(found) < len(neurons):
        raise IPNetError(
            f"the memory at '{place}' must be of magnetic tunnel junctions, to stand on a bench; got "
            f"'{network.memory_name}': train an intrinsic memory without variation."
        )
    return found


def _predicted(finished: Finished, x: Tensor) -> tuple[int, ...]:
    with torch.no_grad():
        outputs, _state = finished.network(x)
        answers = finished.task.predict(finished.task.combine(outputs))
    return tuple(int(answer) for answer in answers)


def read_benches(folder: Path) -> list[HilRun]:
    """The files of `ipnet hil run` in a folder.

    Raises:
        IPNetError: a file that is none, by name.
    """
    return [read_hil(path) for path in sorted(folder.glob(PATTERN))]


def read_hil(path: Path) -> HilRun:
    """A file of `ipnet hil run`.

    Raises:
        IPNetError: it is none.
    """
    return read_json(path, HilRun, "run on a bench")
