"""The search for the published ratios: its steps are those of real modules, its counts those of a recount."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from ipnet.bill import PARTS, Accounting, bill_of
from ipnet.counting import count_operations
from ipnet.memory import MEMORIES
from ipnet.operations import Operations, total_of
from ipnet.prices import read_prices, shipped_prices
from ipnet.published_ratio import (
    CHANNELS,
    CONVOLUTION,
    COUNTED,
    HIDDEN,
    LSTM,
    NEURON,
    SIDES,
    Search,
    convolution_step,
    lstm_step,
    search,
)

PRICES = shipped_prices()
OWN = 3e-12
NODES, PRECISIONS = (28, 45), ("int8", "fp16", "fp32")
FOUND = search(PRICES, OWN)


def of_a_frame(operations: Operations, frames: int) -> Operations:
    """What is done for one frame; what is kept is kept for all. Zeros count as any other number, padding too."""
    kept = {"weights": operations.weights, "state": operations.state}
    return replace(operations / frames, **kept, dense=0, effective_macs=0, effective_acs=0)


@pytest.mark.parametrize("hidden", [3, 8])
def test_the_step_of_an_lstm_is_that_of_the_real_one(hidden: int) -> None:
    layers = count_operations(MEMORIES.build("lstm", hidden), torch.rand(5, 1, hidden))
    assert of_a_frame(total_of(layers), 5) == lstm_step(hidden)


@pytest.mark.parametrize(("channels", "side"), [(2, 5), (3, 4)])
def test_the_step_of_a_convolution_is_that_of_the_real_one(channels: int, side: int) -> None:
    layers = count_operations(MEMORIES.build("conv3d", channels), torch.rand(5, 1, channels, side, side))
    found = total_of({name: layers[name] for name in ("", "mix")})
    assert found.compares == 5 * channels * side**2  # of the activation before it
    assert of_a_frame(replace(found, compares=0), 5) == convolution_step(channels, side)


def energy(step: Operations, counted: str, precision: str, node: int) -> float:
    accounting = Accounting(parts=COUNTED[counted], precision=precision, node=node)  # type: ignore[arg-type]
    bill = bill_of({"one": step}, 1, accounting)
    return sum(quantity * PRICES.at(name, node, PRICES.values()) for name, quantity in bill.items())  # type: ignore[arg-type]


def needed() -> Iterator[tuple[tuple[str, str, int], int, float]]:
    """Accounting, hidden units, and what a neuron must take for the published ratio to the LSTM [J]."""
    for accounting in product(COUNTED, PRECISIONS, NODES):
        for hidden in HIDDEN:
            yield accounting, hidden, energy(lstm_step(hidden), *accounting) / hidden / 2874


def test_the_ratios_are_those_of_the_paper() -> None:
    assert (LSTM, CONVOLUTION) == (2874, 90920)
    assert COUNTED["all"] == PARTS


def test_every_way_gives_both_ratios() -> None:
    assert len(FOUND.ways) == 10
    for way in FOUND.ways:
        accounting = way.counted, way.precision, way.node
        lstm, convolution = lstm_step(way.hidden), convolution_step(way.channels, way.side)
        neurons = way.hidden * way.neuron_energy
        assert energy(lstm, *accounting) / neurons == pytest.approx(2874, rel=1e-9)
        assert energy(convolution, *accounting) / neurons == pytest.approx(way.convolution_ratio, rel=1e-9)
        assert 90920 / 1.1 <= way.convolution_ratio <= 90920 * 1.1
        assert NEURON[0] <= way.neuron_energy <= NEURON[1]
        assert (way.neurons, way.channels) == ("as the LSTM has units", way.hidden)
    far = [max(way.convolution_ratio / 90920, 90920 / way.convolution_ratio) for way in FOUND.ways]
    assert far == sorted(far)


def test_an_accounting_of_the_first_way_adds_up_from_the_price_list() -> None:
    way = next(way for way in FOUND.ways if (way.precision, way.node) == ("int8", 45))
    assert way.counted == "products"
    h, side = way.hidden, way.side
    lstm = 8 * h**2 * (0.2 + 0.1) + 5 * h * 0.03 + 3 * h * 0.2
    assert way.neuron_energy == pytest.approx(1e-12 * lstm / (2874 * h), rel=1e-9, abs=0)
    convolution = 27 * h**2 * side**2 * (0.2 + 0.1)
    assert way.convolution_ratio == pytest.approx(2874 * convolution / lstm, rel=1e-9)


def test_what_is_counted_is_what_it_says() -> None:
    energies = [one for _, _, one in needed()]
    assert FOUND.accountings == len(energies) == 4 * 3 * 2 * len(HIDDEN)
    assert FOUND.neuron_energies == pytest.approx((min(energies), max(energies)), rel=1e-9, abs=0)
    plain = {(counted, h): one for (counted, *rest), h, one in needed() if rest == ["int8", 28]}
    assert {(counted, h) for counted, rows in FOUND.needed.items() for h, _ in rows} == set(plain)
    for counted, rows in FOUND.needed.items():
        for hidden, one in rows:
            assert one == pytest.approx(plain[counted, hidden], rel=1e-9, abs=0)
    assert FOUND.within == sum(NEURON[0] <= one <= NEURON[1] for one in energies)
    assert 0 < FOUND.within < FOUND.accountings
    ratios = [2874 * one / OWN for one in energies]
    assert FOUND.own_energy == OWN
    assert FOUND.own_ratios == pytest.approx((min(ratios), max(ratios)), rel=1e-9)
    assert FOUND.own_within == sum(2874 / 1.1 <= ratio <= 2874 * 1.1 for ratio in ratios) > 0


def test_both_counts_every_pair_in_which_one_neuron_gives_both_ratios() -> None:
    assert FOUND.pairs == 2 * FOUND.accountings * len(CHANNELS) * len(SIDES)
    both, before = 0, None
    for accounting, hidden, one in needed():
        if accounting != before:
            maps = {
                (channels, side): energy(convolution_step(channels, side), *accounting)
                for channels, side in product(CHANNELS, SIDES)
            }
            before = accounting
        if NEURON[0] <= one <= NEURON[1]:
            for (channels, side), convolution in maps.items():
                for neurons in (hidden, channels * side**2):
                    both += 90920 / 1.1 <= convolution / (neurons * one) <= 90920 * 1.1
    assert FOUND.both == both > 0


@pytest.mark.parametrize("place", [0, 100, 167])
def test_a_neuron_of_the_energy_that_is_needed_is_found(place: int) -> None:
    one = list(needed())[place][2]
    found = search(PRICES, one)
    assert found.own_within >= 1
    assert found.own_ratios[0] <= 2874 * (1 + 1e-9)
    assert found.own_ratios[1] >= 2874 * (1 - 1e-9)


def test_within_a_tenth_is_so_on_both_sides() -> None:
    least, most = FOUND.neuron_energies
    for factor in (1.099, 1.101):
        for own, ratio in ((least * factor, 2874 / factor), (most / factor, 2874 * factor)):
            near = sum(2874 / 1.1 <= 2874 * one / own <= 2874 * 1.1 for _, _, one in needed())
            found = search(PRICES, own)
            assert found.own_within == near
            assert any(end == pytest.approx(ratio, rel=1e-9) for end in found.own_ratios)
    assert search(PRICES, least / 1.2).own_within == search(PRICES, most * 1.2).own_within == 0


def test_prices_of_ones_own_are_searched_with(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[price]\nmul_fp32 = { value = 37, unit = "pJ", scope = "circuit", assumed = "dear", range = [30, 40] }\n'
    )
    own = search(read_prices(path), OWN)
    assert own.neuron_energies[0] == FOUND.neuron_energies[0]
    assert own.neuron_energies[1] > FOUND.neuron_energies[1]
    assert Search.model_validate_json(own.model_dump_json()) == own
