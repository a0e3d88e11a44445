"""Bills: what is paid for what, recomputed by hand, and what moves a ratio."""

from pathlib import Path
from typing import Any

import pytest

from ipnet.bill import PARTS, Accounting, Bill, Part, bill_of, difference, joules, read_accounting, sensitivity
from ipnet.errors import IPNetError
from ipnet.operations import Operations
from ipnet.prices import read_prices, shipped_prices

PRICES = shipped_prices()
LOOKS = 4
DIGITAL = Operations(
    macs=1000,
    effective_macs=300,
    effective_acs=50,
    adds=70,
    muls=60,
    compares=5,
    functions=11,
    weights=9000,
    weight_reads=36_000,
    reads=80,
    writes=120,
    state=40_000,
    state_reads=160_000,
    state_writes=200_000,
)
JUNCTIONS = Operations(
    junctions=6,
    drives=17,
    probes=24,
    senses=23,
    resets=3.5,
    heat=2e-11,
    current_squared=5e-15,
    voltage_squared=0.7,
    unpriced=3,
    unknown=9,
)


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=0)


def bill(*layers: Operations, **accounting: Any) -> Bill:
    return bill_of({str(i): layer for i, layer in enumerate(layers)}, LOOKS, Accounting(**accounting))


def test_the_energy_of_a_digital_layer_is_what_one_computes_by_hand() -> None:
    picojoules = (
        0.53 * (1000 * (0.2 + 0.1) + (70 + 5) * 0.03 + 60 * 0.2)
        + 11 * 1.03
        + 0.8 * 8 / 64 * (36_000 * 20 + (80 + 120) * 10 + 360_000 * 100)  # 9 kB, 50 B and 40 kB
    )
    found = bill(DIGITAL)
    assert joules(found, PRICES, PRICES.values(), 28) == near(1e-12 * picojoules)


def test_the_energy_of_junctions_is_what_one_computes_by_hand() -> None:
    pulses = 2e-11 + 1000 * 5e-15 + 128 * 0.25e-15 * 0.7 + (17 + 3.5) * 0.33e-12 + 23 * 126e-15
    for node in (28, 45):
        assert joules(bill(JUNCTIONS, node=node), PRICES, PRICES.values(), node) == near(pulses)
    assert bill(JUNCTIONS, rows=32)["line_capacitance"] == near(32 * 0.7)


def test_layers_add_up() -> None:
    found, one = bill(DIGITAL, JUNCTIONS, DIGITAL), bill(DIGITAL)
    assert found == {name: near(2 * quantity) for name, quantity in one.items()} | bill(JUNCTIONS)


PAID: dict[Part, set[str]] = {
    "arithmetic": {"mul_int8", "add_int32", "add_int8"},
    "functions": {"function"},
    "weights": {"sram_32kB"},
    "activations": {"sram_8kB"},
    "state": {"sram_1MB"},
    "junctions": {"pulse"},
    "periphery": {"access_resistance", "line_capacitance", "driver", "sense"},
}


def test_parts_that_are_left_out_cost_nothing() -> None:
    assert set(PAID) == set(PARTS)
    for part, names in PAID.items():
        assert set(bill(DIGITAL, JUNCTIONS, parts=(part,))) == names
        without = tuple(other for other in PARTS if other != part)
        assert set(bill(DIGITAL, JUNCTIONS, parts=without)) == set.union(*PAID.values()) - names
    assert bill(DIGITAL, JUNCTIONS, parts=()) == {}


@pytest.mark.parametrize(
    ("bytes_", "memory"),
    [
        (8192, "sram_8kB"),
        (8193, "sram_32kB"),
        (32768, "sram_32kB"),
        (32769, "sram_1MB"),
        (2**20, "sram_1MB"),
        (2**20 + 1, "dram"),
    ],
)
def test_each_kind_of_values_is_in_the_smallest_memory_that_holds_them(bytes_: int, memory: str) -> None:
    assert bill(Operations(weights=bytes_, weight_reads=3)) == {memory: 24}
    assert bill(Operations(state=bytes_, state_reads=2, state_writes=1)) == {memory: 24}
    looked_at = LOOKS * bytes_
    assert bill(Operations(reads=looked_at - 1, writes=1)) == {memory: 8 * looked_at}
    assert bill(Operations(weights=bytes_ / 4, weight_reads=3), precision="fp32") == {memory: 96}


