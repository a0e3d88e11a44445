"""Junctions that differ from each other: drawn from the card's spread or from a wafer's measurements."""

import copy
import csv
import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipnet.cards import Card, unit_of
from ipnet.device import Device, Emit, State
from ipnet.errors import IPNetError, unknown_name
from ipnet.units import to_si

STUCK = {"stuck_resting": 0.0, "stuck_switched": 1.0}
Draw = tuple[dict[str, Tensor], Tensor]  # value or factor of each junction, what stuck ones answer (nan: none)


class Varied(Device):
    """A population of devices of one card, one per neuron, that differ and of which some are broken.

    x_i = x exp(sigma_i z_i) with correlated normal z: a log-normal spread whose median is the card's value; or the
    values of a junction of a wafer, drawn with replacement. A stuck, shorted or open junction always answers the
    same: `stuck_resting` never, `stuck_switched` in every cycle (with rest state P, a short reads as resting and
    an open circuit as switched). Which junction stands where depends on the seed, the layer and the shape alone.

    A layer's magnetisation, anisotropy and thickness are those of the card, where delta and V_c0 vary.

    In voltages [devices, B, C, ...] the clips of a batch, axis 1, go through the same junctions.

    Args:
        nominal: the device of the card.
        variation: ``"card"`` for its own spread, or the CSV file of a wafer.
        seed: of the draw; the global random state is untouched.

    Raises:
        IPNetError: the card has no spread, or a value cannot vary; a damaged wafer file; a junction that
            leaves the valid range.
    """

    nominal: Device

    def __init__(self, nominal: Device, variation: str, seed: int) -> None:
        super().__init__(nominal.card)
        object.__setattr__(self, "nominal", nominal)  # no submodule: draws are made from it in full precision
        self.seed, self.state_names = seed, nominal.state_names
        self.wafer = None if variation == "card" else read_wafer(Path(variation), nominal)
        if not self.wafer and not nominal.card.variation:
            raise IPNetError(
                f"card '{nominal.card.name}', variation: the card states no spread; add a [variation] table or "
                "give a wafer's CSV file."
            )
        self._populations: dict[Any, tuple[Device, Tensor]] = {}

    def cycle(self, V: Tensor, state: State, emit: Emit) -> tuple[Tensor, State]:
        """One clock cycle of every junction of the population."""
        population, stuck = self.population(V)
        return population.cycle(V, state, lambda p: emit(torch.where(stuck.isnan(), p, stuck)))

    def memory_cycles(self) -> float:
        """Of the card's own junction."""
        return self.nominal.memory_cycles()

    def population(self, V: Tensor) -> tuple[Device, Tensor]:
        """The junctions that pulses V meet, and what the stuck ones answer (nan for the others)."""
        shape = (V.shape[0], 1, *V.shape[2:]) if V.dim() > 1 else tuple(V.shape)
        key = self.layer, shape, V.dtype, V.device
        if key not in self._populations:
            with torch.inference_mode(mode=False), torch.no_grad():  # what is kept must also serve to train
                self._populations[key] = self._drawn(shape, V)
        return self._populations[key]

    def _drawn(self, shape: tuple[int, ...], V: Tensor) -> tuple[Device, Tensor]:
        generator = torch.Generator().manual_seed(1_000_003 * self.layer + self.seed)
        population = copy.deepcopy(self.nominal)
        values, stuck = (self._from_wafer if self.wafer else self._from_card)(shape, generator)
        for name, value in values.items():
            population.register_buffer(name, value, persistent=False)
        try:
            population.derive()
            population.trim(self.nominal)
            population.check()
        except IPNetError as error:
            raise IPNetError(f"among {stuck.numel()} junctions drawn with seed {self.seed}: {error}") from error
        return population.to(V.device, V.dtype), stuck.to(V.device, V.dtype)

    def _from_card(self, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        card = self.card
        names = [name for name in card.variation if name not in STUCK]
        z = torch.randn(len(names), *shape, generator=generator, dtype=torch.float64)
        z = torch.einsum("ij,j...->i...", _root(names, card), z)
        values = {}
        for name, part in zip(names, z, strict=True):
            value = getattr(self.nominal, name)
            values[name] = value.reshape(*value.shape, *[1] * len(shape)) * torch.exp(card.variation[name] * part)
        draw, stuck = torch.rand(shape, generator=generator), torch.full(shape, math.nan)
        below = 0.0
        for name, answer in STUCK.items():
            share = card.variation.get(name, 0.0)
            stuck[(draw >= below) & (draw < below + share)] = answer
            below += share
        return values, stuck

    def _from_wafer(self, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        columns, stuck = self.wafer or ({}, torch.empty(0))
        rows = torch.randint(len(stuck), shape, generator=generator)
        return {name: column[..., rows] for name, column in columns.items()}, stuck[rows]


def _root(names: list[str], card: Card[Any, Any]) -> Tensor:
    """The square root of the correlation matrix of `names`."""
    matrix = torch.eye(len(names), dtype=torch.float64)
    for pair, value in card.correlation.items():
        i, j = (names.index(name) for name in pair.split())
        matrix[i, j] = matrix[j, i] = value
    values, vectors = torch.linalg.eigh(matrix)
    if len(names) and values.min() < -1e-9:
        raise IPNetError(
            f"card '{card.name}': the correlations contradict each other (eigenvalue {values.min():.3g} of their "
            "matrix is negative): lower them."
        )
    root: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt())
    return root


def check_spread(device: Device) -> None:
    """Refuse a spread of values that cannot vary, or that contradicts itself.

    Raises:
        IPNetError: names the value and the rule.
    """
    card = device.card
    where = f"card '{card.name}', variation"
    able = _able(device)
    for name, value in card.variation.items():
        if name not in able and name not in STUCK:
            raise unknown_name(f"value in {where}", name, [*able, *STUCK])
        if not 0 <= value < math.inf:
            raise IPNetError(f"{where}: '{name}' must not be negative or infinite; got {value:g}.")
    stuck = sum(card.variation.get(name, 0.0) for name in STUCK)
    if stuck > 1:
        raise IPNetError(f"{where}: the shares of stuck junctions must not exceed 1 together; got {stuck:g}.")
    for pair, value in card.correlation.items():
        names = pair.split()
        if len(set(names)) != 2 or not set(names) <= set(card.variation) - set(STUCK) or not -1 <= value <= 1:
            raise IPNetError(
                f"card '{card.name}', correlation: \"A B\" must name two different values of [variation] and lie "
                f"in [-1, 1]; got '{pair}' = {value:g}."
            )
    _root([name for name in card.variation if name not in STUCK], card)


def _able(device: Device) -> list[str]:
    """The values that may differ from junction to junction."""
    return [name for name in type(device.card.parameters).model_fields if name not in device.common]


def read_wafer(path: Path, device: Device) -> tuple[dict[str, Tensor], Tensor]:
    """The junctions of a wafer: CSV, one per line, columns such as ``R_P [kohm]``, and perhaps ``state``.

    `state` is empty for a junction that works, or ``stuck_resting`` or ``stuck_switched``. Values that have no
    column are the card's. A cell of several parts (thermal poles) has spaces between them.

    Returns:
        value of each junction by name [..., n], SI, and what stuck ones answer [n] (nan for the others).

    Raises:
        IPNetError: the file cannot be read, an unknown column or unit, or a line that breaks a rule of the card.
    """
    try:
        reader = csv.reader(io.StringIO(path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise IPNetError(f"wafer '{path}' cannot be read ({error}): give a CSV file.") from error
    units = _header(next(reader, []), device, path.name)
    lines = [(f"wafer '{path.name}', line {reader.line_num}", row) for row in reader if any(map(str.strip, row))]
    if not lines:
        raise IPNetError(f"wafer '{path.name}' must have a header and a line per junction; got no junction.")
    junctions = [_junction(row, units, device, where) for where, row in lines]
    table = {
        key: torch.tensor([getattr(card.parameters, key) for card, _ in junctions], dtype=torch.float64).movedim(
            0, -1
        )
        for key in units
        if key != "state"
    }
    return table, torch.tensor([answer for _, answer in junctions], dtype=torch.float64)


def _header(names: list[str], device: Device, file: str) -> dict[str, str]:
    """The unit of each column."""
    units = {}
    for name in names:
        key, _, unit = name.strip().partition(" ")
        if key not in [*_able(device), "state"]:
            raise unknown_name(f"column of wafer '{file}'", key, [*_able(device), "state"])
        if key in units:
            raise IPNetError(f"wafer '{file}' must have each column once; got '{key}' twice: remove one.")
        units[key] = unit.strip("[] ") or (unit_of(type(device.card.parameters), key) if key != "state" else "")
    return units


def _junction(row: list[str], units: dict[str, str], device: Device, where: str) -> tuple[Card[Any, Any], float]:
    """The card of one junction, and what it answers if it is stuck."""
    if len(row) != len(units):
        raise IPNetError(f"{where}: {len(units)} cells are needed, as in the header; got {len(row)}.")
    cells = dict(zip(units, map(str.strip, row), strict=True))
    state = cells.pop("state", "")
    if state and state not in STUCK:
        raise IPNetError(f"{where}: {unknown_name('state', state, STUCK)}")
    values: dict[str, Any] = {}
    for key, cell in cells.items():
        try:
            parts = [
                to_si(float(part), units[key], unit_of(type(device.card.parameters), key)) for part in cell.split()
            ]
        except ValueError as error:  # an IPNetError is one, too
            raise IPNetError(f"{where}: '{key}' must be a number in a unit of the right kind; {error}.") from error
        wanted = getattr(device, key).numel()
        if len(parts) != wanted:
            raise IPNetError(f"{where}: '{key}' needs {wanted} number{'s' * (wanted > 1)}; got '{cell}'.")
        values[key] = tuple(parts) if getattr(device, key).dim() else parts[0]
    try:
        return device.card.with_parameters(**values), STUCK.get(state, math.nan)
    except IPNetError as error:
        raise IPNetError(f"{where}: {error}") from error
