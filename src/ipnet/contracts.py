"""The contracts of the extension points, as checks that any plug-in can run on itself.

Each clause is a function that yields what it has seen where a plug-in breaks it; its first line is the rule.
"""

import contextlib
import math
import os
import random
import re
from collections.abc import Callable, Generator, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipnet.budget import Backbone
from ipnet.data import DATA, SPLITS, EventSet
from ipnet.device import Device, State, load_device
from ipnet.errors import IPNetError
from ipnet.events import check_events
from ipnet.field import Layout
from ipnet.instrument import INSTRUMENTS, Instrument
from ipnet.memory import MEMORIES, Memory
from ipnet.network import Network
from ipnet.neuron import Neuron
from ipnet.paradigm import PARADIGMS, Cue, Judge, Paradigm, Performance, Recall, Show
from ipnet.perturbation import (
    PERTURBATIONS,
    InputPerturbation,
    NetworkPerturbation,
    Perturbation,
    perturb_clips,
)
from ipnet.tasks import TASKS, Items, Task

Findings = Generator[str, None, None]
DeviceMaker = Callable[[], Device]
MemoryMaker = Callable[[int], Memory]

# Every axis has a size of its own, so that exchanged axes cannot pass.
_SHAPES = {"sensor": (7, 3, 2, 6, 5), "map": (6, 2, 4, 5, 3), "vector": (5, 3, 4)}
_DEFAULTS = {"frontier": "sensor", "stem": "map", "maps": "map", "top": "map", "head": "vector"}
_ITEM_NAME = re.compile(r"^[^/]+/(?P<group>.+)/\d+(/.*)?$")


class ContractViolation(IPNetError):  # noqa: N818
    """A plug-in breaks its contract: which entry, which clause, and what was seen."""


def check_device(card: str | Path) -> None:
    """Check the device of a card, given by the name of a shipped one or by the path of a TOML file.

    Raises:
        ContractViolation: the first clause that the device breaks.
        IPNetError: there is no such card, or it breaks a rule of its own.

    Example:
        >>> check_device("memoryless")
    """
    load_device(card)
    clauses = _sourced, _fixed, _stateful, _bounded, _continuable, _separate, _steerable, _sampled, _precise
    _check(f"the device of card '{card}'", clauses, lambda: load_device(card))


def check_memory(name: str, **options: Any) -> None:
    """Check a memory, built with `options`, on everything that it says it may stand on.

    Raises:
        ContractViolation: the first clause that the memory breaks.

    Example:
        >>> check_memory("lstm")
    """
    entry = MEMORIES[name]

    def build(channels: int) -> Memory:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return MEMORIES.build(name, channels, **options).eval()

    _check(f"memory '{name}'", (_documented, _placed), entry)
    shaped = wraps(_same_shape)(partial(_same_shape, widening=entry.widening(**options)))
    clauses = shaped, _careful, _reproducible, _independent, _trainable, _causal, _resumable
    for place in entry.places:
        _check(f"memory '{name}' on a {place}", clauses, build, _SHAPES[place])


def check_data(name: str, folder: Path) -> None:
    """Check the example of an event data set; it and its cache are written into the empty `folder`.

    Raises:
        ContractViolation: the first clause that the data set breaks.
    """
    with _apart_in(folder / "first") as files:
        clauses = _documented, _labelled, _disjoint, _pure, _protected
        _check(f"data set '{name}'", clauses, DATA[name].example(files), folder / "second")


def check_task(name: str, folder: Path) -> None:
    """Check the example of a task; it and its cache are written into the empty `folder`.

    Raises:
        ContractViolation: the first clause that the task breaks.
    """
    with _apart_in(folder / "first") as files:
        task = TASKS[name].example(files)
        splits = {split: task.items(split) for split in SPLITS}
        clauses = _documented, _tested_once, _shaped, _apart, _repeatable, _scored
        _check(f"task '{name}'", clauses, task, splits, folder / "second")


