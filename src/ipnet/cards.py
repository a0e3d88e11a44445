"""Device cards: TOML files in which every value has a unit and a source, or says that it is assumed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Generic, Self, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ipnet.errors import IPNetError, invalid_config, unknown_name
from ipnet.settings import find_file, read_toml
from ipnet.units import format_si, to_si

P = TypeVar("P", bound=BaseModel)
K = TypeVar("K", bound=BaseModel)

SHIPPED = Path(__file__).parent / "device" / "cards"


class Values(BaseModel):
    """Base of the parameter tables of a device: SI floats whose units are metadata of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def quantity(unit: str, description: str, **rules: Any) -> Any:
    """A field of `Values` in SI: its unit, what it is, and its range as pydantic rules (``gt=0``)."""
    return Field(description=description, json_schema_extra={"unit": unit}, **rules)


class Pulses(Values):
    """The part of a clock that every device has: how an input becomes a voltage."""

    V_bias: float = quantity("V", "pulse voltage at zero input", ge=0)
    gain: float = quantity("V", "voltage per unit of input before training", gt=0)
    V_max: float = quantity("V", "largest voltage ever applied to the device", gt=0)

    @model_validator(mode="after")
    def _stays_below_the_limit(self) -> Self:
        if self.V_bias > self.V_max:
            raise ValueError(
                f"V_bias must not exceed V_max; got V_bias = {format_si(self.V_bias, 'V')}, "
                f"V_max = {format_si(self.V_max, 'V')}: lower V_bias"
            )
        return self


Number = Annotated[float, Field(strict=True)]


