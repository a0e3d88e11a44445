"""Switching measurements of one junction: read from CSV with every bad row named.

A row is one condition: the junction starts cold, is heated by a conditioning pulse (of the polarity that cannot
switch it), cools for a delay, and then `switches` of `trials` pulses switch it.
"""

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, unknown_name
from ipnet.physics import FINE, Quadrature
from ipnet.units import format_si, to_si

Floats = NDArray[np.float64]

CONDITIONING = ("V_cond", "t_cond", "delay")
COUNTS = ("trials", "switches")
READS = ("R_P", "R_AP")
UNITS = {"V": "V", "t_pulse": "s", "V_cond": "V", "t_cond": "s", "delay": "s", "ambient": "K"}
UNITS |= dict.fromkeys(COUNTS, "1") | dict.fromkeys(READS, "ohm")
REQUIRED = ("V", "t_pulse", *COUNTS)
CONDITIONS = ("V", "t_pulse", *CONDITIONING, "ambient")
_HEADER = re.compile(r"^(?P<name>[^\[(]*?)\s*(?:[\[(](?P<unit>[^\])]*)[\])])?$")
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_GROUPED = re.compile(r"^[+-]?[1-9]\d{0,2}(,\d{3})+$")
_SPELLINGS = str.maketrans({"µ": "u", "μ": "u", "Ω": "ohm", "\u2126": "ohm"})


@dataclass(frozen=True)
class Quarantined:
    """A row that was left out: the line of the file it stands in, counted from 1, and why in one sentence."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True)
class Measurements:
    """Rows of a measurement, in SI; read with `read_measurements` or made with `ipnet.simulated_measurement`.

    Args:
        columns: every column of `UNITS` [rows]; 0 in `CONDITIONING` where nothing heated the junction before,
            nan in `R_P` and `R_AP` where they were not read; `ambient` is absolute.
        lines: line of the file of each row.
        name: of the file.
        digest: first 12 digits of the SHA-256 of the file.
        quarantined: the rows that were left out, in the order of the file.
    """

    columns: Mapping[str, Floats]
    lines: NDArray[np.int64]
    name: str
    digest: str
    quarantined: tuple[Quarantined, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, column: str) -> Floats:
        return self.columns[column]

    @property
    def heated(self) -> NDArray[np.bool_]:
        """Which rows have a conditioning pulse."""
        return np.asarray((self["V_cond"] > 0) & (self["t_cond"] > 0))

    def take(self, rows: NDArray[Any]) -> "Measurements":
        """Some of the rows, by mask or number."""
        return replace(
            self, columns={key: part[rows] for key, part in self.columns.items()}, lines=self.lines[rows]
        )

    def conditions(self, device: MTJ) -> tuple[Tensor, ...]:
        """What `log_hazard` needs: V, t_pulse, V_cond, t_cond, delay, and the ambient above temp_0."""
        parts = [torch.from_numpy(self[key]) for key in CONDITIONS]
        return (*parts[:-1], parts[-1] - device.temp_0)


class _RowError(ValueError):
    """Why a row is bad."""


class _Limits(NamedTuple):
    """Where the law of a card is valid, in SI, and the same in words."""

    V_max: float
    t_pulse: float
    temp_0: float
    ambient: tuple[float, float]
    V_rule: str
    t_rule: str
    ambient_rule: str

    @classmethod
    def of(cls, device: MTJ) -> "_Limits":
        V_max, shortest, temp_0 = float(device.V_max), 10 * float(device.tau_0), float(device.temp_0)
        melted = min(float(device.temp_C), float(device.temp_P))
        temps = torch.linspace(temp_0, melted, 400, dtype=torch.float64)[:-1]
        stable = device.stability(temps - temp_0, antiparallel=device.resting)[0] > 0
        coldest, hottest = temp_0 / 3, float(temps[stable.cumprod(0).bool()].max())
        V_rule = f"lie in [0, {format_si(V_max, 'V')}], up to V_max of card '{device.card.name}'"
        t_rule = f"be at least 10 tau_0 = {format_si(shortest, 's')}"
        ambient_rule = f"be an absolute temperature from {coldest:.4g} K to {hottest:.4g} K"
        return cls(V_max, shortest, temp_0, (coldest, hottest), V_rule, t_rule, ambient_rule)


def log_hazard(device: MTJ, conditions: Sequence[Tensor], rule: Quadrature = FINE) -> Tensor:
    """Logarithm of the hazard of the pulse of each row, for `ipnet.surrogate.cloglog`: heat, cool, switch.

    Args:
        device: the junction; its values may have the shape [S, 1], to compute S junctions at once.
        conditions: of `Measurements.conditions`, each [rows].
        rule: where in the pulse the hazard is evaluated.

    Returns:
        ln H [1], [rows] or [S, rows].
    """
    V, t_pulse, V_cond, t_cond, delay, ambient = conditions
    nothing, left = torch.zeros_like(V), device.resting
    heating = device.power(V_cond, antiparallel=left, rise=ambient)
    warm = device.heat((nothing,) * device.poles, heating, t_cond)
    state = device.heat(warm, nothing, delay)
    parts = device.log_hazard(V, t_pulse, state, antiparallel=left, rule=rule.at_once(2), ambient=ambient)
    hazard = torch.logsumexp(parts, 0)
    return hazard if warm[0].ndim > 1 else hazard[0]


def read_measurements(path: str | Path, device: MTJ) -> Measurements:
    """Read a CSV file: a header of names with units, ``V [mV]``, then one row per condition.

    Columns: V, t_pulse, trials, switches; V_cond, t_cond, delay if a pulse heats the junction before (empty, or
    V_cond or t_cond = 0: none); ambient (absolute; without it temp_0 of the card); R_P, R_AP, read at low voltage.
    Without a unit a column is in SI. Cells are separated by commas, semicolons or tabs; lines that begin with
    ``#`` and empty lines are skipped; where commas do not separate cells they may be decimal points.

    Args:
        path: of the file.
        device: the base card, whose range of validity the rows must keep.

    Raises:
        IPNetError: no such file; not text; an unknown, missing or repeated column; a unit of another dimension;
            more bad rows than good ones.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise IPNetError(f"measurement '{place}' cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise IPNetError(
            f"measurement '{place.name}' must be UTF-8 text; byte {error.start} is not: save it as CSV UTF-8."
        ) from error
    return parse_measurements(text, device, place.name, hashlib.sha256(content).hexdigest()[:12])