def check_perturbation(name: str) -> None:
    """Check a perturbation: one of the input on random clips, one of the network on a network with every memory.

    Raises:
        ContractViolation: the first clause that the perturbation breaks.

    Example:
        >>> check_perturbation("event_drop")
    """
    perturbation, who = PERTURBATIONS.build(name), f"perturbation '{name}'"
    _check(who, (_documented, _ranged), perturbation)
    if isinstance(perturbation, InputPerturbation):
        _check(who, (_neutral_on_clips, _counted, _apart_from_others), perturbation)
        return
    for memory in MEMORIES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = Network((2, 6, 5), 3, Backbone(width=3, blocks=(1,)), memory).eval()
        clauses = _neutral_on_networks, _careful_with_networks
        _check(f"{who} on a network with '{memory}'", clauses, perturbation, network)


def check_paradigm(name: str, **options: Any) -> None:
    """Check a memory paradigm: its stimuli are a pure function, and what its steps name exists.

    Raises:
        ContractViolation: the first clause that the paradigm breaks.

    Example:
        >>> check_paradigm("free_recall", list_length=5)
    """
    paradigm = PARADIGMS.build(name, **options)
    _check(f"paradigm '{name}'", (_documented, _drawn_anew, _named, _counted_by_subject), paradigm)


def check_instrument(name: str) -> None:
    """Check the driver of an instrument on a panel that replies what the driver says a healthy one does.

    Raises:
        ContractViolation: the first clause that the driver breaks.

    Example:
        >>> check_instrument("keithley_2600")
    """
    clauses = _documented, _cited, _identified, _parked, _emptied
    _check(f"instrument '{name}'", clauses, INSTRUMENTS[name])


def _check(who: str, clauses: tuple[Callable[..., Findings], ...], *subject: Any) -> None:
    for clause in clauses:
        before = _global_random_states()
        rule = (clause.__doc__ or clause.__name__).partition("\n")[0]
        try:
            with contextlib.closing(clause(*subject)) as findings:
                seen = next(findings, None)
        except Exception as error:
            raise ContractViolation(f"{who} fails in '{rule}' with {type(error).__name__}: {error}") from error
        if seen:
            raise ContractViolation(f"{who} breaks '{rule}' Seen: {seen}.")
        if _global_random_states() != before:
            raise ContractViolation(f"{who} breaks 'Global random states are untouched.' Seen in '{rule}'.")


def _global_random_states() -> tuple[bytes, str, object]:
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


def _random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same numbers in [0, 1) at every call."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def _tensors(state: Any) -> list[Tensor]:
    """The tensors of a state of any nesting."""
    if isinstance(state, Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, tuple | list) else ()
    return [tensor for part in inner for tensor in _tensors(part)]


@contextlib.contextmanager
def _apart_in(folder: Path) -> Iterator[Path]:
    """A folder with a cache of its own, so that no cache can make two clips equal that are not."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    before = os.environ.get("IPNET_CACHE")
    os.environ["IPNET_CACHE"] = str(folder / "cache")
    try:
        yield folder / "files"
    finally:
        os.environ.pop("IPNET_CACHE")
        if before is not None:
            os.environ["IPNET_CACHE"] = before


def _documented(entry: Any, *_: Any) -> Findings:
    """The class has a docstring."""
    kind = entry if isinstance(entry, type) else type(entry)
    if not (kind.__doc__ or "").strip():
        yield f"{kind.__name__} has none"


# Devices


def _pulse(device: Device, V: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Expected emission for pulses V [T, ...] and the state after them."""
    state = device.rest(V[0]) if state is None else state
    emitted = []
    for V_t in V:
        p, state = device.cycle(V_t, state, lambda p: p)
        emitted.append(p)
    return torch.stack(emitted), state


def _pulses(device: Device, *shape: int) -> Tensor:
    """Random pulses over the whole range [V], float64."""
    return device.V_max.double() * _random(*shape, dtype=torch.float64)


def _sourced(build: DeviceMaker) -> Findings:
    """Every value is written in the card with a unit and a source, and the class has a docstring."""
    device = build()
    yield from _documented(type(device))
    for table in ("parameters", "clock"):
        for key, value in getattr(device.card, table).model_dump().items():
            entry = device.card.entries.get(f"{table}.{key}")
            if isinstance(value, float | tuple) and not (entry and entry.unit and (entry.source or entry.assumed)):
                yield f"{table}.{key} has not"