class Entry(BaseModel):
    """One value of a card as written: exactly one of `source` and `assumed` says where it comes from.

    Args:
        value: the number, in `unit`; a list for a quantity of several parts, such as thermal poles.
        unit: any unit of the right dimension.
        source: publication, with the figure or table if there is one.
        assumed: why this value was chosen where no source gives one.
        range: the sourced or plausible range, in `unit`, to sweep.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Number | tuple[Number, ...]
    unit: str
    source: Annotated[str, Field(pattern=r"\S")] | None = None
    assumed: Annotated[str, Field(pattern=r"\S")] | None = None
    range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if bool(self.source) == bool(self.assumed):
            raise ValueError("a value must name a 'source' or say 'assumed' and why (one of the two)")
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"the range to sweep must be [low, high]; got {list(self.range)}")
        return self

    @property
    def numbers(self) -> str:
        """The value as text, its parts separated by commas.

        Example:
            >>> Entry(value=(0.5, 1e-3), unit="us", assumed="an example").numbers
            '0.5, 0.001'
        """
        parts = self.value if isinstance(self.value, tuple) else (self.value,)
        return ", ".join(f"{part:g}" for part in parts)


class CardFile(BaseModel):
    """A card as written in TOML.

    `parameters` belong to the junction, `clock` to how it is operated, `variation` to how junctions of one kind
    differ (see `ipnet.device.load_device`), `correlation` to which of their values differ together ("R_P R_AP").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    device: str
    title: str
    description: str
    parameters: dict[str, Entry]
    clock: dict[str, Entry | str]
    variation: dict[str, Entry] = Field(default_factory=dict)
    correlation: dict[str, Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class Card(Generic[P, K]):
    """A device: its measured or published values and the clock it is operated with. Nothing in training writes it.

    Args:
        name: unique name.
        device: the physics, an entry of ``ipnet.device.DEVICES``.
        title: one line.
        description: what is known and what is not.
        parameters: SI values of the junction.
        clock: SI values of the pulses.
        entries: the values as written, with unit and source, by ``table.key``.
        variation: how junctions of this kind differ, SI.
        correlation: which of their values differ together.
    """

    name: str
    device: str
    title: str
    description: str
    parameters: P
    clock: K
    entries: Mapping[str, Entry]
    variation: Mapping[str, float] = field(default_factory=dict)
    correlation: Mapping[str, float] = field(default_factory=dict)

    def with_clock(self, **changes: Any) -> "Card[P, K]":
        """The same junction operated differently; values in SI.

        Raises:
            IPNetError: an unknown clock value, or one that breaks a rule.
        """
        clock, entries = self._changed("clock", changes)
        return replace(self, clock=clock, entries=entries)

    def with_parameters(self, **changes: Any) -> "Card[P, K]":
        """Another junction, with some values of this one replaced; values in SI.

        Raises:
            IPNetError: an unknown value, or one that breaks a rule.
        """
        parameters, entries = self._changed("parameters", changes)
        return replace(self, parameters=parameters, entries=entries)

    def _changed(self, table: str, changes: dict[str, Any]) -> tuple[Any, dict[str, Entry]]:
        values = getattr(self, table)
        model = type(values)
        for key in changes:
            if key not in model.model_fields:
                raise unknown_name(f"{table.removesuffix('s')} value", key, model.model_fields)
        entries = dict(self.entries) | {
            f"{table}.{key}": Entry(value=value, unit=unit_of(model, key), assumed="set by the user for this run")
            for key, value in changes.items()
            if f"{table}.{key}" in self.entries
        }
        return _validate(model, values.model_dump() | changes, f"card '{self.name}', {table}"), entries


def unit_of(model: type[BaseModel], key: str) -> str:
    """The SI unit of a field, or an empty string for a field that is not a quantity."""
    extra = model.model_fields[key].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""


def shipped_cards() -> dict[str, Path]:
    """The cards of the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def read_card_file(name_or_path: str | Path) -> CardFile:
    """Read a shipped card by name, or any card by the path of its TOML file.

    Raises:
        IPNetError: no such card; damaged TOML; a value without unit or source.
    """
    path = find_file(name_or_path, shipped_cards(), "card")
    content = read_toml(path, "card")
    try:
        return CardFile.model_validate(content)
    except ValidationError as error:
        raise invalid_config(error, CardFile, f"card '{path.name}'") from error


def format_card(file: CardFile) -> str:
    """A card as TOML; written to a file, `read_card_file` gives the same card back.

    Example:
        >>> text = format_card(read_card_file("memoryless"))
        >>> text.splitlines()[0]
        'name = "memoryless"'
    """

    def quote(text: str) -> str:  # JSON escapes what TOML wants escaped, except DEL
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    def write(value: Any) -> str:
        if isinstance(value, str):
            lines = [quote(line)[1:-1] for line in value.split("\n")]
            return quote(value) if len(lines) == 1 else '"""\n' + "\n".join(lines) + '"""'
        if isinstance(value, tuple):
            return f"[{', '.join(map(write, value))}]"
        if isinstance(value, Entry):
            parts = value.model_dump(exclude_none=True).items()
            return "{ " + ", ".join(f"{key} = {write(part)}" for key, part in parts) + " }"
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)

    tables: list[str] = []
    for name, table in file:
        if not isinstance(table, dict):
            tables.append(f"{name} = {write(table)}\n")
        elif table:
            keys = {key: key if key.isascii() and key.isidentifier() else quote(key) for key in table}
            tables.append(f"\n[{name}]\n" + "".join(f"{keys[key]} = {write(table[key])}\n" for key in table))
    return "".join(tables)


def make_card(file: CardFile, parameters: type[P], clock: type[K]) -> Card[P, K]:
    """Convert a card's entries to SI and check them against the tables of its device.

    Raises:
        IPNetError: an unknown or missing key, a unit of another dimension, a value out of its range.
    """
    where = f"card '{file.name}'"
    tables: dict[str, Mapping[str, Entry | str]] = {
        "parameters": file.parameters,
        "clock": file.clock,
        "variation": file.variation,
        "correlation": file.correlation,
    }
    return Card(
        name=file.name,
        device=file.device,
        title=file.title,
        description=file.description,
        parameters=_validate(parameters, _to_si(file.parameters, parameters, where), f"{where}, parameters"),
        clock=_validate(clock, _to_si(file.clock, clock, where), f"{where}, clock"),
        entries={
            f"{table}.{key}": entry
            for table, entries in tables.items()
            for key, entry in entries.items()
            if isinstance(entry, Entry)
        },
        variation=_shares(file.variation, f"{where}, variation"),
        correlation=_shares(file.correlation, f"{where}, correlation"),
    )


def read_values(path: Path, model: type[P], kind: str) -> P:
    """A TOML file of entries, each with unit and source as in a card, as one table of values in SI.

    Args:
        path: of the file.
        model: the table, of `quantity` fields.
        kind: what the file should be, for messages.

    Raises:
        IPNetError: no such file, damaged TOML, a value without unit or source, an unknown or missing one.
    """
    where = f"{kind} '{path}'"
    entries = {}
    for key, content in read_toml(path, kind).items():
        try:
            entries[key] = Entry.model_validate(content)
        except ValidationError as error:
            raise invalid_config(error, Entry, f"{where}, '{key}'") from error
    return _validate(model, _to_si(entries, model, where), where)


def _shares(entries: Mapping[str, Entry], where: str) -> dict[str, float]:
    """Dimensionless numbers by name."""
    shares = {}
    for key, entry in entries.items():
        if isinstance(entry.value, tuple):
            raise IPNetError(f"{where}: '{key}' must be one number; got {list(entry.value)}.")
        shares[key] = _convert(key, entry, "1", where)
    return shares


def _convert(key: str, entry: Entry, unit: str, where: str) -> Any:
    """The value of an entry in SI: a float, or a tuple of them."""
    try:
        if isinstance(entry.value, tuple):
            return tuple(to_si(value, entry.unit, unit) for value in entry.value)
        return to_si(entry.value, entry.unit, unit)
    except IPNetError as error:
        raise IPNetError(f"{where}: '{key}': {error}") from error


def _to_si(entries: Mapping[str, Entry | str], model: type[BaseModel], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, entry in entries.items():
        if key not in model.model_fields:
            raise IPNetError(f"{where}: {unknown_name('value', key, model.model_fields)}")
        expected = unit_of(model, key)
        if isinstance(entry, str) or not expected:
            values[key] = entry if isinstance(entry, str) else entry.value
        else:
            values[key] = _convert(key, entry, expected, where)
            if get_origin(model.model_fields[key].annotation) is tuple and isinstance(values[key], float):
                values[key] = (values[key],)  # a single part needs no brackets
    return values


def _validate(model: type[K], values: dict[str, Any], where: str) -> K:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        finding = error.errors()[0]
        key = str(finding["loc"][0]) if finding["loc"] else ""
        if key and finding["type"] not in ("missing", "extra_forbidden") and unit_of(model, key):
            rule = finding["msg"].replace("Input should", "must")
            value = values[key][int(finding["loc"][1])] if len(finding["loc"]) > 1 else values[key]
            shown = format_si(value, unit_of(model, key)) if isinstance(value, float) else value
            raise IPNetError(f"{where}: '{key}' {rule}; got {shown}.") from error
        raise invalid_config(error, model, where) from error
