"""Units: SI everywhere inside; a unit is written once, beside the value, and checked by dimension."""

import re
from dataclasses import dataclass

from ipnet.errors import IPNetError

Dimension = tuple[int, int, int, int, int]  # exponents of m, kg, s, A, K

_PREFIX = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}
_BASE: dict[str, tuple[float, Dimension]] = {
    "1": (1.0, (0, 0, 0, 0, 0)),
    "%": (1e-2, (0, 0, 0, 0, 0)),
    "m": (1.0, (1, 0, 0, 0, 0)),
    "g": (1e-3, (0, 1, 0, 0, 0)),
    "s": (1.0, (0, 0, 1, 0, 0)),
    "A": (1.0, (0, 0, 0, 1, 0)),
    "K": (1.0, (0, 0, 0, 0, 1)),
    "Hz": (1.0, (0, 0, -1, 0, 0)),
    "V": (1.0, (2, 1, -3, -1, 0)),
    "ohm": (1.0, (2, 1, -3, -2, 0)),
    "S": (1.0, (-2, -1, 3, 2, 0)),
    "F": (1.0, (-2, -1, 4, 2, 0)),
    "W": (1.0, (2, 1, -3, 0, 0)),
    "J": (1.0, (2, 1, -2, 0, 0)),
}
_TOKEN = re.compile(r"^(?P<symbol>[A-Za-z%]+|1)(?P<power>-?\d+)?$")


@dataclass(frozen=True)
class Unit:
    """A parsed unit.

    Args:
        symbol: as written, for example ``"K/W"``.
        factor: SI value of one such unit.
        dimension: exponents of m, kg, s, A, K.
    """

    symbol: str
    factor: float
    dimension: Dimension


def _atom(symbol: str) -> tuple[float, Dimension] | None:
    if symbol in _BASE:
        return _BASE[symbol]
    prefix, base = symbol[:1], symbol[1:]
    if prefix in _PREFIX and base in _BASE and base not in ("1", "%"):
        factor, dimension = _BASE[base]
        return _PREFIX[prefix] * factor, dimension
    return None


def parse_unit(symbol: str) -> Unit:
    """Read a unit such as ``"ns"``, ``"K/W"``, ``"ohm um2"`` or ``"%/K"``; one ``/`` at most.

    Raises:
        IPNetError: a symbol is unknown.

    Example:
        >>> parse_unit("ns").factor
        1e-09
        >>> parse_unit("ohm um2").dimension
        (4, 1, -3, -2, 0)
    """
    known = "write SI symbols with a prefix, such as 'ns', 'kohm', 'K/W', '%/K', or '1' for none"
    if symbol.count("/") > 1 or not all(side.strip() for side in symbol.split("/")):
        raise IPNetError(f"unknown unit '{symbol}'; {known}.")
    factor, powers = 1.0, [0, 0, 0, 0, 0]
    for sign, side in zip((1, -1), symbol.split("/"), strict=False):
        for token in side.split():
            match = _TOKEN.match(token)
            atom = _atom(match["symbol"]) if match else None
            if match is None or atom is None:
                raise IPNetError(f"unknown unit '{symbol}'; {known}.")
            power = sign * int(match["power"] or 1)
            factor *= atom[0] ** power
            powers = [p + power * d for p, d in zip(powers, atom[1], strict=True)]
    m, kg, s, a, k = powers
    return Unit(symbol, factor, (m, kg, s, a, k))


def to_si(value: float, unit: str, expected: str) -> float:
    """Convert `value` in `unit` to SI, where the quantity has the dimension of `expected`.

    Raises:
        IPNetError: the unit is unknown or has another dimension.

    Example:
        >>> to_si(2.5, "kohm", "ohm")
        2500.0
    """
    given, wanted = parse_unit(unit), parse_unit(expected)
    if given.dimension != wanted.dimension:
        raise IPNetError(f"a unit like '{expected}' is needed; got '{unit}', which measures something else.")
    return value * given.factor / wanted.factor


def read_quantity(text: str, expected: str) -> float:
    """Read a number with its unit, such as "20ms" or "1.6 K/uW", into SI.

    Raises:
        IPNetError: no number, no unit, or one of another dimension than `expected`.

    Example:
        >>> read_quantity("20ms", "s"), read_quantity("1.6 K/uW", "K/W")
        (0.02, 1600000.0)
    """
    match = re.match(r"^\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(.*?)\s*$", text)
    try:
        value = float(match[1]) if match else None
    except ValueError:
        value = None
    if match is None or value is None or not match[2]:
        raise IPNetError(f"a number with a unit like '{expected}' is needed; got '{text}'.")
    return to_si(value, match[2], expected)


def format_si(value: float, unit: str) -> str:
    """Write a value with the SI prefix that suits it.

    Example:
        >>> format_si(2530.0, "ohm"), format_si(1e-7, "s"), format_si(45.0, "1")
        ('2.53 kohm', '100 ns', '45')
    """
    if unit == "1":
        return f"{value:.4g}"
    if unit in _BASE and unit not in ("%", "K", "g") and value != 0:
        for prefix, factor in sorted(_PREFIX.items(), key=lambda item: -item[1]):
            if abs(value) >= factor * (1 - 1e-12):
                return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


def format_duration(value: float) -> str:
    """Seconds for people.

    Example:
        >>> format_duration(42.4), format_duration(135), format_duration(7260)
        ('42 s', '2 min 15 s', '2 h 1 min')
    """
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