def _fixed(build: DeviceMaker) -> Findings:
    """No device value can be trained: all are buffers outside the checkpoint; an optimiser moves only the gain."""
    device, values = build(), []
    for name, _ in device.named_parameters():
        yield f"'{name}' is an nn.Parameter"
    for table in (device.card.parameters, device.card.clock):
        values += [key for key, value in table.model_dump().items() if isinstance(value, float | tuple)]
    buffers = dict(device.named_buffers())
    for name in sorted(set(values) - set(buffers)):
        yield f"'{name}' is not a buffer"
    for name in sorted(device.state_dict()):
        yield f"'{name}' is in the state_dict"
    neuron, before = Neuron(device, 3), {name: value.clone() for name, value in buffers.items()}
    optimizer = torch.optim.SGD(neuron.parameters(), lr=1.0)
    (neuron(_random(4, 2, 3))[0] ** 2).sum().backward()
    optimizer.step()
    for name, value in device.named_buffers():
        if not torch.equal(value, before[name]) or value.requires_grad:
            yield f"'{name}' changed in an optimiser step, or requires a gradient"
    if not neuron.log_gain.detach().any():
        yield "an optimiser step left the gain where it was: no gradient reaches it"


def _stateful(build: DeviceMaker) -> Findings:
    """`rest` and `cycle` give one tensor per name in `state_names`, of the shape of V; each name has a [unit]."""
    device = build()
    V = _pulses(device, 1, 3, 2, 4)
    for name in device.state_names:
        if not re.search(r"\[.+\]$", name):
            yield f"'{name}' has no unit"
    for where, state in (("rest", device.rest(V[0])), ("cycle", _pulse(device, V)[1])):
        if [part.shape for part in state] != [V[0].shape for _ in device.state_names]:
            yield f"{where} gives {[tuple(part.shape) for part in state]} for V {tuple(V[0].shape)}"


def _bounded(build: DeviceMaker) -> Findings:
    """The emission is in [0, 1] and the state finite for any pulse in [0, V_max], however often it comes."""
    device = build()
    levels = torch.linspace(0, float(device.V_max), 41, dtype=torch.float64)
    p, state = _pulse(device, levels.expand(500, -1))
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        step, level = (int(i) for i in wrong.nonzero()[0])
        yield f"{p[step, level]:.3g} in cycle {step} at V = {levels[level]:.3g} V"
    if not all(part.isfinite().all() for part in state):
        yield "a state that is not finite after 500 cycles"


def _continuable(build: DeviceMaker) -> Findings:
    """Resumable: cycles a + b give the same as cycles a, then cycles b from their state."""
    device = build()
    V = _pulses(device, 9, 3, 2)
    p, end = _pulse(device, V)
    first, state = _pulse(device, V[:4])
    second, state = _pulse(build(), V[4:], state)
    if not _close(p, torch.cat([first, second]), 1e-9):
        yield "the emission differs after the cut"
    if not all(_close(a, b, 1e-9) for a, b in zip(end, state, strict=True)):
        yield "the state at the end differs"


def _separate(build: DeviceMaker) -> Findings:
    """Elements are independent: a junction does not see its neighbours."""
    device = build()
    V = _pulses(device, 6, 3, 2)
    together = _pulse(device, V)[0]
    for i in range(3):
        if not _close(together[:, i], _pulse(device, V[:, i])[0], 1e-9):
            yield f"element {i} of 3 answers differently when it is alone"


def _steerable(build: DeviceMaker) -> Findings:
    """The gradient of the emission reaches the pulse, and is finite at every voltage."""
    device = build()
    V = torch.linspace(0, float(device.V_max), 41, dtype=torch.float64).repeat(3, 1).requires_grad_()
    _pulse(device, V)[0].sum().backward()  # type: ignore[no-untyped-call]
    if V.grad is None or not V.grad.any():
        yield "it is zero at every voltage"
    elif not V.grad.isfinite().all():
        yield "it is not finite"


def _sampled(build: DeviceMaker) -> Findings:
    """`emit` is called once per cycle; sampled spikes are 0 or 1, and the same for the same seed."""
    calls: list[Tensor] = []
    device = build()
    V = _pulses(device, 1, 3, 2)

    def emit(p: Tensor) -> Tensor:
        calls.append(p)
        return p

    device.cycle(V[0], device.rest(V[0]), emit)
    if len(calls) != 1:
        yield f"it was called {len(calls)} times"
    first, second = (Neuron(build(), 3, emission="sample", seed=5)(_random(6, 4, 3))[0] for _ in range(2))
    if not _close(first, first.round()) or not _close(first.clamp(0, 1), first):
        yield "a spike is neither 0 nor 1"
    if not torch.equal(first, second):
        yield "one seed gave two different spike trains"


