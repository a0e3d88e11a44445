"""Units are converted by dimension, and a wrong one is an error."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipnet.errors import IPNetError
from ipnet.units import format_si, parse_unit, read_quantity, to_si


@pytest.mark.parametrize(
    ("value", "unit", "expected", "si"),
    [
        (1, "ns", "s", 1e-9),
        (2.53, "kohm", "ohm", 2530.0),
        (1.6, "K/uW", "K/W", 1.6e6),
        (0.07, "%/K", "1/K", 7e-4),
        (5, "ohm um2", "ohm m2", 5e-12),
        (3, "mV", "V", 3e-3),
        (4, "fF", "F", 4e-15),
        (2, "MHz", "Hz", 2e6),
        (7, "W s", "J", 7.0),
        (7, "A V", "W", 7.0),
        (1, "V/A", "ohm", 1.0),
        (1, "1/ohm", "S", 1.0),
        (2, "g", "g", 2.0),
    ],
)
def test_conversion(value: float, unit: str, expected: str, si: float) -> None:
    assert to_si(value, unit, expected) == pytest.approx(si, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("unit", "expected"), [("ns", "V"), ("K/W", "W/K"), ("1", "K"), ("s2", "s"), ("ohm", "S")]
)
def test_another_dimension_is_an_error(unit: str, expected: str) -> None:
    with pytest.raises(IPNetError, match=f"a unit like '{expected}' is needed; got '{unit}'"):
        to_si(1.0, unit, expected)


@pytest.mark.parametrize("symbol", ["parsec", "k%", "m/s/s", "n", "ohm-", "xV", "k1", "", " ", "V/", "/s"])
def test_unknown_unit_is_an_error(symbol: str) -> None:
    with pytest.raises(IPNetError, match=f"unknown unit '{symbol}'; write SI symbols"):
        to_si(1.0, symbol, "V")


def test_metre_and_milli_are_told_apart() -> None:
    assert parse_unit("m").dimension == parse_unit("mm").dimension != parse_unit("mK").dimension
    assert parse_unit("mm").factor == 1e-3


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "V", "0 V"),
        (-2.5e-3, "V", "-2.5 mV"),
        (1e-9, "s", "1 ns"),
        (999.9e-9, "s", "999.9 ns"),
        (1e3, "ohm", "1 kohm"),
        (300.0, "K", "300 K"),
        (1e6, "K/W", "1e+06 K/W"),
        (7e-4, "1/K", "0.0007 1/K"),
        (0.25, "1", "0.25"),
        (1e-18, "F", "1e-18 F"),
    ],
)
def test_format(value: float, unit: str, text: str) -> None:
    assert format_si(value, unit) == text


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-14, 1e11), st.sampled_from(["V", "ohm", "s", "W", "J"]))
def test_what_is_written_reads_back(value: float, unit: str) -> None:
    number, symbol = format_si(value, unit).split()
    assert math.isclose(to_si(float(number), symbol, unit), value, rel_tol=6e-4)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("20ms", "s", 0.02), (" 1.5 us ", "s", 1.5e-6), ("2e-3s", "s", 2e-3), ("-3 mV", "V", -3e-3)],
)
def test_a_quantity_is_read_with_its_unit(text: str, unit: str, value: float) -> None:
    assert read_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "20", "ms", "20 mV", "2..0 s", "20 parsec", "nan s"])
def test_a_quantity_needs_a_number_and_the_right_unit(text: str) -> None:
    with pytest.raises(IPNetError, match=r"unit"):
        read_quantity(text, "s")
