"""The array: areas and clocks, computed again by hand."""

import math
from typing import Any

import pytest

from ipnet.array import PUBLISHED_AREA, area_of, memory_area, throughput_of
from ipnet.device import load_device
from ipnet.errors import IPNetError
from ipnet.prices import shipped_prices

PRICES = shipped_prices()
UM2 = 1e-12
CELL, AROUND, LIF = 0.0486, 3 + 1 + 1.5, 34  # um2


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=0)


@pytest.mark.parametrize(("devices", "rows"), [(1, 128), (3, 16)])
def test_the_area_of_a_neuron_is_its_cells_and_its_share_of_what_stands_around(devices: int, rows: int) -> None:
    area = area_of(PRICES, rows=rows, devices=devices)
    own, shared = devices * CELL + AROUND, devices * CELL + AROUND / rows
    assert area.own.value == near(own * UM2)
    assert area.shared.value == near(shared * UM2)
    assert area.lif.value == near(LIF * UM2)
    assert area.lif_over_own.value == near(LIF / own)
    assert area.lif_over_shared.value == near(LIF / shared)
    for spread in (area.own, area.shared, area.lif, area.lif_over_own, area.lif_over_shared):
        assert 0 < spread.low < spread.high
    assert area.lif.low <= area.lif.value <= area.lif.high
    low, high = (
        devices * cell + sense + driver + logic
        for cell, sense, driver, logic in ((0.036, 1, 0.17, 0.5), (0.103, 39, 4, 4))
    )
    assert low * UM2 <= area.own.low < area.own.high <= high * UM2


def test_with_so_many_sharers_a_neuron_has_the_published_area() -> None:
    sharers = area_of(PRICES, rows=128).sharers
    assert sharers == near(AROUND / (1.5 - CELL))
    assert PUBLISHED_AREA == 1.5 * UM2
    for neighbours, larger in ((math.floor(sharers), True), (math.ceil(sharers), False)):
        assert (area_of(PRICES, rows=neighbours).shared.value > PUBLISHED_AREA) is larger


def test_no_sharing_makes_cells_smaller_that_are_too_large_themselves() -> None:
    assert area_of(PRICES, rows=128, devices=30).sharers
    assert area_of(PRICES, rows=128, devices=31).sharers is None  # 31 cells take 1.507 um2


def test_a_capacitor_that_keeps_as_long_leaks_at_the_pace_of_the_sensor() -> None:
    capacitor = area_of(PRICES, rows=128, memory_time=0.09).capacitor
    assert capacitor
    assert capacitor.value == near(0.09 * 10e-12 / 2e-3)  # 0.9 pF of 2 fF/um2
    assert 0.09 * 1e-12 / 4e-3 < capacitor.low < capacitor.value < capacitor.high < 0.09 * 100e-12 / 1e-3
    assert area_of(PRICES, rows=128).capacitor is None


def test_the_area_of_a_memory_is_that_of_its_junctions_and_of_the_sram_for_what_it_keeps() -> None:
    junctions = {"junctions": 7.0, "heat": 1.0}
    assert memory_area(junctions, 8, PRICES, rows=16).value == near(7 * (CELL + AROUND / 16) * UM2)
    kept = {"weights": 100.0, "state": 20.0, "weight_reads": 1e6}
    assert memory_area(kept, 16, PRICES, rows=16).value == near(120 * 16 * 0.127 / 0.5 * UM2)
    both = memory_area(junctions | kept, 16, PRICES, rows=16)
    assert both.value == near((7 * (CELL + AROUND / 16) + 120 * 16 * 0.127 / 0.5) * UM2)
    assert both.low < both.value < both.high
    assert memory_area({}, 8, PRICES, rows=16).value == 0


def test_an_array_answers_as_often_as_its_clock_or_its_rows_allow() -> None:
    found = throughput_of([load_device("mtj-thermal")], (2, 30, 40), 0.022, rows=32)
    assert found.junctions == 2 * 30 * 40
    assert found.arrays == math.ceil(2400 / 1024)
    assert found.t_cycle == 220e-9
    assert found.frames_per_second == near(1 / 220e-9)
    assert found.row_by_row == near(1 / (32 * 140e-9))  # drive 100, probe 10, read 10, reset 20 ns
    assert found.compression == near(1e5)
    assert throughput_of([load_device("mtj-thermal")], (2, 30, 40), None, rows=32).compression is None


def test_a_probe_takes_time_in_drive_and_probe_alone_and_a_short_line_waits_for_the_clock() -> None:
    bias = load_device("mtj-thermal", operation="bias")
    assert throughput_of([bias], (1, 3, 4), None, rows=32).row_by_row == near(1 / (32 * 130e-9))
    assert throughput_of([bias], (1, 3, 4), None, rows=1).row_by_row == near(1 / 220e-9)


def test_a_bank_has_a_junction_for_each_clock_and_waits_for_the_slowest() -> None:
    fast, slow = load_device("mtj-thermal"), load_device("mtj-thermal", t_cycle=2e-6, t_pulse=200e-9)
    for bank in ([fast, slow], [slow, fast]):
        found = throughput_of(bank, (2, 30, 40), 0.01, rows=64)
        assert (found.junctions, found.arrays) == (4800, 2)
        assert found.t_cycle == 2e-6
        assert found.row_by_row == near(1 / (64 * 240e-9))
        assert found.compression == near(5000)


@pytest.mark.parametrize(("rows", "devices"), [(0, 1), (1, 0)])
def test_fewer_than_one_row_or_device_is_refused(rows: int, devices: int) -> None:
    with pytest.raises(IPNetError, match=rf"rows and devices must be 1 or more; got {rows} and {devices}\."):
        area_of(PRICES, rows=rows, devices=devices)


@pytest.mark.parametrize("card", ["memoryless", "leaky", "memristor-rnnet"])
def test_an_array_of_other_devices_is_refused(card: str) -> None:
    devices = [load_device("mtj-thermal"), load_device(card)]
    with pytest.raises(IPNetError, match=rf"an array is of magnetic tunnel junctions; got the card '{card}'\."):
        throughput_of(devices, (2, 3, 4), None, rows=8)
