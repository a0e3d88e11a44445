"""Every registered plug-in fulfils its contract, and the contract suite catches the ones that do not."""

from pathlib import Path

import pytest

from ipnet.contracts import (
    ContractViolation,
    check_data,
    check_device,
    check_instrument,
    check_memory,
    check_paradigm,
    check_task,
)
from ipnet.data import DATA
from ipnet.device import DEVICES, card_names, load_device
from ipnet.instrument import INSTRUMENTS
from ipnet.memory import MEMORIES
from ipnet.tasks import TASKS


@pytest.mark.parametrize("card", card_names())
def test_device(card: str) -> None:
    check_device(card)


def test_every_device_has_a_card() -> None:
    assert {load_device(card).card.device for card in card_names()} == set(DEVICES)


@pytest.mark.parametrize("name", list(MEMORIES))
def test_memory(name: str) -> None:
    check_memory(name)


@pytest.mark.parametrize(
    "options",
    [
        {"emission": "sample"},
        {"emission": "sample", "devices": 3},
        {"clock": {"operation": "bias", "V_bias": 0.27, "gain": 0.02}},
        {"clock": {"rest_state": "AP"}},
        {"card": "memoryless"},
    ],
    ids=str,
)
def test_intrinsic_memory_in_all_its_ways(options: dict[str, object]) -> None:
    check_memory("intrinsic", **options)


@pytest.mark.parametrize("name", list(DATA))
def test_data(name: str, tmp_path: Path) -> None:
    check_data(name, tmp_path)


@pytest.mark.parametrize("name", list(TASKS))
def test_task(name: str, tmp_path: Path) -> None:
    check_task(name, tmp_path)


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_instrument(name: str) -> None:
    check_instrument(name)


MEMORY = '''
import torch
from ipnet.memory import Memory

class Broken(Memory):
    """An exponential average that breaks a rule."""

    def __init__(self, channels):
        super().__init__()

    def run(self, x, state=None):
        mean, out = torch.zeros_like(x[0]) if state is None else state[0].clone(), []
        for x_t in x:
            mean = 0.5 * mean + x_t
            out.append(mean)
        return torch.stack(out), (mean,)

    def forward(self, x, state=None):
        y, state = self.run(x, state)
        {rule}
'''

BROKEN_MEMORIES = {
    "fine": ("return y, state", None),
    "looks_ahead": ("return y + 0.1 * x.mean(0), state", "Causal"),
    "drops_state": ("return self.run(x)", "Resumable.*output"),
    "counts_calls": (
        "self.n = getattr(self, 'n', 0) + 1; return y, (state[0], torch.tensor(float(self.n)))",
        "Resumable.*state",
    ),
    "mixes_clips": ("return y + x.mean(1, keepdim=True), state", "Clips of a batch"),
    "swaps_axes": ("return y.transpose(0, 1), state", "output has the shape"),
    "detaches": ("return y.detach() + 0 * x.sum(), state", "gradient reaches the input"),
    "writes_to_x": ("x.mul_(2); return y, state", "tensors are untouched"),
    "draws_globally": ("return y + 0 * torch.randn(()), state", "Global random"),
    "unseeded": ("g = torch.Generator(); g.seed(); return y + torch.rand((), generator=g), state", "same seed"),
    "crashes_on_one_frame": ("return y + 0 / (x.shape[0] - 1), state", "fails in.*one frame.*ZeroDivisionError"),
}


@pytest.mark.parametrize("name", BROKEN_MEMORIES)
def test_broken_memory_is_caught(name: str, plugin) -> None:
    rule, clause = BROKEN_MEMORIES[name]
    plugin("memory", name, MEMORY.replace("{rule}", rule))
    if clause is None:
        check_memory(name)
        return
    with pytest.raises(ContractViolation, match=f"memory '{name}' on a sensor.*{clause}"):
        check_memory(name)


