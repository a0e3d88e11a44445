"""A trained network whose memory stands on a bench, and the same network in software beside it."""

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.bench import Bench, DeadJunction
from ipnet.bench_procedures import UnsuitableError, shots_of_trim, trim
from ipnet.cache import content_hash
from ipnet.data import Split
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, unknown_name
from ipnet.finished import Finished
from ipnet.hardware import Hardware, hottest_shots
from ipnet.hil_result import Bin, HilRun, Served, deviation
from ipnet.memory.intrinsic import Intrinsic
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.results import Estimate, wilson
from ipnet.seeds import make_seed
from ipnet.shots import Answers, Shot, Trim
from ipnet.tasks import Items
from ipnet.units import format_duration

_BINS = 8  # of expected probabilities, equally full
_REPEATS = 10  # runs in software, each with draws of its own
_ENOUGH = 200  # shots, to tell how many batches some take
_COOLEST, _NODES = -50.0, 2000  # K, and points of a table of rises

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """What is to be measured on a bench.

    Args:
        answers: of all junctions.
        seconds: at the pace of the last batches.
        pulses: on the junction that gets most, at most.
    """

    answers: int
    seconds: float
    pulses: int

    def __str__(self) -> str:
        time = format_duration(self.seconds)
        return f"{self.answers:,} answers, about {time}; up to {self.pulses:,} pulses on a junction"


