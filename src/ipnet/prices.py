"""Prices of operations, memory, circuits and areas: each with unit, scope, source and range, in one TOML file."""

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ipnet.cards import Entry
from ipnet.errors import IPNetError, invalid_config, unknown_name
from ipnet.settings import read_toml
from ipnet.units import parse_unit, to_si

Floats = NDArray[np.float64]
Node = Literal[28, 45]
DRAWS = 4000  # of all prices, for an interval
PRICES = Path(__file__).with_name("prices.toml")
_LOGIC, _MEMORY = "scale_logic", "scale_memory"


class Price(Entry):
    """One price as written; see `ipnet.cards.Entry`, whose value, unit, source and reason it has.

    Args:
        range: what the true price may be; intervals are drawn from it.
        scope: what it includes: the device, the circuit around it, a memory macro, or the chip.
        per: how many bits it is for.
        node: technology of the price [nm]; one of 45 nm is scaled to 28 nm, any other is taken as it is.
    """

    model_config = ConfigDict(allow_inf_nan=False)  # an endless range cannot be drawn from

    value: float = Field(gt=0)
    range: tuple[float, float]
    scope: Literal["device", "circuit", "macro", "chip"]
    per: float = Field(1.0, gt=0)
    node: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _lies_in_its_range(self) -> Self:
        low, high = self.range
        if not 0 < low <= self.value <= high:
            raise ValueError(
                f"the value must lie in its range, above 0; got {self.value:g} and [{low:g}, {high:g}]"
            )
        return self


class Spread(BaseModel):
    """A number that follows from prices, and the ends between which 95 % of their draws lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: Any) -> Self:
        """Of a value at the prices as they are, and many of it at drawn prices."""
        low, high = np.quantile(drawn, [0.025, 0.975])
        return cls(value=float(value), low=float(low), high=float(high))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    price: dict[str, Price]


class PriceList:
    """All prices, in SI; one of them may be drawn at random, or moved to an end of its range.

    Args:
        entries: by name.
        units: the unit that each must have the dimension of.

    Raises:
        IPNetError: a unit that is unknown, or measures something else.
    """

    def __init__(self, entries: Mapping[str, Price], units: Mapping[str, str]) -> None:
        self.entries = dict(entries)
        self._ends: dict[str, tuple[float, float, float]] = {}
        for name, entry in entries.items():
            try:
                scale = to_si(1.0, entry.unit, units[name]) * parse_unit(units[name]).factor / entry.per
            except IPNetError as error:
                raise IPNetError(f"price '{name}': {error}") from error
            low, high = entry.range
            self._ends[name] = scale * low, scale * entry.value, scale * high

    def values(self) -> dict[str, float]:
        """Each price as it is [SI]."""
        return {name: value for name, (_, value, _) in self._ends.items()}

    def ends(self, name: str) -> tuple[float, float]:
        """The range of a price [SI]."""
        low, _, high = self._ends[name]
        return low, high

    def draw(self, count: int = DRAWS, seed: int = 0) -> dict[str, Floats]:
        """Prices at random: the logarithm of each is triangular over its range, with its peak at the value.

        Args:
            count: of draws.
            seed: of them; each price has a stream of its own.
        """
        found = {}
        for name, ends in self._ends.items():
            rng = np.random.default_rng([seed, *name.encode()])
            low, peak, high = (float(np.log(end)) for end in ends)
            found[name] = np.exp(rng.triangular(low, peak, high, count))
        return found

    @cached_property
    def drawn(self) -> dict[str, Floats]:
        """The draws that all intervals are taken from, so that what comes of two of them can be compared."""
        return self.draw()

    def factor(self, name: str, node: Node) -> str | None:
        """The price that scales another to a node, if one does."""
        if node == 45 or self.entries[name].node != 45:
            return None
        return _MEMORY if self.entries[name].scope == "macro" else _LOGIC

    def at(self, name: str, node: Node, prices: Mapping[str, Any]) -> Any:
        """A price at a node, of prices as `values` or `draw` give them [SI].

        Example:
            >>> prices = shipped_prices()
            >>> f"{prices.at('add_fp32', 28, prices.values()):.3g} J"
            '4.77e-13 J'
        """
        factor = self.factor(name, node)
        return prices[name] if factor is None else prices[name] * prices[factor]


@cache
def shipped_prices() -> PriceList:
    """The prices of the package."""
    entries = _read(PRICES).price
    return PriceList(entries, {name: entry.unit for name, entry in entries.items()})


def read_prices(path: Path | None) -> PriceList:
    """The prices of the package, some of them replaced by those of a file; None for none.

    Raises:
        IPNetError: a damaged file; a price without unit, source, scope or range, by name; a price that is not
            known, negative, or of another dimension.
    """
    shipped = shipped_prices()
    if path is None:
        return shipped
    own = _read(path).price
    for name in own:
        if name not in shipped.entries:
            raise unknown_name("price", name, shipped.entries)
    return PriceList(shipped.entries | own, {name: entry.unit for name, entry in shipped.entries.items()})


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(read_toml(path, "price list"))
    except ValidationError as error:
        raise invalid_config(error, _File, f"price list '{path.name}'") from error