DEVICE = '''
import random
import torch
from torch import nn
from ipnet.cards import Values, quantity
from ipnet.device import Device

class Table(Values):
    delta: float = quantity("1", "slope", gt=0)
    unwritten: float = {default}

class Clock(Values):
    V_bias: float = quantity("V", "bias", ge=0)
    gain: float = quantity("V", "gain", gt=0)
    V_max: float = quantity("V", "limit", gt=0)

class Broken(Device):
    """A charge that leaks and breaks a rule."""

    Parameters, Clock = Table, Clock
    state_names = ("charge [V]",)
    scale = 1.0

    def __init__(self, card):
        super().__init__(card)
        self.used, {init} = 0, None

    def cycle(self, V, state, emit):
        charge = 0.5 * state[0] + V
        p = torch.sigmoid(self.delta * (charge - 0.4))
        {rule}
'''
CARD = """
name = "broken"
device = "{device}"
title = "one"
description = "two"
[parameters]
delta = {{ value = 5, unit = "1", assumed = "a test" }}
{extra}
[clock]
V_bias = {{ value = 0, unit = "V", assumed = "a test" }}
gain = {{ value = 0.2, unit = "V", assumed = "a test" }}
V_max = {{ value = 0.5, unit = "V", assumed = "a test" }}
"""

BROKEN_DEVICES = {
    "fine_device": ("return emit(p), (charge,)", "_", None),
    "learns": (
        "return emit(torch.sigmoid(self.weight * p)), (charge,)",
        "self.weight = nn.Parameter(torch.ones(())); _",
        "No device value can be trained.*nn.Parameter",
    ),
    "saves": (
        "return emit(p), (charge,)",
        'self.register_buffer("offset", torch.zeros(())); _',
        "No device value.*'offset' is in the state_dict",
    ),
    "unsourced": ("return emit(p), (charge,)", "_", "Every value is written.*parameters.unwritten"),
    "unbounded": ("return emit(2 * p), (charge,)", "_", r"emission is in \[0, 1\]"),
    "drifts_away": ("return emit(p), ((1e3 * charge) ** 3,)", "_", "state finite"),
    "hides_state": ("self.used += V.mean().item(); return emit(p * 0.5**self.used), (charge,)", "_", "Resumable"),
    "sees_neighbours": (
        "return emit(p * V.mean() / self.V_max.to(V)), (charge,)",
        "_",
        "Elements are independent",
    ),
    "flat": ("return emit(0 * p.detach() + 0.5 + 0 * charge), (charge,)", "_", "no gradient reaches it"),
    "emits_twice": ("emit(p); return emit(p), (charge,)", "_", "called once per cycle.*2 times"),
    "draws": ("random.random(); return emit(p), (charge,)", "_", "Global random"),
    "widens": ("return emit(p.double()), (charge,)", "_", "Float32 in gives float32"),
    "two_states": ("return emit(p), (charge, charge)", "_", "one tensor per name"),
}


@pytest.mark.parametrize("name", BROKEN_DEVICES)
def test_broken_device_is_caught(name: str, plugin, tmp_path: Path) -> None:
    rule, init, clause = BROKEN_DEVICES[name]
    default = "1.0" if name == "unsourced" else 'quantity("1", "nothing", gt=0)'
    source = DEVICE.replace("{rule}", rule).replace("self.used, {init} = 0, None", f"self.used = 0; {init} = None")
    plugin("device", name, source.replace("{default}", default))
    extra = "" if name == "unsourced" else 'unwritten = { value = 1, unit = "1", assumed = "a test" }'
    card = tmp_path / "broken.toml"
    card.write_text(CARD.format(device=name, extra=extra))
    if clause is None:
        check_device(card)
        return
    with pytest.raises(ContractViolation, match=clause):
        check_device(card)


