"""The SPICE deck: ngspice knows nothing of the Python model, and must find the same heat and the same hazard."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from conftest import DeviceMaker
from ipnet.cards import shipped_cards, unit_of
from ipnet.device import Device, load_device
from ipnet.device.mtj import MTJ, total
from ipnet.errors import IPNetError
from ipnet.netlist import netlist, pulse_train, subcircuit
from ipnet.physics import log_hazard, quadrature
from spice import needs_ngspice, ngspice, waves_of

JUNCTIONS = [name for name in shipped_cards() if isinstance(load_device(name), MTJ)]
OPERATIONS, RESTS = ["bias", "drive and probe"], ["P", "AP"]
TWO_POLES = {
    "R_th": '{ value = [1.0, 0.6], unit = "K/uW", assumed = "a test" }',
    "tau_th": '{ value = [1000, 60], unit = "ns", assumed = "a test" }',
}
# A sign, or a state, taken for the other shows only where the two differ.
UNEQUAL = {"delta_AP": (38, "1"), "V_c0_AP": (0.302, "V")}
NEGLIGIBLE = 1e-9  # a hazard at which nothing ever switches


class Cycle(NamedTuple):
    """What a clock cycle does: the rise at the end of each pulse and of the cycle [K], and the hazard."""

    rises: list[float]
    rise: float
    hazard: float


def in_spice(
    device: MTJ, u: list[float], switched: list[bool], deck: str, folder: Path, edge: float | None = None
) -> list[Cycle]:
    """The cycles that ngspice finds in a deck."""
    waves, pulses = waves_of(deck, folder), pulse_train(device, u, switched)
    edge = edge or min(pulse.width for pulse in pulses) / 1000

    def at(node: str, time: float) -> float:
        return float(np.interp(time, waves["time"], waves[node]))

    cycles = []
    for k in range(len(u)):
        train = [pulse for pulse in pulses if pulse.cycle == k]
        rises = [at("v(rise)", pulse.end) for pulse in train]
        hazard = at("v(h)", train[int(device.probes)].end + edge)
        cycles.append(Cycle(rises, at("v(rise)", (k + 1) * device.card.clock.t_cycle), hazard))
    return cycles


def in_python(device: MTJ, u: list[float], switched: list[bool], slices: int = 0) -> list[Cycle]:
    """The cycles of `MTJ.cycle`; or the same laws with each pulse in slices, whose resistance follows the heat."""
    volts, rule = device.drive(torch.tensor(u, dtype=torch.float64)), quadrature(2 if slices else 16, 2)
    state, idle, cycles = device.rest(volts[0]), 0 * volts[0], []
    for V, spike in zip(volts, switched, strict=True):
        other = device.resting != spike
        train = [(V, device.t_pulse, device.resting)]
        train += [(device.V_probe, device.t_probe, device.resting)] if device.probes else []
        train += [(device.V_read, device.t_read, other)]
        train += [(device.V_reset, device.t_reset, other)] if spike else []
        inner, rises, hazard = state, [], 0.0
        for k, (voltage, width, antiparallel) in enumerate(train):
            follows = slices or k <= device.probes  # read and reset take the resistance at ambient temperature
            for _ in range(slices or 1):
                part = width / (slices or 1)
                if k == device.probes:
                    eta = device.log_hazard(voltage, part, inner, antiparallel=antiparallel, rule=rule)
                    hazard += eta.exp().item()
                rise = total(inner) if follows else None
                inner = device.heat(inner, device.power(voltage, antiparallel=antiparallel, rise=rise), part)
            rises.append(total(inner).item())
        if slices:
            rest = device.card.clock.t_cycle - sum(width for _, width, _ in train)
            state = device.heat(inner, idle, rest)
        else:
            _, state = device.cycle(V, state, lambda p, spike=spike: torch.full_like(p, float(spike)))
        cycles.append(Cycle(rises, total(state).item(), hazard))
    return cycles


def disagreement(found: list[Cycle], expected: list[Cycle]) -> tuple[float, float, float]:
    """Largest relative errors: of the rise at the end of a pulse, of that at the end of a cycle, of the hazard."""

    def error(a: float, b: float, floor: float = 1e-2) -> float:
        return abs(a - b) / max(abs(b), floor)

    pairs = list(zip(found, expected, strict=True))
    return (
        max(error(a, b) for f, e in pairs for a, b in zip(f.rises, e.rises, strict=True)),
        max(error(f.rise, e.rise) for f, e in pairs),
        max(error(f.hazard, e.hazard, NEGLIGIBLE) for f, e in pairs),
    )


def random_train(device: MTJ, highest: float, cycles: int = 10) -> tuple[list[float], list[bool]]:
    """Pulses of any height, some of them missing, and some cycles in which the junction switches."""
    rng = np.random.default_rng(13)
    V = rng.uniform(0.5, 1, cycles) * highest * (rng.random(cycles) < 0.8)
    switched = [bool(x) for x in rng.random(cycles) < 0.4]
    assert 1 < sum(switched) < cycles - 2
    return (V - float(device.V_bias)).tolist(), switched


@needs_ngspice
@pytest.mark.parametrize("exponent", [1, 2])
@pytest.mark.parametrize("rest_state", RESTS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("poles", [{}, TWO_POLES], ids=["one pole", "two poles"])
def test_a_pulse_train_heats_and_switches_as_in_python(
    poles: dict[str, str], operation: str, rest_state: str, exponent: int, vary: DeviceMaker, tmp_path: Path
) -> None:
    changes = {"operation": f'"{operation}"', "rest_state": f'"{rest_state}"', "exponent": (exponent, "1")}
    device = vary("mtj-thermal", **changes, **UNEQUAL, **poles)
    assert isinstance(device, MTJ)
    u, switched = random_train(device, highest=0.32)
    found = in_spice(device, u, switched, netlist(device, u, switched), tmp_path)
    assert max(disagreement(found, in_python(device, u, switched))) < 0.01


@needs_ngspice
@pytest.mark.parametrize("rest_state", RESTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_is_closer_still_to_a_resistance_that_follows_the_heat(
    operation: str, rest_state: str, vary: DeviceMaker, tmp_path: Path
) -> None:
    changes = {"operation": f'"{operation}"', "rest_state": f'"{rest_state}"'}
    device = vary("mtj-thermal", **changes, **UNEQUAL, **TWO_POLES)
    assert isinstance(device, MTJ)
    u, switched = random_train(device, highest=float(device.V_max))
    found = in_spice(device, u, switched, netlist(device, u, switched), tmp_path)
    assert max(disagreement(found, in_python(device, u, switched, slices=20))) < 0.002


@needs_ngspice
def test_a_wrong_value_in_the_deck_is_seen(vary: DeviceMaker, tmp_path: Path) -> None:
    device = vary("mtj-thermal", rest_state='"AP"', **UNEQUAL, **TWO_POLES)
    assert isinstance(device, MTJ)
    u, switched = random_train(device, highest=0.32)
    right, expected = netlist(device, u, switched), in_python(device, u, switched)
    factors = {"R_AP": 1.1, "delta_AP": 1.02, "V_c0_AP": 1.01, "tau_0": 1.05, "n_K": 1.5, "temp_P": 0.9}
    for key, factor in (factors | {"R_th_2": 1.1, "tau_th_2": 1.2}).items():
        line = re.search(rf"^\+ {key}=(\S+)", right, re.MULTILINE)
        assert line
        wrong = right.replace(line[0], f"+ {key}={float(line[1]) * factor:.12g}")
        found = in_spice(device, u, switched, wrong, tmp_path)
        assert max(disagreement(found, expected)) > 0.01, f"{key} may be wrong unseen"


@needs_ngspice
@pytest.mark.parametrize(("rest_state", "exponent"), [("P", 1), ("AP", 2)])
def test_hazard_and_current_follow_the_laws_at_every_moment(
    rest_state: str, exponent: int, vary: DeviceMaker, tmp_path: Path
) -> None:
    device = vary("mtj-thermal", rest_state=f'"{rest_state}"', exponent=(exponent, "1"), **UNEQUAL)
    assert isinstance(device, MTJ)
    u, switched = random_train(device, highest=float(device.V_max))
    waves = waves_of(netlist(device, u, switched), tmp_path)
    nanosecond = torch.tensor(1e-9, dtype=torch.float64)
    for antiparallel in (False, True):
        here = abs(waves["v(state)"] - float(antiparallel)) < 1e-9
        V, rise = (torch.from_numpy(waves[node][here]) for node in ("v(top)", "v(rise)"))
        current = V / device.resistance(V, antiparallel=antiparallel, rise=rise)
        assert waves["v(current)"][here] == pytest.approx(1e6 * current.numpy(), rel=1e-4, abs=1e-5)
        delta, V_c0 = device.stability(rise, antiparallel=antiparallel)
        towards = -V if antiparallel else V
        hazard = log_hazard(towards, nanosecond, device.tau_0, delta, V_c0, exponent).exp().numpy()
        assert hazard.max() > 0.01
        assert waves["v(hazard)"][here] == pytest.approx(hazard, rel=1e-3, abs=1e-12)
        if antiparallel == device.resting:  # the drive pulses: of the other polarity, they heat and do not switch
            assert (towards < -0.3).any()
            assert waves["v(hazard)"][here][towards.numpy() < -0.1].max() < 1e-15


@needs_ngspice
@pytest.mark.parametrize("card", JUNCTIONS)
def test_the_deck_runs_as_it_is_and_shows_heat_switching_reset_and_cooling(card: str, tmp_path: Path) -> None:
    device = load_device(card)
    assert isinstance(device, MTJ)
    printed = ngspice(netlist(device), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["deck.cir"]
    shown = {name: float(x) for name, x in re.findall(r"^([a-z]+_\d+) += +(\S+)", printed, re.MULTILINE)}
    assert len(shown) == 4 * 12
    rises, hazards, currents = ([shown[f"{what}_{k}"] for k in range(1, 13)] for what in ("rise", "h", "i"))
    u, switched = [device.card.clock.gain] * 6 + [0.0] * 6, [k == 5 for k in range(12)]
    for rise, hazard, cycle in zip(rises, hazards, in_python(device, u, switched), strict=True):
        assert rise == pytest.approx(cycle.rise, rel=0.01)
        assert hazard == pytest.approx(cycle.hazard, rel=0.01, abs=NEGLIGIBLE)
    assert shown["p_3"] == pytest.approx(-np.expm1(-hazards[2]), rel=1e-4)
    assert rises[:6] == sorted(rises[:6])
    assert rises[5:] == sorted(rises[5:], reverse=True)
    read, switched_read = {currents[k] for k in range(12) if k != 5}, currents[5]
    assert len(read) == 1
    assert (abs(switched_read) < abs(read.pop())) is not device.resting
    for wave in ("v(top)", "v(rise)", "v(h)"):
        assert wave in printed


@needs_ngspice
def test_a_closed_word_line_keeps_the_pulses_from_the_junction(tmp_path: Path) -> None:
    waves = waves_of(netlist(load_device("mtj-thermal")).replace("V_wl wl 0 1", "V_wl wl 0 0"), tmp_path)
    assert abs(waves["v(top)"]).max() > 0.2
    assert abs(waves["v(rise)"]).max() < 1e-6
    assert abs(waves["v(current)"]).max() < 1e-3


@needs_ngspice
def test_warm_surroundings_are_a_parameter(tmp_path: Path) -> None:
    device = load_device("mtj-thermal")
    assert isinstance(device, MTJ)
    deck = netlist(device, [0.0], [False]).replace("current mtj_neuron\n", "current mtj_neuron ambient=40\n")
    (cycle,) = in_spice(device, [0.0], [False], deck, tmp_path)
    cold = device.rest(device.V_probe)
    eta = device.log_hazard(device.V_probe, device.t_probe, cold, antiparallel=False, ambient=40.0)
    assert cycle.hazard == pytest.approx(eta.exp().item(), rel=0.01)
    assert cycle.rise > 40


@needs_ngspice
def test_neighbours_share_heat_through_the_thermal_port(tmp_path: Path) -> None:
    device = load_device("mtj-thermal")
    deck = f"""* two junctions, of which the first is driven
{subcircuit(device)}
X1 top 0 on warm 0 hazard_1 H_1 on current_1 mtj_neuron
X2 0 0 on near 0 hazard_2 H_2 on current_2 mtj_neuron
R_between warm near 0.8e6
V_on on 0 1
V_top top 0 PWL(0 0 1n 0.2)
.tran 100n 30u
.end
"""
    waves = waves_of(deck, tmp_path)
    R, R_between, power = 1.6e6, 0.8e6, 0.2**2 / 2530
    assert waves["v(warm)"][-1] == pytest.approx(power * R * (R + R_between) / (2 * R + R_between), rel=1e-3)
    assert waves["v(near)"][-1] == pytest.approx(power * R * R / (2 * R + R_between), rel=1e-3)
    assert waves["v(hazard_2)"][-1] > 1.5 * waves["v(hazard_2)"][0]


@needs_ngspice
@pytest.mark.parametrize("R_th", [[1.6, 0.0], [0.0, 1.6], [0.0, 0.0]])
def test_a_pole_that_does_not_heat_is_left_out(R_th: list[float], vary: DeviceMaker, tmp_path: Path) -> None:
    device = vary(
        "mtj-thermal",
        R_th=f'{{ value = {R_th}, unit = "K/uW", assumed = "a test" }}',
        tau_th='{ value = [1, 1], unit = "us", assumed = "a test" }',
    )
    assert isinstance(device, MTJ)
    u, switched = [0.3, 0.3, 0.0], [False, True, False]
    found = in_spice(device, u, switched, netlist(device, u, switched), tmp_path)
    assert max(disagreement(found, in_python(device, u, switched))) < 0.01


@pytest.mark.parametrize("card", JUNCTIONS)
def test_every_value_of_the_card_is_in_the_deck_with_unit_and_origin(card: str) -> None:
    device = load_device(card)
    lines = netlist(device).splitlines()
    assert lines[0] == f"* {device.card.name}: {device.card.title}"
    for table, form in (("parameters", r"\+ {}=(\S+) ; {}, \S.*"), ("clock", r"\* {} = (\S+) {}, \S.*")):
        values = getattr(device.card, table)
        for key in type(values).model_fields:
            entry, value = device.card.entries.get(f"{table}.{key}"), getattr(values, key)
            if entry is None:
                assert f"* {key} = {value}" in lines
                continue
            names = [f"{key}_{k + 1}" for k in range(len(value))] if isinstance(value, tuple) else [key]
            found = []
            for name in names:
                pattern = form.format({"q": "q_Ms"}.get(name, name), re.escape(unit_of(type(values), key)))
                (line,) = [line for line in lines if re.fullmatch(pattern, line)]
                found.append(float(re.fullmatch(pattern, line)[1]))  # type: ignore[index]
                origin = entry.source or entry.assumed
                assert origin
                assert " ".join(origin.split()) in line
                assert (": ".join(["Source" if entry.source else "Assumed", origin[:9]])) in line
            assert found == pytest.approx(list(value) if isinstance(value, tuple) else [value], rel=1e-11)


@pytest.mark.parametrize("rest_state", RESTS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_deck_holds_numbers_and_names_that_spice_reads(
    operation: str, rest_state: str, vary: DeviceMaker
) -> None:
    odd = '{ value = 0.48, unit = "V", source = "Sch\u00f6n & M\u00fcller, \u0394V = 0.1 \u2126;  {x} $ \'y\'" }'
    changes = {"operation": f'"{operation}"', "rest_state": f'"{rest_state}"', "V_h": odd}
    deck = netlist(vary("mtj-thermal", **changes), [0.1 + 0.2, 1 / 3], [True, False])
    assert deck.isascii()
    assert "Sch?n & M?ller" in deck
    code = [line.split(" ; ")[0] for line in deck.splitlines() if not line.startswith("*")]
    for line in code:
        assert not re.search(r"None|nan|\binf|tensor|array|True|False|\d{13}|\{[A-Z]+\}|e[+-]?\d+e", line), line
        assert len(line) < 116
    for values in (line[2:].split() for line in code if re.match(r"\+ \d", line)):
        assert [f"{float(x):.12g}" for x in values] == values
    times = [float(line.split()[1]) for line in code if re.match(r"\+ \d", line)]
    assert all(0 <= time < 5e-7 for time in times)


@needs_ngspice
def test_any_text_may_stand_in_the_origin_of_a_value(vary: DeviceMaker, tmp_path: Path) -> None:
    odd = "{ value = 0.48, unit = \"V\", source = '''a \u2126 ; b $ c {d} 'e' \"f\" (g\n+ h * i\\j'''}"
    device = vary("mtj-thermal", V_h=odd)
    assert isinstance(device, MTJ)
    found = in_spice(device, [0.3], [True], netlist(device, [0.3], [True]), tmp_path)
    assert max(disagreement(found, in_python(device, [0.3], [True]))) < 0.01


SIGNS = {
    ("bias", "P"): {"drive": 1, "read": -1, "reset": -1},
    ("bias", "AP"): {"drive": -1, "read": 1, "reset": 1},
    ("drive and probe", "P"): {"drive": -1, "probe": 1, "read": -1, "reset": -1},
    ("drive and probe", "AP"): {"drive": 1, "probe": -1, "read": 1, "reset": 1},
}


@pytest.mark.parametrize(("operation", "rest_state"), SIGNS)
def test_only_the_pulse_that_may_switch_has_the_polarity_that_does(operation: str, rest_state: str) -> None:
    device = load_device("mtj-thermal", operation=operation, rest_state=rest_state)
    signs = SIGNS[operation, rest_state]
    clock = device.card.clock
    train = pulse_train(device, [0.3, 0.2], [False, True])
    assert [(pulse.cycle, pulse.kind) for pulse in train] == [
        *((0, kind) for kind in signs if kind != "reset"),
        *((1, kind) for kind in signs),
    ]
    heights = {"drive": clock.V_bias + 0.2, "probe": clock.V_probe, "read": clock.V_read, "reset": clock.V_reset}
    widths = {"drive": clock.t_pulse, "probe": clock.t_probe, "read": clock.t_read, "reset": clock.t_reset}
    start = clock.t_cycle
    for pulse in train[-len(signs) :]:
        assert pulse.voltage == pytest.approx(signs[pulse.kind] * heights[pulse.kind])
        assert (pulse.start, pulse.width) == pytest.approx((start, widths[pulse.kind]))
        start = pulse.end


@pytest.mark.parametrize("card", sorted(set(shipped_cards()) - set(JUNCTIONS)))
def test_only_a_junction_can_be_exported(card: str) -> None:
    device: Device = load_device(card)
    for export in (netlist, subcircuit, lambda device: pulse_train(device, [0.0], [False])):
        with pytest.raises(IPNetError, match=rf"got card '{card}' as a device of class \w+: choose one of mtj-"):
            export(device)


def test_a_junction_with_laws_of_its_own_cannot_be_exported() -> None:
    class Other(MTJ):
        pass

    with pytest.raises(IPNetError, match=r"got card 'mtj-thermal' as a device of class Other"):
        netlist(Other(load_device("mtj-thermal").card))


@pytest.mark.parametrize(
    ("u", "switched", "edge", "message"),
    [
        ([], [], None, r"must have one cycle or more, .* got 0 u and 0 switched"),
        ([0.1, 0.2], [True], None, r"got 2 u and 1 switched: give each cycle both"),
        ([float("nan")], [True], None, r"each with a finite u"),
        ([0.1], [True], 2e-9, r"at most a tenth of the shortest pulse, 10 ns; got 2 ns: shorten them"),
        ([0.1], [True], 0.0, r"must take more than no time .* got 0 s"),
    ],
)
def test_a_train_that_makes_no_sense_is_refused(
    u: list[float], switched: list[bool], edge: float | None, message: str
) -> None:
    with pytest.raises(IPNetError, match=message):
        netlist(load_device("mtj-thermal"), u, switched, edge=edge)