def parse_measurements(text: str, device: MTJ, name: str, digest: str = "") -> Measurements:
    r"""The same from the content of a file.

    Example:
        >>> from ipnet.device import load_device
        >>> text = "V [mV],t_pulse [ns],trials,switches\n280,100,99,41\n290,100,100,102\n285,100,99,60"
        >>> rows = parse_measurements(text, load_device("mtj-thermal"), "two.csv")
        >>> float(rows["V"][0]), str(rows.quarantined[0])
        (0.28, 'line 3: switches must not exceed trials; got 102 of 100')
    """
    numbered = [(i, line) for i, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if not line.startswith("#")]
    numbered = [(i, line) for i, line in numbered if line.strip(" ,;\t")]
    if not numbered:
        raise IPNetError(f"measurement '{name}' is empty; it must begin with a header such as V [V],t_pulse [ns].")
    separator = max(",;\t", key=numbered[0][1].count)
    columns, limits = _read_header(numbered[0][1], separator, name), _Limits.of(device)
    good, lines, bad = list[dict[str, float]](), list[int](), list[Quarantined]()
    for i, line in numbered[1:]:
        try:
            good.append(_read_row(_cells(line, separator), columns, limits, comma=separator != ","))
            lines.append(i)
        except _RowError as error:
            bad.append(Quarantined(i, str(error)))
    good, lines = _without_odd_reads(good, lines, bad)
    if len(bad) >= max(1, len(good)):
        raise IPNetError(
            f"measurement '{name}': most rows must be good; {len(bad)} of {len(numbered) - 1} are not, the first: "
            f"{bad[0]}; correct them."
        )
    if not good:
        raise IPNetError(f"measurement '{name}' has a header and no row; add at least one.")
    table = {key: np.array([row[key] for row in good]) for key in UNITS}
    bad.sort(key=lambda row: row.line)
    return Measurements(table, np.array(lines), name, digest, tuple(bad))


def _cells(line: str, separator: str) -> list[str]:
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise _RowError(f"the line must be CSV; it is not ({error})") from error
    return cells


def _read_header(line: str, separator: str, name: str) -> list[tuple[str, float]]:
    """Name of each column, and its unit in SI."""
    columns = list[tuple[str, float]]()
    cells = _cells(line, separator)
    while cells and not cells[-1]:
        cells.pop()
    for cell in cells:
        match = _HEADER.match(cell)
        column = match["name"].strip() if match else cell
        if match is None or column not in UNITS:
            raise IPNetError(f"measurement '{name}': {unknown_name('column', column, UNITS)}")
        unit = (match["unit"] or "").strip().translate(_SPELLINGS) or UNITS[column]
        try:
            factor = to_si(1.0, unit, UNITS[column])
        except IPNetError as error:
            raise IPNetError(f"measurement '{name}', column '{column}': {error}") from error
        if column in [known for known, _ in columns]:
            raise IPNetError(f"measurement '{name}' must name each column once; got '{column}' twice: remove one.")
        columns.append((column, factor))
    given = {column for column, _ in columns}
    wanted = REQUIRED + (CONDITIONING if given & set(CONDITIONING) else ())
    for column in wanted:
        if column not in given:
            why = "; a conditioning pulse has all three of them" if column in CONDITIONING else ""
            raise IPNetError(
                f"measurement '{name}': '{column}' is missing beside {', '.join(sorted(given))}; add it{why}."
            )
    return columns


