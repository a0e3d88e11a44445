"""The memristor and the leaky integrator: closed forms, bounds, monotony, and the sentence of every error."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ipnet.budget import Backbone
from ipnet.device import Device, load_device
from ipnet.device.memristor import Memristor
from ipnet.errors import IPNetError
from ipnet.network import Network
from ipnet.neuron import Neuron

CARDS = ["memristor-rnnet", "leaky"]
ROOM = 36e-6  # G_max - G_min of memristor-rnnet [S]
KEPT = math.exp(-0.22)  # per cycle, both cards

CardWriter = Callable[..., Path]
DeviceMaker = Callable[..., Device]


def pulse(device: Device, *V: float, state: float = 0.0) -> tuple[list[float], float]:
    """Answers to pulses V [V] of one device that starts at `state`, and where it ends."""
    answers, carried = [], (torch.tensor([state], dtype=torch.float64),)
    for V_t in V:
        p, carried = device.cycle(torch.tensor([V_t], dtype=torch.float64), carried, lambda p: p)
        answers.append(p.item())
    return answers, carried[0].item()


def memristor(card: str | Path = "memristor-rnnet") -> Memristor:
    device = load_device(card)
    assert isinstance(device, Memristor)
    return device


def share(device: Memristor, V: float) -> float:
    return device.share(torch.tensor(V, dtype=torch.float64)).item()


# Both


@pytest.mark.parametrize("card", CARDS)
def test_the_horizon_is_that_of_the_thermal_junction(card: str) -> None:
    assert load_device(card).memory_cycles() == pytest.approx(1 / 0.22)
    assert load_device(card).memory_cycles() == pytest.approx(load_device("mtj-thermal").memory_cycles())


@pytest.mark.parametrize("card", CARDS)
def test_silence_leaves_a_rested_device_at_rest(card: str) -> None:
    answers, state = pulse(load_device(card), *[0.0] * 50)
    assert state == 0
    assert set(answers) == {answers[0]}


@pytest.mark.parametrize(("card", "state"), [("memristor-rnnet", 20e-6), ("leaky", 0.2)])
def test_between_pulses_the_state_fades_exponentially(card: str, state: float) -> None:
    assert pulse(load_device(card), *[0.0] * 10, state=state)[1] == pytest.approx(state * KEPT**10, rel=1e-12)


@pytest.mark.parametrize(("card", "state", "V"), [("memristor-rnnet", 20e-6, 0.0), ("leaky", 0.2, 0.35)])
def test_two_cycles_are_one_of_twice_the_length(card: str, state: float, V: float) -> None:
    """The memristor only in silence, since its pulses come one per cycle; the leaky integrator holds V."""
    once = load_device(card)
    twice = load_device(card, t_cycle=2 * once.card.clock.t_cycle)
    assert pulse(twice, V, state=state)[1] == pytest.approx(pulse(once, V, V, state=state)[1], rel=1e-12)


@pytest.mark.parametrize(("card", "top"), [("memristor-rnnet", ROOM), ("leaky", 0.4)])
@given(shares=st.lists(st.floats(0, 1), min_size=1, max_size=12), start=st.floats(0, 1))
def test_no_pulse_sequence_leaves_the_bounds(card: str, top: float, shares: list[float], start: float) -> None:
    device = load_device(card)
    answers, state = pulse(device, *[part * float(device.V_max) for part in shares], state=start * top)
    assert all(0 <= p <= 1 for p in answers)
    assert 0 <= state <= top * (1 + 1e-12)


@pytest.mark.parametrize(("card", "top"), [("memristor-rnnet", ROOM), ("leaky", 0.4)])
def test_the_answer_and_the_state_rise_with_the_pulse_and_with_the_state(card: str, top: float) -> None:
    device = load_device(card)
    V, start = torch.meshgrid(
        torch.linspace(0, float(device.V_max), 41, dtype=torch.float64),
        torch.linspace(0, 0.99 * top, 23, dtype=torch.float64),
        indexing="ij",
    )
    answer, (state,) = device.cycle(V, (start,), lambda p: p)
    for rising in (answer, state):
        assert bool((rising.diff(dim=0) > 0).all())
        assert bool((rising.diff(dim=1) > 0).all())


@pytest.mark.parametrize("card", CARDS)
def test_the_gradient_is_that_of_finite_differences(card: str) -> None:
    device = load_device(card)
    V = float(device.V_max) * torch.rand(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def last(*V: Tensor) -> Tensor:
        state = device.rest(V[0])
        for V_t in V:
            p, state = device.cycle(V_t, state, lambda p: p)
        return p

    assert torch.autograd.gradcheck(last, [V_t.requires_grad_() for V_t in V.unbind(0)], eps=1e-7, atol=1e-6)


@pytest.mark.parametrize("card", CARDS)
def test_a_sampled_answer_does_not_act_back_on_the_state(card: str) -> None:
    x = torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(4))
    expected = Neuron(load_device(card), 3)(x)[1]
    spikes, state = Neuron(load_device(card), 3, emission="sample", devices=4, seed=1)(x)
    assert torch.equal(state[0], expected[0].expand(4, 2, 3))
    assert set((4 * spikes.detach()).round(decimals=4).unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("card", CARDS)
def test_a_sample_is_one_with_the_probability_of_the_answer(card: str) -> None:
    count, x = 40_000, torch.tensor([0.7, 1.0])
    p = Neuron(load_device(card), 2)(x.view(1, 1, 2))[0].flatten().tolist()
    spikes = Neuron(load_device(card), 2, emission="sample", seed=3)(x.expand(1, count, 2))[0][0]
    for mean, expected in zip(spikes.mean(0).tolist(), p, strict=True):
        assert abs(mean - expected) < 5 * math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("place", ["frontier", "stage1", "head"])
def test_it_is_the_memory_of_a_network(card: str, place: str) -> None:
    network = Network((2, 12, 9), 3, Backbone(width=4, blocks=(1, 1)), "intrinsic", (place,), card=card)
    x = (torch.rand(4, 2, 2, 12, 9, generator=torch.Generator().manual_seed(5)) > 0.7).float().requires_grad_()
    y, state = network(x)
    y[-1].sum().backward()
    gradient = network.memories[place].neurons[0].log_gain.grad
    assert y.shape == (4, 2, 3)
    assert [part.shape[:2] for part in state[place]] == [(1, 2)]
    assert x.grad is not None
    assert bool(x.grad[0].any())
    assert bool(gradient.isfinite().all())
    assert bool(gradient.any())
    assert network.report()["horizon_frames"] == pytest.approx(1 / 0.22)


@pytest.mark.parametrize("card", CARDS)
def test_every_range_of_the_card_can_be_swept_alone(card: str, write_card: CardWriter) -> None:
    swept = {key.split(".")[1]: entry for key, entry in load_device(card).card.entries.items() if entry.range}
    assert len(swept) >= 4
    for key, entry in swept.items():
        assert entry.range is not None
        assert entry.range[0] < entry.value < entry.range[1]
        for end in entry.range:
            load_device(write_card(card, **{key: (end, entry.unit)}))


# Memristor


def test_a_spike_adds_the_share_p_c_and_silence_nothing() -> None:
    device = memristor()
    assert share(device, 0.0) == 0
    assert share(device, 1.5) == pytest.approx(0.2, rel=1e-12)
    assert pulse(device, 1.5, 0.0)[0] == pytest.approx([0.2, 0.2 * KEPT])


def test_with_full_spikes_it_is_the_law_of_rn_net() -> None:
    spikes = [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1]
    G, G_max, P_c, expected = 0.0, 1.0, 0.2, []
    for spike in spikes:
        G = P_c * (G_max - G) * spike + G * math.exp(-11 / 50)
        expected.append(G)
    assert pulse(memristor(), *[1.5 * spike for spike in spikes])[0] == pytest.approx(expected, rel=1e-12)


@given(V=st.floats(0.1, 1.6))
def test_equal_pulses_stay_where_gain_and_loss_are_equal(V: float) -> None:
    device = memristor()
    added = share(device, V)
    settled = ROOM * added / (1 - KEPT + added)
    assert pulse(device, V, state=settled)[1] == pytest.approx(settled, rel=1e-12)


def test_equal_pulses_settle_there_from_any_start() -> None:
    for start in (0.0, ROOM):
        assert pulse(memristor(), *[1.5] * 100, state=start)[0][-1] == pytest.approx(0.2 / (1 - KEPT + 0.2))


@given(ratios=st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_the_share_of_a_weaker_pulse_is_that_of_a_shorter_spike(ratios: list[float]) -> None:
    """Rates add in the exponent: 1 - P = (1 - P_c)^rate, rate = sinh(V/V_0) / sinh(V_set/V_0)."""
    device = memristor()
    for ratio in ratios:
        rate = math.sinh(ratio * 1.5 / 0.125) / math.sinh(1.5 / 0.125)
        assert 1 - share(device, ratio * 1.5) == pytest.approx(0.8**rate, rel=1e-12)


def test_a_wide_v_0_makes_the_exponent_linear(write_card: CardWriter) -> None:
    device = memristor(write_card("memristor-rnnet", V_0=(1, "kV")))
    assert share(device, 0.5) == pytest.approx(1 - 0.8 ** (1 / 3), rel=1e-5)


def test_a_steep_v_0_does_not_overflow(write_card: CardWriter) -> None:
    """sinh(1.5 V / 1 mV) would be infinite."""
    device = memristor(write_card("memristor-rnnet", V_0=(1, "mV"), V_max=(1.5, "V")))
    V = torch.linspace(0, 1.5, 31).requires_grad_()
    added = device.share(V)
    added.sum().backward()
    assert added[-1].item() == pytest.approx(0.2, rel=1e-5)
    assert V.grad is not None
    assert bool(V.grad.isfinite().all())


def test_the_answer_does_not_depend_on_the_scale_of_the_conductance(write_card: CardWriter) -> None:
    other = memristor(write_card("memristor-rnnet", G_min=(0, "S"), G_max=(3, "mS")))
    assert pulse(other, 1.5, 0.8, 1.6)[0] == pytest.approx(pulse(memristor(), 1.5, 0.8, 1.6)[0], rel=1e-12)


# Leaky


def test_the_trace_follows_a_constant_pulse_as_a_low_pass() -> None:
    device = load_device("leaky")
    for n in (1, 2, 7):
        assert pulse(device, *[0.3] * n)[1] == pytest.approx(0.3 * (1 - KEPT**n), rel=1e-12)
    assert pulse(device, *[0.3] * 300)[1] == pytest.approx(0.3, rel=1e-12)


def test_the_trace_is_the_weighted_mean_of_the_pulses() -> None:
    V = [0.4, 0.0, 0.1, 0.3]
    weights = [(1 - KEPT) * KEPT**age for age in (3, 2, 1, 0)]
    mean = sum(weight * V_t for weight, V_t in zip(weights, V, strict=True))
    assert pulse(load_device("leaky"), *V)[1] == pytest.approx(mean, rel=1e-12)


def test_the_answer_is_complementary_log_log(write_card: CardWriter) -> None:
    device = load_device(write_card("leaky", threshold=(0.2, "V"), width=(0.05, "V")))
    assert pulse(device, 0.2, state=0.2)[0] == pytest.approx([1 - math.exp(-1)])
    assert pulse(device, 0.25, state=0.25)[0] == pytest.approx([1 - math.exp(-math.e)])


def test_the_horizon_changes_how_far_it_looks_back_and_not_how_strongly_it_answers(write_card: CardWriter) -> None:
    longer = load_device(write_card("leaky", tau=(5, "us")))
    assert pulse(longer, *[0.3] * 2000)[0][-1] == pytest.approx(pulse(load_device("leaky"), *[0.3] * 2000)[0][-1])
    assert pulse(longer, 0.3)[0] < pulse(load_device("leaky"), 0.3)[0]


def test_its_answers_are_those_of_the_thermal_junction_at_rest_and_to_one_event_per_frame() -> None:
    for events in (0.0, 1.0):
        x = torch.full((60, 1, 1), events)
        leaky, junction = (Neuron(load_device(card), 1)(x)[0] for card in ("leaky", "mtj-thermal"))
        where = 0 if events == 0 else -1
        assert leaky[where].item() == pytest.approx(junction[where].item(), abs=0.02)


# Mistakes

MISTAKES: dict[str, tuple[str, dict[str, object], str]] = {
    "conductances exchanged": (
        "memristor-rnnet",
        {"G_min": (50, "uS")},
        r"G_max must exceed G_min; got G_min = 50 uS, G_max = 40 uS: exchange",
    ),
    "no range": ("memristor-rnnet", {"G_min": (40, "uS")}, r"G_max must exceed G_min"),
    "negative conductance": ("memristor-rnnet", {"G_min": (-1, "uS")}, r"'G_min' must be greater than or"),
    "everything at once": ("memristor-rnnet", {"P_c": (1, "1")}, r"'P_c' must be less than 1; got 1\."),
    "nothing": ("memristor-rnnet", {"P_c": (0, "1")}, r"'P_c' must be greater than 0; got 0\."),
    "no time": ("memristor-rnnet", {"tau": (0, "ms")}, r"'tau' must be greater than 0; got 0 s\."),
    "a resistance": ("memristor-rnnet", {"G_max": (25, "kohm")}, r"'G_max': a unit like 'S'"),
    "no V_0": ("memristor-rnnet", {"V_0": None}, r"parameters: 'V_0' is missing; add it"),
    "adds more than it keeps": (
        "memristor-rnnet",
        {"t_cycle": (50, "ms")},
        r"P\(V_max\) <= exp\(-t_cycle/tau\); got 0.391 at V_max = 1.6 V and 0.368: lower V_max or P_c, or shorten",
    ),
    "far beyond V_set": ("memristor-rnnet", {"V_max": (500, "V")}, r"got 1 at V_max = 500 V and 0.803"),
    "bias above the limit": (
        "memristor-rnnet",
        {"V_bias": (2, "V")},
        r"clock: V_bias must not exceed V_max; got V_bias = 2 V, V_max = 1.6 V: lower V_bias",
    ),
    "leaky bias above the limit": ("leaky", {"V_bias": (0.5, "V")}, r"got V_bias = 500 mV, V_max = 400 mV"),
    "no width": ("leaky", {"width": (0, "V")}, r"'width' must be greater than 0; got 0 V\."),
    "negative threshold": ("leaky", {"threshold": (-1, "V")}, r"'threshold' must be greater than or equal to 0"),
    "no leak": ("leaky", {"tau": ("inf", "s")}, r"'tau' must be a finite number; got inf"),
    "time in volt": ("leaky", {"t_cycle": (1, "V")}, r"'t_cycle': a unit like 's' is needed; got 'V'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named(mistake: str, write_card: CardWriter) -> None:
    base, changes, message = MISTAKES[mistake]
    with pytest.raises(IPNetError, match=message) as caught:
        load_device(write_card(base, **changes))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"card '{base}'")