def _precise(build: DeviceMaker) -> Findings:
    """Float32 in gives float32 out, float64 gives float64, and both agree."""
    device = build()
    V = _pulses(device, 20, 3)
    double, single = _pulse(device, V)[0], _pulse(device, V.float())[0]
    if (double.dtype, single.dtype) != (torch.float64, torch.float32):
        yield f"float64 gave {double.dtype}, float32 gave {single.dtype}"
    elif not _close(double.float(), single, 1e-3):
        yield f"they differ by {(double - single).abs().max():.2g}"


# Memories


def _placed(entry: type[Memory]) -> Findings:
    """`places` are known and the default position is one of them."""
    if not entry.places or set(entry.places) - set(_SHAPES):
        yield f"places = {entry.places}"
    if entry.default in _DEFAULTS and _DEFAULTS[entry.default] not in entry.places:
        yield f"default = '{entry.default}' with places = {entry.places}"


def _same_shape(build: MemoryMaker, shape: tuple[int, ...], widening: int) -> Findings:
    """The output has the shape of x [T, B, C, ...] but for `widening`, also for one frame or clip, finite."""
    for steps, batch in ((shape[0], shape[1]), (1, shape[1]), (shape[0], 1)):
        x = _random(steps, batch, *shape[2:])
        y = build(shape[2])(x)[0]
        if y.shape != (steps, batch, widening * shape[2], *shape[3:]) or not y.isfinite().all():
            yield f"x {tuple(x.shape)} gave y {tuple(y.shape)}, finite: {bool(y.isfinite().all())}"


