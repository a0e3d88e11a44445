"""Prices: each says where it is from, a user's file changes those that it names, draws stay in range."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ipnet.errors import IPNetError
from ipnet.prices import PRICES, PriceList, Spread, read_prices, shipped_prices
from ipnet.settings import read_toml

SHIPPED = shipped_prices()


def price(**changes: str | None) -> str:
    """A price as it stands in a file; None leaves a key out."""
    keys = {"value": "0.5", "unit": '"pJ"', "scope": '"circuit"', "source": '"a paper"', "range": "[0.1, 1]"}
    return "{ " + ", ".join(f"{key} = {text}" for key, text in (keys | changes).items() if text) + " }"


def read(folder: Path, **prices: str) -> PriceList:
    path = folder / "own.toml"
    path.write_text("[price]\n" + "\n".join(f"{name} = {text}" for name, text in prices.items()), "utf-8")
    return read_prices(path)


@pytest.mark.parametrize("name", SHIPPED.entries)
def test_every_shipped_price_has_unit_scope_one_origin_and_a_range_around_it(name: str) -> None:
    entry = read_toml(PRICES, "price list")["price"][name]
    assert entry["unit"]
    assert entry["scope"] in ("device", "circuit", "macro", "chip")
    assert ("source" in entry) != ("assumed" in entry)
    assert (entry.get("source") or entry["assumed"]).strip()
    low, high = entry["range"]
    assert 0 < low <= entry["value"] <= high
    assert low < high


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mul_int8", 0.2e-12),
        ("sram_8kB", 10e-12 / 64),
        ("dram", 640e-12 / 32),
        ("access_resistance", 1000.0),
        ("line_capacitance", 0.25e-15),
        ("sense_area", 3e-12),
        ("capacitor_density", 2e-3),
        ("pulse", 1.0),
    ],
)
def test_prices_are_in_si_and_of_one_bit(name: str, value: float) -> None:
    entry = SHIPPED.entries[name]
    assert SHIPPED.values()[name] == pytest.approx(value, rel=1e-12, abs=0)
    ends = [value * end / entry.value for end in entry.range]
    assert SHIPPED.ends(name) == pytest.approx(ends, rel=1e-12, abs=0)


MISTAKES: dict[str, tuple[dict[str, str | None], str]] = {
    "no unit": ({"unit": None}, r"'price\.add_int8\.unit' is missing; add it\."),
    "no scope": ({"scope": None}, r"'price\.add_int8\.scope' is missing; add it\."),
    "no range": ({"range": None}, r"'price\.add_int8\.range' is missing; add it\."),
    "no origin": ({"source": None}, r"'price\.add_int8' a value must name a 'source' or say 'assumed' and why"),
    "two origins": ({"assumed": '"so"'}, r"'price\.add_int8' a value must name a 'source' or say 'assumed'"),
    "empty source": ({"source": '" "'}, r"'price\.add_int8\.source' "),
    "unknown scope": (
        {"scope": '"box"'},
        r"'price\.add_int8\.scope' must be 'device', 'circuit', 'macro' or 'chip'; got 'box'\.",
    ),
    "unknown unit": ({"unit": '"pj"'}, r"price 'add_int8': unknown unit 'pj'; write SI symbols"),
    "wrong dimension": ({"unit": '"pF"'}, r"price 'add_int8': a unit like 'pJ' is needed; got 'pF'"),
    "negative": ({"value": "-1"}, r"'price\.add_int8\.value' must be greater than 0; got -1\."),
    "nothing": ({"value": "0"}, r"'price\.add_int8\.value' must be greater than 0; got 0\."),
    "above its range": (
        {"value": "2"},
        r"'price\.add_int8' the value must lie in its range, .* got 2 and \[0\.1, 1\]",
    ),
    "below its range": ({"value": "0.05"}, r"'price\.add_int8' the value must lie in its range, .* got 0\.05 and"),
    "a range from 0": ({"range": "[0, 1]"}, r"'price\.add_int8' the value must lie in its range, above 0"),
    "a range exchanged": ({"range": "[1, 0.1]"}, r"'price\.add_int8' the range to sweep must be \[low, high\]"),
    "an endless range": (
        {"range": "[0.1, inf]"},
        r"'price\.add_int8\.range\.1' must be a finite number; got inf\.",
    ),
    "infinite": ({"value": "inf"}, r"'price\.add_int8\.value' must be a finite number; got inf\."),
    "for no bit": ({"per": "0"}, r"'price\.add_int8\.per' must be greater than 0; got 0\."),
    "unknown key": ({"error": "3"}, r"unknown key 'price\.add_int8\.error'"),
}


@pytest.mark.parametrize(("changes", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_price_is_one_sentence_with_its_name(
    changes: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IPNetError, match=message) as refused:
        read(tmp_path, add_int8=price(**changes))
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(("price list 'own.toml': ", "price 'add_int8': "))


def test_an_unknown_price_answers_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(IPNetError, match=r"unknown price 'mul_int9'; did you mean 'mul_int8'\? Known: access_res"):
        read(tmp_path, mul_int9=price())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"price list '.*own\.toml' cannot be read \(No such file or directory\); check the path\."),
        ("[price", r"price list '.*own\.toml' is not valid TOML"),
        ("", r"price list 'own\.toml': 'price' is missing; add it\."),
        ("[prices]\n[price]\n", r"price list 'own\.toml': unknown key 'prices'"),
    ],
)
def test_a_file_that_is_no_price_list_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(IPNetError, match=message):
        read_prices(path)


def test_a_file_of_ones_own_changes_the_prices_that_it_names(tmp_path: Path) -> None:
    own = read(tmp_path, sram_8kB=price(value="0.7", unit='"nJ"', per="100", range="[0.6, 0.9]"))
    assert own.values() == SHIPPED.values() | {"sram_8kB": own.values()["sram_8kB"]}
    assert own.values()["sram_8kB"] == pytest.approx(7e-12, rel=1e-12, abs=0)
    assert own.ends("sram_8kB") == pytest.approx((6e-12, 9e-12), rel=1e-12, abs=0)
    assert own.entries["sram_8kB"].source == "a paper"
    drawn, before = own.draw(50), SHIPPED.draw(50)
    changed = [name for name in drawn if not np.array_equal(drawn[name], before[name])]
    assert changed == ["sram_8kB"]
    assert read_prices(None) is SHIPPED


def test_draws_lie_in_their_range_and_are_densest_at_the_price() -> None:
    drawn = SHIPPED.draw(20_000)
    assert list(drawn) == list(SHIPPED.entries)
    for name, values in drawn.items():
        low, high = SHIPPED.ends(name)
        assert low <= values.min() < values.max() <= high, name
        density, edges = np.histogram(np.log(values), bins=12, range=(np.log(low), np.log(high)))
        value, densest = np.log(SHIPPED.values()[name]), int(density.argmax())
        assert edges[max(densest - 1, 0)] <= value + 1e-9, name
        assert value - 1e-9 <= edges[min(densest + 2, 12)], name
        first = (np.log(values) < np.log(low) + (value - np.log(low)) / 2).mean()  # half way up to the peak
        assert first == pytest.approx((value - np.log(low)) / np.log(high / low) / 4, abs=0.015), name


def test_draws_are_reproducible_and_each_price_has_a_stream_of_its_own() -> None:
    drawn, before = SHIPPED.draw(100), torch.get_rng_state()
    np.random.seed(1)  # noqa: NPY002
    again = SHIPPED.draw(100)
    assert all(np.array_equal(drawn[name], again[name]) for name in drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert not np.array_equal(drawn["mul_int8"], SHIPPED.draw(100, seed=1)["mul_int8"])
    fewer = {name: entry for name, entry in SHIPPED.entries.items() if name != "add_int8"}
    alone = PriceList(fewer, {name: entry.unit for name, entry in fewer.items()}).draw(100)
    assert all(np.array_equal(drawn[name], alone[name]) for name in fewer)
    shares = {}
    for name, values in drawn.items():
        low, high = np.log(SHIPPED.ends(name))
        shares[name] = (np.log(values) - low) / (high - low)
    names = list(shares)
    correlation = np.corrcoef([shares[name] for name in names]) - np.eye(len(names))
    assert abs(correlation).max() < 0.5


def test_only_prices_of_45_nm_are_scaled_to_28_nm_memory_by_a_factor_of_its_own() -> None:
    values = dict.fromkeys(SHIPPED.entries, 1.0) | {"scale_logic": 0.5, "scale_memory": 0.8}
    scaled = {name: SHIPPED.at(name, 28, values) for name in SHIPPED.entries}
    assert {name for name, value in scaled.items() if value == 0.8} == {
        "sram_8kB",
        "sram_32kB",
        "sram_1MB",
        "scale_memory",
    }
    logic = {f"{what}_{kind}" for what in ("add", "mul") for kind in ("int8", "fp16", "fp32")} | {"add_int32"}
    assert {name for name, value in scaled.items() if value == 0.5} == logic | {"scale_logic"}
    assert {name: SHIPPED.at(name, 45, values) for name in SHIPPED.entries} == values


def test_a_price_of_another_node_is_taken_as_it_is(tmp_path: Path) -> None:
    values = read(tmp_path, add_int8=price(node="45"), mul_int8=price(node="28"), sram_8kB=price(node="45"))
    assert values.factor("add_int8", 28) == "scale_logic"
    assert values.factor("mul_int8", 28) is None
    assert values.factor("add_int8", 45) is None
    assert values.factor("sram_8kB", 28) == "scale_logic"  # the file says that its scope is a circuit


def test_a_spread_holds_95_percent() -> None:
    assert Spread.of(3.0, np.arange(1001.0)) == Spread(value=3.0, low=25.0, high=975.0)