def _read_row(
    cells: list[str], columns: list[tuple[str, float]], limits: _Limits, *, comma: bool
) -> dict[str, float]:
    """The row in SI."""
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        raise _RowError(f"a row must have {len(columns)} cells, as the header has; got {len(cells)}")
    row = dict.fromkeys(UNITS, 0.0) | dict.fromkeys(READS, np.nan) | {"ambient": limits.temp_0}
    empty = {column for (column, _), cell in zip(columns, cells, strict=True) if not cell}
    for (column, factor), cell in zip(columns, cells, strict=True):
        if cell:
            row[column] = _read_number(cell, column, comma=comma) * factor
    _check_conditioning(row, empty)
    for column in sorted(empty - set(CONDITIONING) - set(READS)):
        raise _RowError(f"{column} must be given; its cell is empty")
    _check_row(row, limits)
    return row


def _read_number(cell: str, column: str, *, comma: bool) -> float:
    if comma and _GROUPED.match(cell):
        raise _RowError(f"{column} must be clear; got '{cell}', whose comma may mean thousands or a decimal point")
    text = cell.replace(",", ".") if comma and cell.count(",") == 1 and "." not in cell else cell
    value = float(text) if _NUMBER.match(text) else np.nan
    if not np.isfinite(value):
        raise _RowError(f"{column} must be a finite number; got '{cell[:40]}'")
    return value


def _check_conditioning(row: dict[str, float], empty: set[str]) -> None:
    """All of a conditioning pulse, or none of it: then its columns are zero."""
    nothing = any(row[key] == 0 and key not in empty for key in ("V_cond", "t_cond"))
    missing = [column for column in CONDITIONING if column in empty]
    if nothing or len(missing) == len(CONDITIONING):
        row.update(dict.fromkeys(CONDITIONING, 0.0))
    elif missing:
        raise _RowError(f"a conditioning pulse must have V_cond, t_cond and delay; {missing[0]} is empty")


def _check_row(row: dict[str, float], limits: _Limits) -> None:
    """The range in which the law is valid, and counts that are possible."""
    rules: list[tuple[str, bool, str]] = [
        *((key, 0 <= row[key] <= limits.V_max * (1 + 1e-9), limits.V_rule) for key in ("V", "V_cond")),
        *((key, row[key] >= 0, "not be negative") for key in ("t_cond", "delay", "switches")),
        *((key, row[key].is_integer(), "be a whole number") for key in COUNTS),
        *((key, not row[key] <= 0, "be positive") for key in ("trials", *READS)),
        ("t_pulse", row["t_pulse"] >= limits.t_pulse * (1 - 1e-9), limits.t_rule),
        ("ambient", limits.ambient[0] < row["ambient"] < limits.ambient[1], limits.ambient_rule),
        ("switches", row["switches"] <= row["trials"], "not exceed trials"),
    ]
    for key, kept, rule in rules:
        if not kept:
            got = f"{row[key]:.10g}" if key in COUNTS else format_si(row[key], UNITS[key])
            got += f" of {row['trials']:.10g}" if key == "switches" else ""
            raise _RowError(f"{key} must {rule}; got {got}")


def _without_odd_reads(
    good: list[dict[str, float]], lines: list[int], bad: list[Quarantined]
) -> tuple[list[dict[str, float]], list[int]]:
    """Quarantine rows whose reads lie over 8 robust standard deviations, and 5 %, from the median."""
    odd = dict[int, str]()
    for column in READS:
        reads = np.array([row[column] for row in good])
        if np.isfinite(reads).any():
            median = float(np.nanmedian(reads))
            far = np.abs(reads - median)
            limit = max(8 * 1.4826 * float(np.nanmedian(far)), 0.05 * median)
            rule = f"{column} must be near the median of all reads, {format_si(median, 'ohm')}"
            odd |= {int(i): f"{rule}; got {format_si(reads[i], 'ohm')}" for i in np.flatnonzero(far > limit)}
    bad.extend(Quarantined(lines[i], reason) for i, reason in odd.items())
    kept = [i for i in range(len(good)) if i not in odd]
    return [good[i] for i in kept], [lines[i] for i in kept]