DATASET = '''
import itertools
import numpy as np
from ipnet.data import EventSet
from ipnet.events import make_events

class Broken(EventSet):
    """Random dots that break a rule."""

    real, description = False, "random dots"
    sensor, classes, targets = (5, 7), {classes}, {targets}
    count = itertools.count()

    def indices(self, split):
        return {indices}

    def label(self, index):
        return {label}

    def target(self, index):
        return {target}

    def group(self, index):
        return {group}

    def events(self, index):
        rng = {rng}
        events = make_events(range(9), rng.integers(0, {width}, 9), rng.integers(0, 5, 9), rng.integers(0, 2, 9))
        return {events}

    def fingerprint(self):
        return {fingerprint}

    @classmethod
    def example(cls, folder):
        return cls()
'''
FINE_DATA = {
    "indices": '{"train": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(6, 9)}[split]',
    "classes": "('a', 'b')",
    "targets": "('angle [deg]',)",
    "label": "index % 2",
    "target": "np.array([0.5 * index])",
    "group": "f'person {index}'",
    "rng": "np.random.default_rng(index)",
    "width": "7",
    "events": "events",
    "fingerprint": "'dots'",
}
BROKEN_DATA: dict[str, tuple[dict[str, str], str | None]] = {
    "fine_data": ({}, None),
    "unseeded": ({"rng": "np.random.default_rng()"}, "Pure.*clip 8 differs"),
    "depends_on_order": ({"rng": "np.random.default_rng(next(self.count))"}, "Pure.*differs"),
    "overlaps": ({"indices": "np.arange(*{'train': (0, 4), 'validation': (3, 6), 'test': (6, 9)}[split])"},
                 "no clip and no group.*clip '3' is in 'train' and in 'validation'"),
    "shares_a_group": ({"group": "f'person {index // 3}'"}, "group 'person 1' is in 'train' and in 'validation'"),
    "empty_split": ({"indices": "np.arange(4 if split == 'train' else 0)"}, "Every split has clips"),
    "wrong_label": ({"label": "index"}, "every label is one of the classes.*clip 2"),
    "only_classes": ({"targets": "()", "target": "None"}, None),
    "only_targets": ({"classes": "()", "label": "None"}, None),
    "nothing_to_tell": ({"classes": "()", "targets": "()"}, "neither classes nor targets"),
    "no_unit": ({"targets": "('angle',)"}, "a target without a unit"),
    "target_missing": ({"target": "np.array([])"}, "every target finite.*clip 0"),
    "target_is_nan": ({"target": "np.array([np.nan if index == 7 else 1.0])"}, "every target finite.*clip 7"),
    "unseeded_target": ({"target": "np.random.default_rng().random(1)"}, "Pure.*differs"),
    "off_sensor": ({"width": "20"}, "fails in 'Pure.*must lie on the sensor"),
    "fragile": ({"events": "self.__dict__.setdefault(index, events)"}, "A caller who writes"),
    "draws_globally": ({"label": "(index + 0 * np.random.randint(9)) % 2"}, "Global random"),
    "moving_fingerprint": ({"fingerprint": "str(id(self))"}, "Pure.*fingerprint"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_DATA)
def test_broken_data_is_caught(name: str, plugin, tmp_path: Path) -> None:
    changes, clause = BROKEN_DATA[name]
    source = DATASET
    for key, value in (FINE_DATA | changes).items():
        source = source.replace(f"{{{key}}}", value)
    plugin("data", name, source)
    if clause is None:
        check_data(name, tmp_path)
        return
    with pytest.raises(ContractViolation, match=f"data set '{name}'.*{clause}"):
        check_data(name, tmp_path)


def test_a_cache_does_not_hide_an_unseeded_data_set(plugin, tmp_path: Path) -> None:
    source = DATASET
    cached = "cached_array('dots/%d' % index, lambda: events)"
    for key, value in (FINE_DATA | {"rng": "np.random.default_rng()", "events": cached}).items():
        source = source.replace(f"{{{key}}}", value)
    plugin("data", "cached", "from ipnet.cache import cached_array\n" + source)
    with pytest.raises(ContractViolation, match="Pure"):
        check_data("cached", tmp_path)


TASK = '''
import torch
from torch.nn import functional as F
from ipnet.data import SPLITS
from ipnet.results import wilson
from ipnet.tasks import Task

class Items:
    def __init__(self, split):
        self.split, first = split, {first}[split]
        self.numbers = range(first, first + {"train": 5, "validation": 3, "test": 4}[split])
        self.names = [{name} for number in self.numbers]

    def __len__(self):
        return len(self.numbers)

    def batch(self, numbers):
        x, y = [], []
        for number in numbers:
            seed = self.numbers[number]
            x.append(torch.rand(6, 2, 4, 3, generator=torch.Generator().manual_seed({seed})))
            y.append(seed % 3)
        return {batch}

class Broken(Task):
    """Noise with labels that breaks a rule."""

    shape, outputs = (6, 2, 4, 3), ("a", "b", "c")

    def _items(self, split):
        return Items(split)

    {more}

    def facts(self):
        facts = {"name": "noise", "real": False, "description": "noise", "fingerprint": {fingerprint}}
        return facts | {"items": {"train": 5, "validation": 3, "test": 4}}

    def loss(self, output, y):
        return {loss}

    def predict(self, output):
        return output.argmax(1)

    def metrics(self, predicted, y):
        return {{score}: wilson(int((predicted == y).sum()), len(y))}

    @classmethod
    def example(cls, folder):
        return cls()
'''
FINE_TASK = {
    "first": '{"train": 0, "validation": 100, "test": 200}',
    "name": 'f"{split}/person {number}/{number}"',
    "seed": "seed",
    "batch": "torch.stack(x, 1), torch.tensor(y)",
    "more": "",
    "fingerprint": '"noise"',
    "loss": "F.cross_entropy(output, y)",
    "score": '"accuracy"',
}
BROKEN_TASKS: dict[str, tuple[dict[str, str], str | None]] = {
    "fine_task": ({}, None),
    "leaks_a_clip": ({"first": '{"train": 0, "validation": 4, "test": 200}'},
                     "no group.*group of 'validation/person 4/4' is also in 'train'"),
    "leaks_under_another_name": ({"seed": "seed % 100"}, "no group.*input of 'validation/.*' is also in 'train'"),
    "leaks_a_person": ({"name": 'f"{split}/person {number % 100}/{number}"'}, "no group.*group of"),
    "reuses_a_name": ({"name": '"train/one"'}, "Names are unique"),
    "unseeded": ({"seed": "id(self)"}, "Pure.*differs when it is read again"),
    "tests_twice": ({"more": "def items(self, split): return self._items(split)"}, "handed out once.*twice"),
    "batch_first": ({"batch": "torch.stack(x), torch.tensor(y)"}, r"A batch is x \[T, B, C, H, W\]"),
    "too_many_classes": ({"batch": "torch.stack(x, 1), torch.tensor(y) + 1"}, "classes are below the outputs"),
    "cannot_learn": ({"loss": "F.cross_entropy(output.detach() + 0 * output, y)"}, "gradient of the loss"),
    "no_score": ({"score": '"luck"'}, "`metrics` has the score.*the score is 'accuracy'"),
    "moving_fingerprint": ({"fingerprint": "id(self)"}, "fingerprint differs"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_TASKS)
def test_broken_task_is_caught(name: str, plugin, tmp_path: Path) -> None:
    changes, clause = BROKEN_TASKS[name]
    source = TASK
    for key, value in (FINE_TASK | changes).items():
        source = source.replace(f"{{{key}}}", value)
    plugin("tasks", name, source)
    if clause is None:
        check_task(name, tmp_path)
        return
    with pytest.raises(ContractViolation, match=f"task '{name}'.*{clause}"):
        check_task(name, tmp_path)


PARADIGM = '''
"""Words and one question."""
import numpy as np
from ipnet.paradigm import Judge, Paradigm, Recall, Show
from ipnet.recall import Rate, share_of

class Question(Paradigm):
    """Words and one question."""
    title = "is it old?"
    drawn = 0

    def script(self):
        """Two words and a question."""
        return [Show(0, 1.0), Show(1, 1.0), {asked}]

    def items(self, layout, seed, index):
        """Two words, and one of them."""
        type(self).drawn += 1
        words = np.random.default_rng({seed}).permutation(layout.words)[:2]
        return {items}

    def score(self, performance):
        """Yes or no."""
        said = performance.strength > 0
        return {scores}
'''
FINE_PARADIGM = {
    "asked": "Judge(2)",
    "seed": "(seed, index)",
    "items": "np.append(words, words[0])",
    "scores": '{"yes": share_of(performance.subjects, said)}',
}
BROKEN_PARADIGMS: dict[str, tuple[dict[str, str], str | None]] = {
    "fine_question": ({}, None),
    "impure": ({"seed": "(seed, index, self.drawn)"}, "function of its seed and index.*another one when"),
    "unseeded": ({"seed": "7"}, "function of its seed and index.*all trials are the same"),
    "too_few_columns": ({"items": "words"}, r"Steps name columns.*columns \[0, 1, 2\] in the script, and 2 items"),
    "unnamed_column": ({"items": "np.append(words, words)"}, "Steps name columns.*and 4 items"),
    "foreign_items": ({"items": "np.append(words, 10**6)"}, "Steps name columns.*items .* to 1000000"),
    "real_items": ({"items": "np.append(words, 0.5)"}, "Steps name columns.*items of float64"),
    "asks_nothing": ({"asked": "Show(2, 1.0)"}, "Steps name columns.*asks nothing"),
    "no_curve": ({"scores": "{}"}, "score counts.*no curve"),
    "sums_over_subjects": ({"scores": '{"yes": Rate(np.array(1), said.sum(0), said.sum(0))}'},
                           "score counts.*for 4 subjects"),
    "counts_the_impossible": ({"scores": '{"yes": Rate(np.array(1), np.full(4, 2), np.array([2, 2, 2, 0]))}'},
                              "counts what could not be"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_PARADIGMS)
def test_broken_paradigm_is_caught(name: str, plugin) -> None:
    changes, clause = BROKEN_PARADIGMS[name]
    source = PARADIGM
    for key, value in (FINE_PARADIGM | changes).items():
        source = source.replace(f"{{{key}}}", value)
    plugin("paradigm", name, source)
    if clause is None:
        check_paradigm(name)
        return
    with pytest.raises(ContractViolation, match=f"paradigm '{name}'.*{clause}"):
        check_paradigm(name)


INSTRUMENT = '''
from typing import Any

from ipnet.instrument import Meter

class Ohmmeter(Meter):
    """A meter of nobody."""

    identity = "{identity}"
    manual = "{manual}"
    sources = {"*IDN?": "IEEE 488.2", "OUTP": "the manual", "ERR?": "the manual"}
    off = "OUTP 0"
    replies = {"*IDN?": "ACME,Ohmmeter", "ERR?": "0"}
    fault = "ERR?", "7"

    def __init__(self, transport):
        super().__init__(transport)
        {first}

    def park(self):
        """Off."""
        self._tell({park})

    def errors(self):
        """The queue."""
        found = []
        while (reply := self._ask("ERR?")) != "0":
            found.append(reply)
            {once}
        return found

    def select(self, junction):
        """None."""

    def resistance(self, V, I_limit):
        """None."""
'''
FINE_INSTRUMENT = {"identity": "ACME,Ohm", "manual": "ACME", "first": "pass", "park": '"OUTP 0"', "once": "pass"}
BROKEN_INSTRUMENTS: dict[str, tuple[dict[str, str], str | None]] = {
    "fine_meter": ({}, None),
    "no_manual": ({"manual": " "}, "source of every message.*no manual"),
    "undocumented": ({"park": '"ABORT", "OUTP 0"'}, "source of every message.*'ABORT' is none"),
    "takes_any": ({"identity": ".*"}, "refused.*accepts 'ACME,Toaster"),
    "hasty": ({"first": 'self._tell("OUTP 0")'}, "refused.*sends"),
    "stays_on": ({"park": '"OUTP 0", "OUTP 1"'}, "nothing is driven.*'OUTP 1' instead of 'OUTP 0'"),
    "reads_one": ({"once": "break"}, "reads all errors.*1 instead of 2"),
}


@pytest.mark.parametrize("name", list(BROKEN_INSTRUMENTS))
def test_broken_instrument_is_caught(name: str, plugin) -> None:
    changes, clause = BROKEN_INSTRUMENTS[name]
    source = INSTRUMENT
    for key, value in (FINE_INSTRUMENT | changes).items():
        source = source.replace(f"{{{key}}}", value)
    plugin("instrument", name, source)
    if clause is None:
        check_instrument(name)
        return
    with pytest.raises(ContractViolation, match=f"instrument '{name}'.*{clause}"):
        check_instrument(name)
