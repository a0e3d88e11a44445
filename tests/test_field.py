"""The memory field against junctions drawn one by one, closed forms, and what it must not do."""

import math

import pytest
import torch
from pydantic import ValidationError

from ipnet.device import load_device
from ipnet.field import NOTHING, Layout, MemoryField
from ipnet.neuron import Neuron

SMALL = Layout(places=96, size=12, junctions=50, words=12, distractors=3, category=4)


def field(card: str = "mtj-thermal", layout: Layout = SMALL) -> MemoryField:
    return MemoryField(load_device(card), layout, seed=0)


def shown(memory: MemoryField, items: list[int], silence: int, trials: int = 1) -> torch.Tensor:
    """Probability of a switch at each place in a silent cycle after items and silence."""
    state = memory.rest(trials)
    for item in items:
        _, state = memory.cycle(torch.full((trials,), item), state)
    for _ in range(silence + 1):
        p, state = memory.cycle(torch.full((trials,), NOTHING), state)
    return p


def test_the_mean_field_is_that_of_junctions_drawn_one_by_one() -> None:
    memory = field()
    expected = shown(memory, [2, 2, 5], silence=1)[0]
    neuron = Neuron(memory.device, channels=1, emission="sample", devices=4000, seed=1)
    x = torch.zeros(5, 1, 1, SMALL.places)
    for t, item in enumerate([2, 2, 5]):
        x[t, 0, 0] = memory.pulse * memory.patterns[item]
    with torch.no_grad():
        drawn = neuron(x)[0][-1, 0, 0]
    assert float(((drawn - expected) / (expected * (1 - expected) / 4000).sqrt()).abs().max()) < 4.5


@pytest.mark.parametrize("junctions", [16, 50])
def test_counts_have_the_moments_of_a_binomial_number(junctions: int) -> None:
    trials = 40_000
    p = torch.tensor([0.1, 0.5, 0.95]).expand(trials, 3)
    memory = field(layout=Layout(**SMALL.model_dump() | {"junctions": junctions}))
    found = memory.switched(p, torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    exact = torch.binomial(torch.full((trials, 3), float(junctions)), p, generator=generator).double()
    for moment in (1, 2, 3):
        a, b = ((x - junctions * p).pow(moment) for x in (found, exact))
        error = (a.var(0) + b.var(0)).div(trials).sqrt()
        assert bool(((a.mean(0) - b.mean(0)).abs() < 4 * error + 0.02 * b.pow(2).mean(0).sqrt()).all())


def test_silence_is_no_evidence() -> None:
    memory = field()
    p = shown(memory, [], silence=0, trials=4000)
    z = memory.evidence(p, torch.Generator().manual_seed(0))
    assert abs(float(z.mean())) < 0.02
    assert 0.9 < float(z.std()) < 1.0  # a word is part of the field that it is compared with


def test_what_was_shown_last_stands_out_most() -> None:
    memory = field()
    z = memory.evidence(shown(memory, [1, 6, 9], silence=0, trials=2000), torch.Generator().manual_seed(0)).mean(0)
    assert z.argsort(descending=True)[:3].tolist() == [9, 6, 1]


def test_the_ideal_leaky_integrator_is_its_closed_form() -> None:
    memory = field("leaky")
    card, clock = memory.device.card.parameters, memory.device.card.clock
    fade = math.exp(-clock.t_cycle / card.tau)
    trace = clock.V_max * (1 - fade) * fade**3
    expected = 1 - math.exp(-math.exp((trace - card.threshold) / card.width))
    p = shown(memory, [4], silence=2)[0]
    assert p[memory.patterns[4] > 0].tolist() == pytest.approx([expected] * SMALL.size, rel=1e-5)


def test_a_memoryless_card_keeps_nothing() -> None:
    p = shown(field("memoryless"), [4, 4, 4], silence=0)
    assert float(p.max() - p.min()) == 0


@pytest.mark.parametrize("card", ["mtj-thermal", "mtj-nyu", "leaky", "memristor-rnnet", "memoryless"])
def test_no_value_of_a_card_changes(card: str) -> None:
    memory = field(card)
    before = {name: value.clone() for name, value in memory.device.named_buffers()}
    shown(memory, [0, 1, 2], silence=2)
    assert all(torch.equal(value, before[name]) for name, value in memory.device.named_buffers())


def test_the_words_of_a_category_share_places() -> None:
    memory = field(layout=Layout(**SMALL.model_dump() | {"overlap": 0.25}))
    words = memory.patterns[: SMALL.words]
    assert words.sum(1).tolist() == [SMALL.size] * SMALL.words
    common = [int((words[start : start + 4].sum(0) == 4).sum()) for start in (0, 4, 8)]
    assert min(common) >= 3  # a quarter of 12
    assert int((field().patterns[:4].sum(0) == 4).sum()) == 0


def test_nothing_can_be_shown_to_some() -> None:
    memory = field()
    p, _ = memory.cycle(torch.tensor([3, NOTHING]), memory.rest(2))
    assert float(p[0].max()) > float(p[1].max()) == float(p[1].min())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 97}, r"must fit into the field; got 97 places of 96"),
        ({"overlap": 1.0}, r"overlap\n.*less than 1"),
        ({"junctions": 15}, r"junctions\n.*greater than or equal to 16"),
        ({"distractors": -1}, r"distractors\n.*greater than or equal to 0"),
        ({"overlap": math.nan}, r"overlap\n"),
        ({"place": 3}, r"place\n.*not permitted"),
    ],
)
def test_bad_layouts_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Layout(**SMALL.model_dump() | change)