@pytest.mark.parametrize(
    ("precision", "add", "accumulate", "bits"),
    [
        ("int8", "add_int8", "add_int32", 8),
        ("fp16", "add_fp16", "add_fp16", 16),
        ("fp32", "add_fp32", "add_fp32", 32),
    ],
)
def test_products_of_int8_are_accumulated_in_int32(precision: str, add: str, accumulate: str, bits: int) -> None:
    mul = f"mul_{precision}"
    assert bill(Operations(macs=10), precision=precision) == {mul: 10, accumulate: 10}
    assert bill(Operations(adds=2, compares=3, muls=4), precision=precision) == {add: 5, mul: 4}
    assert bill(Operations(reads=7), precision=precision) == {"sram_8kB": 7 * bits}


def test_a_sparse_accounting_takes_effective_products_and_sums() -> None:
    layer = Operations(macs=1000, effective_macs=300, effective_acs=50)
    assert bill(layer, sparse=True) == {"mul_int8": 300, "add_int32": 350}
    assert bill(layer) == {"mul_int8": 1000, "add_int32": 1000}


def test_a_difference_says_what_would_vanish_and_what_would_come() -> None:
    assert difference({"a": 5, "b": 2, "c": 1}, {"a": 3, "b": 2, "d": 4}) == {"a": 2, "c": 1, "d": -4}
    gone = difference({"sense": 2.0}, {"sense": 1.0, "driver": 1.0})
    assert joules(gone, PRICES, PRICES.values(), 28) == near(126e-15 - 0.33e-12)


def test_many_prices_give_as_many_energies() -> None:
    drawn, one = PRICES.draw(5), bill(DIGITAL, JUNCTIONS)
    found = joules(one, PRICES, drawn, 28)
    assert found.shape == (5,)
    third = {name: float(values[2]) for name, values in drawn.items()}
    assert float(found[2]) == near(joules(one, PRICES, third, 28))


def test_the_price_that_moves_a_ratio_most_stands_first() -> None:
    of, over = {"mul_int8": 1000.0, "sram_8kB": 64.0}, {"sense": 2.0, "pulse": 1e-12}

    def ratio(
        mul: float = 0.2, sram: float = 10, sense: float = 0.126, pulse: float = 1, logic: float = 0.53
    ) -> Any:
        return near((1000 * mul * logic + 0.8 * sram) / (2 * sense + pulse))

    rows = {name: (low, high) for name, low, high in sensitivity(of, over, PRICES, 28)}
    assert rows["mul_int8"] == (ratio(mul=0.1), ratio(mul=0.5))
    assert rows["sram_8kB"] == (ratio(sram=5), ratio(sram=20))
    assert rows["sense"] == (ratio(sense=0.002), ratio(sense=0.126))
    assert rows["pulse"] == (ratio(pulse=0.5), ratio(pulse=2.3))
    assert rows["scale_logic"] == (ratio(logic=0.37), ratio(logic=0.62))
    assert next(iter(rows)) == "mul_int8"
    assert set(rows) == {*of, *over, "scale_logic", "scale_memory"}
    moves = [abs(high - low) for low, high in rows.values()]
    assert moves == sorted(moves, reverse=True)
    assert {name for name, *_ in sensitivity(of, over, PRICES, 45)} == {*of, *over}


def test_a_price_of_ones_own_is_the_one_that_is_paid(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[price]\nsense = { value = 1.126, unit = "pJ", scope = "circuit", assumed = "dear", range = [1, 2] }\n',
        "utf-8",
    )
    own, paid = read_prices(path), bill(JUNCTIONS)
    more = joules(paid, own, own.values(), 28) - joules(paid, PRICES, PRICES.values(), 28)
    assert more == pytest.approx(23e-12, rel=1e-9, abs=0)
    assert sensitivity(bill(DIGITAL), paid, own, 28) != sensitivity(bill(DIGITAL), paid, PRICES, 28)


@pytest.mark.parametrize(
    "wrong", [{"rows": 0}, {"node": 14}, {"precision": "int4"}, {"parts": ("weight",)}, {"sparsity": True}]
)
def test_an_accounting_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Accounting(**wrong)


def test_an_accounting_is_read_from_settings() -> None:
    assert read_accounting([]) == Accounting()
    read = read_accounting(["precision=fp32", "node=45", 'parts=["arithmetic"]', "sparse=true", "rows=7"])
    assert read == Accounting(precision="fp32", node=45, parts=("arithmetic",), sparse=True, rows=7)
    with pytest.raises(IPNetError, match=r"accounting: 'node' must be 28 or 45; got 14\."):
        read_accounting(["node=14"])
    with pytest.raises(IPNetError, match=r"accounting: unknown key 'row'; did you mean 'rows'\?"):
        read_accounting(["row=7"])