def _reproducible(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """The same seed gives the same output."""
    x = _random(*shape)
    if not torch.equal(build(shape[2])(x)[0], build(shape[2])(x)[0]):
        yield "two memories that were built alike answer differently"


def _careful(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """The caller's tensors are untouched."""
    x, memory = _random(*shape), build(shape[2])
    kept = x.clone()
    _, state = memory(x)
    if not torch.equal(x, kept):
        yield "x was written to"
    kept_state = [part.clone() for part in _tensors(state)]
    memory(x, state)
    if not all(torch.equal(a, b) for a, b in zip(_tensors(state), kept_state, strict=True)):
        yield "the state that was passed in was written to"


def _independent(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """Clips of a batch do not see each other (in evaluation)."""
    x, other = _random(*shape), _random(*shape)
    other[:, 0] = 2 - other[:, 0]
    if not _close(build(shape[2])(x)[0][:, 1:], build(shape[2])(other)[0][:, 1:]):
        yield "clip 0 changed the output of another clip"


def _trainable(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """The gradient reaches the input and is finite."""
    x = _random(*shape).requires_grad_()
    y = build(shape[2])(x)[0]
    (y * (1 + _random(*y.shape))).sum().backward()
    if x.grad is None or not x.grad[0].any():
        yield "no gradient reaches the first frame"
    elif not x.grad.isfinite().all():
        yield "a gradient is not finite"


def _causal(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """Causal: what comes later does not change what was already answered."""
    memory = build(shape[2])
    if not memory.causal:
        return
    y = memory(_random(*shape))[0]
    for now in (0, shape[0] - 2):
        other = _random(*shape)
        other[now + 1 :] = 2 - other[now + 1 :]
        if not _close(y[: now + 1], build(shape[2])(other)[0][: now + 1]):
            yield f"frames after {now} changed the output up to frame {now}"


def _resumable(build: MemoryMaker, shape: tuple[int, ...]) -> Findings:
    """Resumable: run(a + b) equals run(a), then run(b) from its state."""
    x, memory = _random(*shape), build(shape[2])
    if not memory.causal:
        return
    y, end = memory(x)
    for cut in (1, shape[0] // 2, shape[0] - 1):
        memory = build(shape[2])
        first, state = memory(x[:cut])
        second, state = memory(x[cut:], state)
        if not _close(y, torch.cat([first, second])):
            yield f"the output differs when the run is cut after frame {cut - 1}"
        if not all(_close(a, b) for a, b in zip(_tensors(end), _tensors(state), strict=True)):
            yield f"the state at the end differs when the run is cut after frame {cut - 1}"


# Data sets


def _all_indices(data: EventSet) -> list[int]:
    return [int(i) for split in SPLITS for i in data.indices(split)]


def _labelled(data: EventSet, _: Path) -> Findings:
    """Origin, sensor, classes or targets are stated; every label is one of the classes, every target finite."""
    if not isinstance(data.real, bool) or not data.description:
        yield f"real = {data.real!r}, description = {data.description!r}"
    if len(data.sensor) != 2 or min(data.sensor) < 1 or len(set(data.classes)) < len(data.classes):
        yield f"sensor = {data.sensor}, classes = {data.classes}"
    if not data.classes and not data.targets:
        yield "it has neither classes nor targets"
    if any(not re.search(r"\[.+\]$", name) for name in data.targets):
        yield f"a target without a unit among {data.targets}"
    for i in _all_indices(data):
        if data.classes and not 0 <= data.label(i) < len(data.classes):
            yield f"clip {i} has the label {data.label(i)} of {len(data.classes)} classes"
    for i in _all_indices(data) if data.targets else []:
        if data.target(i).shape != (len(data.targets),) or not np.isfinite(data.target(i)).all():
            yield f"clip {i} has the targets {data.target(i)} for {data.targets}"


def _truth(data: EventSet, index: int) -> list[float]:
    """What there is to know about a clip: its label and its targets."""
    label = [float(data.label(index))] if data.classes else []
    return label + (data.target(index).tolist() if data.targets else [])


def _disjoint(data: EventSet, _: Path) -> Findings:
    """Every split has clips, and no clip and no group is in two splits."""
    home: dict[object, str] = {}
    for split in SPLITS:
        indices = data.indices(split)
        if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer) or not indices.size:
            yield f"'{split}' is {indices.dtype} {indices.shape}"
        if np.unique(indices).size < indices.size:
            yield f"'{split}' has a clip twice"
        for i in indices.tolist():
            for what in (i, data.group(i)):
                if home.setdefault(what, split) != split:
                    kind = "clip" if what == i else "group"
                    yield f"{kind} '{what}' is in '{home[what]}' and in '{split}'"


def _pure(data: EventSet, folder: Path) -> Findings:
    """Pure: clips, labels, targets, fingerprint are the same in any order, from any instance, prepared or not."""
    clips = {i: check_events(data.events(i), data.sensor, f"clip {i}").copy() for i in _all_indices(data)}
    with _apart_in(folder) as files:
        again = type(data).example(files)
        again.prepare()
        if _all_indices(again) != list(clips):
            yield "two instances have different splits"
        for i in reversed(clips):
            if not np.array_equal(again.events(i), clips[i]) or _truth(again, i) != _truth(data, i):
                yield f"clip {i} differs between two instances, read in another order"
        if again.fingerprint() != data.fingerprint():
            yield f"the fingerprint is {data.fingerprint()}, then {again.fingerprint()}"


def _protected(data: EventSet, _: Path) -> Findings:
    """A caller who writes into a clip does not change what is read later."""
    for i in _all_indices(data)[:3]:
        events = data.events(i)
        kept = events.copy()
        if events.flags.writeable:
            events["t"] += 1
        if not np.array_equal(data.events(i), kept):
            yield f"clip {i} kept what a caller wrote into it"


# Tasks

Splits = dict[str, Items]


def _tested_once(task: Task, splits: Splits, folder: Path) -> Findings:  # noqa: ARG001
    """The test split is handed out once in the life of a task."""
    with contextlib.suppress(IPNetError):
        task.items("test")
        yield "it was handed out twice"


def _shaped(task: Task, splits: Splits, folder: Path) -> Findings:  # noqa: ARG001
    """A batch is x [T, B, C, H, W] as `shape` says, finite, and y [B, ...]; classes are below the outputs."""
    for split, items in splits.items():
        x, y = items.batch(range(len(items)))
        expected = (task.shape[0], len(items), *task.shape[1:])
        if x.shape != expected or not x.is_floating_point() or not x.isfinite().all():
            yield f"'{split}' gives x {x.dtype} {tuple(x.shape)} instead of finite floats {expected}"
        if y.shape[:1] != (len(items),):
            yield f"'{split}' gives y {tuple(y.shape)} for {len(items)} items"
        if not y.is_floating_point() and not 0 <= int(y.min()) <= int(y.max()) < len(task.outputs):
            yield f"'{split}' has classes {int(y.min())} to {int(y.max())} with {len(task.outputs)} outputs"


def _apart(task: Task, splits: Splits, folder: Path) -> Findings:  # noqa: ARG001
    """Names are unique, and no group (of names `split/group/number`) and no input is in two splits."""
    home: dict[object, str] = {}
    for split, items in splits.items():
        if len(set(items.names)) < max(1, len(items)):
            yield f"'{split}' has {len(items)} items with {len(set(items.names))} names"
        for i, name in enumerate(items.names):
            match = _ITEM_NAME.match(name)
            group = ("group", match["group"]) if match else ("name", name)
            content = items.batch([i])[0].contiguous().numpy().tobytes()
            for what in (group, content):
                if home.setdefault(what, split) != split:
                    yield f"the {'input' if what == content else group[0]} of '{name}' is also in '{home[what]}'"


def _repeatable(task: Task, splits: Splits, folder: Path) -> Findings:
    """Pure: items and fingerprint are the same in any order, from any instance, whatever a caller writes."""
    with _apart_in(folder) as files:
        again = type(task).example(files)
        again.prepare()
        for split in SPLITS:
            x, y = (tensor.clone() for tensor in splits[split].batch(range(len(splits[split]))))
            for written in splits[split].batch(range(len(y))):
                written.zero_()
            for items in (splits[split], again.items(split)):
                for i in reversed(range(len(items))):
                    x_i, y_i = items.batch([i])
                    if not torch.equal(x_i[:, 0], x[:, i]) or not torch.equal(y_i[0], y[i]):
                        yield f"item '{items.names[i]}' differs when it is read again"
        if again.facts()["fingerprint"] != task.facts()["fingerprint"]:
            yield "the fingerprint differs between two instances"


def _scored(task: Task, splits: Splits, folder: Path) -> Findings:  # noqa: ARG001
    """Facts are stated; the loss is a finite scalar with a gradient; `metrics` has the score."""
    facts, counts = task.facts(), {split: len(items) for split, items in splits.items()}
    missing = {"name", "real", "description", "fingerprint", "items"} - set(facts)
    if missing or not isinstance(facts["real"], bool) or facts["items"] != counts:
        yield f"facts {facts}; missing: {sorted(missing)}; items counted: {counts}"
    _, y = splits["validation"].batch(range(counts["validation"]))
    outputs = _random(task.shape[0], len(y), len(task.outputs)).requires_grad_()
    combined = task.combine(outputs)
    loss = task.loss(combined, y)
    if loss.shape != () or not math.isfinite(loss.item()):
        yield f"a loss of {loss}"
    loss.backward()  # type: ignore[no-untyped-call]
    if outputs.grad is None or not outputs.grad.any() or not outputs.grad.isfinite().all():
        yield "a gradient of the loss that is zero or not finite"
    metrics = task.metrics(task.predict(combined.detach()), y)
    if task.score_name not in metrics or not math.isfinite(metrics[task.score_name].value):
        yield f"metrics {sorted(metrics)}; the score is '{task.score_name}'"


# Perturbations


def _levels(perturbation: Perturbation) -> list[float]:
    """Some levels of its range, the neutral one first."""
    some = (0.1, 0.5, 1.0, 2.0)
    able = [level for level in some if perturbation.lowest <= level <= perturbation.highest]
    return [perturbation.neutral, *able]


def _ranged(perturbation: Perturbation) -> Findings:
    """The meaning of the level is stated with a [unit], the neutral one is in its range, others are refused."""
    if not re.search(r"\[.+\]$", perturbation.meaning):
        yield f"the meaning '{perturbation.meaning}'"
    perturbation.check(perturbation.neutral)
    if perturbation.distance(perturbation.neutral) != 0:
        yield f"the neutral level {perturbation.neutral:g} has a distance from itself"
    for level in (perturbation.lowest - 1, perturbation.highest + 1, math.nan):
        with contextlib.suppress(IPNetError):
            perturbation.check(level)
            yield f"the level {level:g} was taken"


def _clips() -> Tensor:
    """Counts of events [T, B, C, H, W], with halves."""
    return (8 * _random(7, 3, 2, 6, 5)).floor() / 2


def _neutral_on_clips(perturbation: InputPerturbation) -> Findings:
    """The neutral level changes nothing, bit for bit."""
    if not torch.equal(perturb_clips(_clips(), range(3), perturbation, perturbation.neutral, 0), _clips()):
        yield "a clip differs"


def _counted(perturbation: InputPerturbation) -> Findings:
    """Clips keep shape and dtype, counts stay finite and are not negative, the caller's tensors are untouched."""
    for level in _levels(perturbation):
        for x in (_clips(), _clips()[:1], _clips().double()):
            kept = x.clone()
            y = perturb_clips(x, range(3), perturbation, level, 0)
            if y.shape != x.shape or y.dtype != x.dtype:
                yield f"at {level:g}, {x.dtype} {tuple(x.shape)} gave {y.dtype} {tuple(y.shape)}"
            elif not y.isfinite().all() or y.min() < 0:
                yield f"at {level:g}, a count of {y.min():g} or one that is not finite"
            if not torch.equal(x, kept):
                yield f"at {level:g}, the clips were written to"


def _apart_from_others(perturbation: InputPerturbation) -> Findings:
    """Pure: what happens to a clip is a function of level, seed and number, in whatever batch it comes."""
    for level in _levels(perturbation):
        together = perturb_clips(_clips(), range(3), perturbation, level, 5)
        alone = perturb_clips(_clips()[:, [1]], [1], PERTURBATIONS.build(perturbation.name()), level, 5)  # type: ignore[arg-type]
        if not torch.equal(together[:, [1]], alone):
            yield f"at {level:g}, a clip differs when it is alone"


def _answers(network: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = network(_clips())[0]
    return outputs


def _neutral_on_networks(perturbation: NetworkPerturbation, network: Network) -> Findings:
    """The neutral level changes no answer, bit for bit."""
    if not torch.equal(_answers(perturbation.perturb(network, perturbation.neutral, 0)), _answers(network)):
        yield "an answer differs"


def _careful_with_networks(perturbation: NetworkPerturbation, network: Network) -> Findings:
    """The network given is untouched; its copy answers in the same shape, the same for the same seed."""
    before, weights = _answers(network), {name: value.clone() for name, value in network.state_dict().items()}
    for level in [] if perturbation.inapplicable(network) else _levels(perturbation):
        first, second = (_answers(perturbation.perturb(network, level, 5)) for _ in range(2))
        if first.shape != before.shape or not first.isfinite().all():
            yield f"at {level:g}, {tuple(before.shape)} became {tuple(first.shape)}, or is not finite"
        if not torch.equal(first, second):
            yield f"at {level:g}, one seed gave two different answers"
        if not torch.equal(_answers(network), before) or any(
            not torch.equal(value, weights[name]) for name, value in network.state_dict().items()
        ):
            yield f"at {level:g}, the network was changed"


def _drawn_anew(paradigm: Paradigm) -> Findings:
    """The items of a trial are a function of its seed and index, in any order."""
    layout = Layout()
    there = [paradigm.items(layout, 3, index) for index in range(6)]
    back = [paradigm.items(layout, 3, index) for index in reversed(range(6))][::-1]
    if any(not np.array_equal(a, b) for a, b in zip(there, back, strict=True)):
        yield "a trial was another one when its neighbours had been drawn before"
    if all(np.array_equal(there[0], other) for other in (*there[1:], paradigm.items(layout, 4, 0))):
        yield "all trials are the same"


def _named(paradigm: Paradigm) -> Findings:
    """Steps name columns that exist, columns hold items of the field, and something is asked."""
    layout = Layout()
    items, script = paradigm.items(layout, 0, 0), paradigm.script()
    if items.ndim != 1 or not np.issubdtype(items.dtype, np.integer):
        yield f"items of {items.dtype} {list(items.shape)}, where integers [columns] belong"
    if items.min() < 0 or items.max() >= layout.words + layout.distractors:
        yield f"items {items.min()} to {items.max()}, of {layout.words} words and {layout.distractors} distractors"
    columns = {step.column for step in script if isinstance(step, Show | Judge | Cue)}
    if columns != set(range(len(items))):
        yield f"columns {sorted(columns)} in the script, and {len(items)} items"
    if not any(isinstance(step, Judge | Cue | Recall) for step in script):
        yield "a script that asks nothing"


def _counted_by_subject(paradigm: Paradigm) -> Findings:
    """A score counts what each subject did, of how often it could."""
    layout, script = Layout(), paradigm.script()
    items = np.stack([paradigm.items(layout, 0, index) for index in range(8)])
    judged = sum(isinstance(step, Judge) for step in script)
    rng = np.random.default_rng(0)
    cues = sum(isinstance(step, Cue) for step in script)
    answered = 5 * any(isinstance(step, Recall) for step in script)
    named, recalled = (rng.integers(-1, layout.words, (8, count)) for count in (cues, answered))
    strength, subjects = rng.normal(size=(8, judged)), np.repeat(np.arange(4), 2)
    answers = Performance(items, strength, named, recalled, subjects, 0.0, layout)
    curves = paradigm.score(answers)
    if not curves:
        yield "no curve"
    for name, rate in curves.items():
        if len(rate.actual) != 4 or rate.actual.shape != rate.possible.shape:
            yield f"'{name}' has {list(rate.actual.shape)} counts of {list(rate.possible.shape)} for 4 subjects"
        if rate.actual.min() < 0 or (rate.actual[rate.possible == 0] > 0).any():
            yield f"'{name}' counts what could not be"


# Instruments


class _Panel:
    """A transport that notes what is sent; the reply to a message is the next of its list, the last one again."""

    def __init__(self, replies: dict[str, list[str]]) -> None:
        self._replies, self.sent = replies, list[str]()

    def write(self, message: str) -> None:
        self.sent.append(message)

    def query(self, message: str) -> str:
        self.sent.append(message)
        replies = self._replies[message]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def write_binary_values(self, message: str, *_: Any, **__: Any) -> None:
        self.sent.append(message)

    def query_binary_values(self, message: str, *_: Any, **__: Any) -> list[int]:
        self.sent.append(message)
        return [0]

    def close(self) -> None:
        self.sent.append("(closed)")


def _connected(entry: type[Instrument], **first: list[str]) -> tuple[Instrument, _Panel]:
    """The driver on a panel, and the panel, which has forgotten the question about the identity."""
    panel = _Panel({message: [reply] for message, reply in entry.replies.items()} | first)
    instrument = entry(panel)
    panel.sent.clear()
    return instrument, panel


def _cited(entry: type[Instrument]) -> Findings:
    """The manual is named, and the source of every message."""
    if not entry.manual.strip():
        yield "no manual"
    for message, source in entry.sources.items():
        if not source.strip():
            yield f"no source of '{message}'"
    instrument, panel = _connected(entry)
    instrument.park()
    instrument.errors()
    for message in ["*IDN?", *panel.sent]:
        if not message.startswith(tuple(entry.sources)):
            yield f"'{message}' is none of the sources"


def _identified(entry: type[Instrument]) -> Findings:
    """Whoever is another instrument is refused, and asked for nothing but the identity."""
    for reply in (entry.replies["*IDN?"], "ACME,Toaster 9000,1,1.0", ""):
        panel = _Panel({message: [answer] for message, answer in entry.replies.items()} | {"*IDN?": [reply]})
        with contextlib.suppress(IPNetError):
            entry(panel)
            if reply != entry.replies["*IDN?"]:
                yield f"it accepts '{reply}'"
        if panel.sent != ["*IDN?"]:
            yield f"it sends {panel.sent} to '{reply}'"
    if not re.match(entry.identity, entry.replies["*IDN?"], re.IGNORECASE):
        yield f"it refuses its own '{entry.replies['*IDN?']}'"


def _parked(entry: type[Instrument]) -> Findings:
    """After `park` nothing is driven, however often it is called."""
    instrument, panel = _connected(entry)
    for _ in range(2):
        panel.sent.clear()
        instrument.park()
        told = [message for message in panel.sent if message.rpartition(" ")[2][-1:] != "?"]
        if told[-1:] != [entry.off][: bool(entry.off)]:
            yield f"the last message is '{told[-1] if told else ''}' instead of '{entry.off}'"


def _emptied(entry: type[Instrument]) -> Findings:
    """`errors` reads all errors, and none where there is none."""
    message, reply = entry.fault
    quiet = entry.replies[message]
    instrument, _ = _connected(entry, **{message: [reply, reply, quiet]})
    for expected in (2, 0):
        if len(found := instrument.errors()) != expected:
            yield f"{len(found)} instead of {expected}"