class _Dry:
    """Counts what a bench would have to do for as many clips like the one that it is asked for.

    All junctions switch, since a switched one gets the most pulses.
    """

    def __init__(self, bench: Bench, clips: int) -> None:
        self.bench, self.clips, self.seconds, self.pulses, self.answers = bench, clips, 0.0, Counter[int](), 0

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:  # noqa: ARG002
        times = min(self.clips, -(-_ENOUGH // len(shots)))  # so that batches are as full as they will be
        seconds, pulses = self.bench.estimate(list(shots) * times)
        self.seconds += seconds * self.clips / times
        self.pulses[junction] += round(pulses * self.clips / times)
        self.answers += len(shots) * self.clips
        return np.ones(len(shots), bool)

    def resistances(self, key: str) -> tuple[float, float]:  # noqa: ARG002
        return math.nan, math.nan

    def allows(self, shot: Shot, R: float) -> bool:
        return self.bench.allows(shot, R)


def foresee(finished: Finished, place: str, bench: Bench, junctions: Sequence[int], clips: int) -> Effort:
    """What so many clips take, from a dry run of one; nothing is sent.

    Raises:
        IPNetError: see `put_on_bench`.
    """
    network, dry = copy.deepcopy(finished.network).eval(), _Dry(bench, clips)
    put_on_bench(network, place, dry, junctions, "dry")
    with torch.no_grad():
        network(finished.task.items("validation").batch([0])[0])
    return Effort(dry.answers, dry.seconds, max(dry.pulses.values()))


def run_on_bench(
    finished: Finished,
    place: str,
    bench: Answers,
    junctions: Sequence[int],
    *,
    clips: int = 50,
    split: Split = "validation",
    trims: Mapping[int, Trim] | None = None,
    identities: Sequence[str] = (),
    command: str = "",
    say: Callable[[str], object] = lambda _: None,
    report: Callable[[float], None] = lambda _: None,
) -> HilRun:
    """Run a trained network on clips of its data, with the memory of one position on a bench.

    Args:
        finished: the network, whose memory at the place must be intrinsic, and stands on the bench from then on.
        place: of the memory.
        bench: measures.
        junctions: that take turns.
        clips: of the split, see `some_of`.
        split: that the clips are of.
        trims: of the junctions, see `ipnet.hardware.Hardware`; None finds them first, see `trim_all`.
        command: that does the same, for the record.
        identities: of the instruments, for the record, which says so if they are simulated.
        say: told what it will take, before the first clip.
        report: told the share of the frames that is done.

    Raises:
        IPNetError: no such memory, or more clips than there are; what the bench raises. What was measured stays in
            the journal, and the same call goes on with it.
    """
    items = finished.task.items(split)
    chosen = some_of(items, clips)
    x, y = items.batch(chosen)
    trims, living, dead = prepare(finished, place, bench, junctions, clips, trims, say)
    software = _in_software(finished, place, x)
    label = f"{finished.source}/{place}/{split}/{clips}/{content_hash(living)[:8]}"
    devices = put_on_bench(finished.network, place, bench, living, label, trims)
    for device in devices:
        device.report = lambda: report(sum(one.cycles for one in devices) / (len(x) * len(devices)))
    hardware = _predicted(finished, x)
    expected, measured, served = (
        np.concatenate([part for device in devices for part in getattr(device, name)])
        for name in ("expected", "measured", "served")
    )
    dead |= {number: why for device in devices for number, why in device.dead.items()}

    def by(junction: int) -> Served:
        mine = served == junction
        count, off = int(mine.sum()), deviation(expected[mine], measured[mine])
        own = trims.get(junction)
        return Served(
            junction=junction,
            answers=count,
            deviation=off,
            V_probe=own and own.V_probe,
            heat=own and own.heat,
            dead=dead.get(junction, ""),
        )

    return HilRun(
        run=finished.run.name,
        study=finished.run.study,
        source=finished.source,
        place=place,
        card=devices[0].card.name,
        identities=tuple(identities),
        command=command,
        junctions=tuple(by(junction) for junction in junctions),
        data=finished.result.data["name"],
        real=bool(finished.result.data["real"]),
        split=split,
        items=tuple(items.names[number] for number in chosen),
        truth=tuple(y.tolist()),
        hardware=hardware,
        software=software,
        bins=bins_of(expected, measured, devices[0].model),
        deviation=deviation(expected, measured),
    )


def prepare(
    finished: Finished,
    place: str,
    bench: Answers,
    junctions: Sequence[int],
    clips: int,
    trims: Mapping[int, Trim] | None,
    say: Callable[[str], object],
) -> tuple[dict[int, Trim], list[int], dict[int, str]]:
    """How each junction is asked, which of them live, and why others do not; says what it and the clips will take.

    Raises:
        IPNetError: see `run_on_bench`.
    """
    _, model = junction_of(finished, place)
    found, dead = dict(trims or {}), dict[int, str]()
    if trims is None:
        if isinstance(bench, Bench):
            shots = [Shot(np.array([float(model.V_probe)]), np.array([float(model.t_probe)]))] * shots_of_trim()
            seconds = len(junctions) * bench.estimate(shots)[0]
            assumed = "" if bench.journal.pace() else ", if a batch takes half a second"
            time = format_duration(seconds)
            say(f"trimming {len(junctions)} junctions, {len(shots):,} shots each: about {time}{assumed}")
        found, dead = trim_all(bench, junctions, model)
    living = [junction for junction in junctions if junction not in dead]
    if isinstance(bench, Bench):
        effort = foresee(finished, place, bench, living, clips)
        say(str(effort))
        left = bench.limits.pulses - max(bench.journal.applied(junction) for junction in living)
        if effort.pulses > left:
            say(f"the limit 'pulses' leaves {left:,.0f}: take fewer clips or more junctions, or it stops there")
    return found, living, dead


def some_of(items: Items, clips: int, seed: int = 0) -> list[int]:
    """Numbers of so many clips, drawn without return: a split may have all copies of one kind in a row.

    Raises:
        IPNetError: more clips than there are, or none.
    """
    if not 1 <= clips <= len(items):
        raise IPNetError(f"the clips must be 1 to {len(items)}, as many as the split has; got {clips}.")
    drawn: list[int] = np.random.default_rng(make_seed(seed)).permutation(len(items))[:clips].tolist()
    return drawn


def put_on_bench(
    network: Network,
    place: str,
    bench: Answers,
    junctions: Sequence[int],
    label: str,
    trims: Mapping[int, Trim] | None = None,
) -> list[Hardware]:
    """Give the neurons of a memory a bench in place of their law, see `ipnet.hardware.Hardware`.

    Raises:
        IPNetError: no such memory, or one that is not of magnetic tunnel junctions.
    """
    devices = list[Hardware]()
    for number, (neuron, junction) in enumerate(_neurons(network, place)):
        device = Hardware(junction.double(), bench, junctions, f"{label}/{number}", trims)
        neuron.device, neuron.backend, neuron.emission = device, "reference", "expectation"
        devices.append(device)
    return devices


def junction_of(finished: Finished, place: str) -> tuple[str, MTJ]:
    """Card of the junctions of a memory, as the run's configuration names it, and one of them, with its clock.

    Raises:
        IPNetError: see `run_on_bench`.
    """
    _, device = _neurons(finished.network, place)[0]
    options = finished.run.memory.get(finished.run.memory_name, {})
    return str(options.get("card", device.card.name)), device


def trim_all(bench: Answers, junctions: Sequence[int], model: MTJ) -> tuple[dict[int, Trim], dict[int, str]]:
    """How each junction that lives is asked, see `ipnet.bench_procedures.trim`; and why others are dead.

    Raises:
        IPNetError: none lives.
    """
    trims, dead = dict[int, Trim](), dict[int, str]()
    key, hottest = content_hash(model.card.clock.model_dump())[:8], partial(hottest_shots, model)
    for junction in junctions:
        try:
            trims[junction] = trim(bench, junction, model, label=f"trim/{junction}/{key}", hottest=hottest)
        except DeadJunction as error:
            dead[junction] = error.why
        except UnsuitableError as error:
            dead[junction] = str(error)
    if not trims:
        why = "; ".join(f"junction {junction} is set aside: {reason}" for junction, reason in dead.items())
        raise IPNetError(
            f"one junction at least must live; got: {why}: put in another chip, with another journal."
        )
    return trims, dead


def bins_of(expected: Floats, measured: Floats, model: MTJ, count: int = _BINS) -> tuple[Bin, ...]:
    """Answers in bins of equally many, by what the law expected, and the temperatures that they tell of.

    Args:
        expected: probability of each answer by the law.
        measured: 1 for an answer in which the junction switched.
        model: the law.
        count: of bins.
    """
    rise, made = rises_of(model), list[Bin]()
    for part in np.array_split(np.argsort(expected, kind="stable"), count):
        if not len(part):
            continue
        share, mean = wilson(int(measured[part].sum()), len(part)), float(expected[part].mean())
        value, low, high = (rise(p) for p in (share.value, share.low, share.high))
        seen = Estimate(value=value, low=low, high=high, n=len(part), unit="K")
        made.append(Bin(expected=mean, measured=share, rise_expected=rise(mean), rise_measured=seen))
    return tuple(made)


def rises_of(model: MTJ) -> Callable[[float], float]:
    """The temperature rise [K] at which a junction answers a probe with a probability; of its slowest pole.

    Example:
        >>> from ipnet.device import load_device
        >>> mtj = load_device("mtj-thermal")
        >>> warm = torch.tensor([40.0], dtype=torch.float64)
        >>> round(rises_of(mtj)(float(mtj.answer(mtj.V_probe, mtj.t_probe, (warm,)))), 2)
        40.0
    """
    rises = torch.linspace(_COOLEST, float(model.hottest.max()), _NODES, dtype=torch.float64)
    slowest = int(model.tau_th.reshape(model.poles, -1).amax(1).argmax())
    state = tuple(rises if pole == slowest else torch.zeros_like(rises) for pole in range(model.poles))
    p = model.answer(model.V_probe, model.t_probe, state).numpy()
    return lambda value: float(np.interp(value, p, rises.numpy()))


def _in_software(finished: Finished, place: str, x: Tensor) -> tuple[tuple[int, ...], ...]:
    """What the network answers without a bench, with single spikes drawn anew each time."""
    neurons, answers = _neurons(finished.network, place), []
    finished.network.eval()
    for repeat in range(_REPEATS):
        for number, (neuron, _) in enumerate(neurons):
            neuron.emission = "sample"
            neuron.generator.manual_seed(make_seed(repeat, number))
        answers.append(_predicted(finished, x))
    return tuple(answers)


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
