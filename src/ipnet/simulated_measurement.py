"""Measurements of junctions that obey their card exactly, and plans of what to measure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError, unknown_name
from ipnet.measurement import (
    CONDITIONING,
    CONDITIONS,
    COUNTS,
    READS,
    REQUIRED,
    UNITS,
    Floats,
    Measurements,
    log_hazard,
)
from ipnet.surrogate import cloglog
from ipnet.units import to_si

_WRITTEN = UNITS | {"t_pulse": "ns", "delay": "ns", "t_cond": "ns"}


def simulate(
    device: MTJ, conditions: Mapping[str, ArrayLike], trials: ArrayLike, seed: int, name: str = "simulated"
) -> Measurements:
    """Measure a junction that obeys its card exactly: switches ~ binomial(trials, P).

    Args:
        device: the junction.
        conditions: columns of `UNITS` in SI, broadcast against each other; V and t_pulse are needed.
        trials: pulses of each row.
        seed: of the draws.
        name: of the measurement.

    Raises:
        IPNetError: an unknown or missing column.

    Example:
        >>> from ipnet.device import load_device
        >>> rows = simulate(load_device("mtj-thermal"), {"V": [0.27, 0.29], "t_pulse": 1e-7}, 1000, seed=0)
        >>> print(format_measurements(rows), end="")
        V [V],t_pulse [ns],ambient [K],trials,switches
        0.27,100,300,1000,113
        0.29,100,300,1000,872
    """
    rows = tabulate(device, conditions, trials, name)
    p = cloglog(log_hazard(device, rows.conditions(device))).numpy()
    return measured(rows, switches=np.random.default_rng(seed).binomial(rows["trials"].astype(int), p))


def tabulate(
    device: MTJ, conditions: Mapping[str, ArrayLike], trials: ArrayLike, name: str = "measured"
) -> Measurements:
    """Rows of a measurement that is still to be made.

    Args:
        device: the junction, or what is expected of it.
        conditions: columns of `UNITS` in SI, broadcast against each other; V and t_pulse are needed.
        trials: pulses of each row.
        name: of the measurement.

    Raises:
        IPNetError: an unknown or missing column.
    """
    defaults = dict.fromkeys(CONDITIONING, 0.0) | dict.fromkeys(READS, np.nan) | {"ambient": float(device.temp_0)}
    given: dict[str, Any] = defaults | dict(conditions) | {"trials": trials, "switches": 0.0}
    for key in given:
        if key not in UNITS:
            raise unknown_name("column", key, UNITS)
    for key in REQUIRED:
        if key not in given:
            raise IPNetError(f"conditions must have V and t_pulse; {key} is missing: add it.")
    parts = np.broadcast_arrays(*(np.atleast_1d(np.asarray(given[key], np.float64)) for key in UNITS))
    columns = {key: part.copy() for key, part in zip(UNITS, parts, strict=True)}
    return Measurements(columns, np.arange(len(parts[0])) + 2, name, "")


def measured(rows: Measurements, **found: ArrayLike) -> Measurements:
    """The rows with what was measured, and the digest of the file that `format_measurements` makes of them.

    Args:
        rows: of `tabulate`.
        found: columns of `UNITS` in SI: switches, and what else was read.
    """
    columns = {name: np.asarray(column, np.float64) for name, column in found.items()}
    whole = replace(rows, columns={**rows.columns, **columns})
    return replace(whole, digest=hashlib.sha256(format_measurements(whole).encode()).hexdigest()[:12])


def plan(
    device: MTJ,
    *,
    delays: Sequence[float] = (),
    V_cond: float = 0.0,
    t_cond: float = 0.0,
    widths: Sequence[float] = (),
    ambients: Sequence[float] = (),
    points: int = 7,
) -> dict[str, Floats]:
    """Conditions for `simulate` or for a real junction: S-curves from P = 3 % to 97 % as the card expects them.

    Cold at each width and ambient temperature, and after each delay at the first width and every ambient.

    Args:
        device: what is expected of the junction.
        delays: between conditioning pulse and pulse [s].
        V_cond: voltage of the conditioning pulse [V].
        t_cond: its width [s].
        widths: of the pulse [s]; empty for the card's t_pulse.
        ambients: absolute temperatures [K]; empty for temp_0.
        points: voltages per S-curve.
    """
    widths, ambients = list(widths) or [float(device.t_pulse)], list(ambients) or [float(device.temp_0)]
    curves = [(width, 0.0, 0.0, 0.0, ambient) for ambient in ambients for width in widths]
    curves += [(widths[0], V_cond, t_cond, delay, ambient) for ambient in ambients for delay in delays]
    rest = [torch.tensor(part, dtype=torch.float64) for part in zip(*curves, strict=True)]
    rest[-1] = rest[-1] - device.temp_0
    low, high = (voltage_at(device, P, rest) for P in (0.03, 0.97))
    steps = np.linspace(low, high, points, axis=1).round(4)
    repeated = np.repeat(np.array(curves), points, axis=0).T
    return {"V": steps.ravel()} | dict(zip(CONDITIONS[1:], repeated, strict=True))


def voltage_at(device: MTJ, P: float, rest: Sequence[Tensor]) -> Floats:
    """The voltage at which a pulse switches with probability P [V], V_max at most.

    Args:
        device: the junction.
        P: wanted probability.
        rest: the conditions of `log_hazard` without the voltage, each [rows].
    """
    wanted = float(np.log(-np.log1p(-P)))
    low, high = torch.zeros_like(rest[0]), torch.zeros_like(rest[0]) + device.V_max
    for _ in range(40):
        V = (low + high) / 2
        above = log_hazard(device, (V, *rest)) > wanted
        low, high = torch.where(above, low, V), torch.where(above, V, high)
    return np.asarray(high.numpy())


def format_measurements(rows: Measurements) -> str:
    """The rows as CSV, as `read_measurements` reads them; columns that say nothing are left out."""
    shown = [key for key in UNITS if key not in CONDITIONING or rows.heated.any()]
    shown = [key for key in shown if key not in READS or np.isfinite(rows[key]).any()]
    head = [key if key in COUNTS else f"{key} [{_WRITTEN[key]}]" for key in shown]
    parts = [rows[key] / to_si(1.0, _WRITTEN[key], UNITS[key]) for key in shown]
    empty = [np.isnan(rows[key]) | ((key in CONDITIONING) & ~rows.heated) for key in shown]
    table = [
        ["" if blank else f"{value:.12g}" for value, blank in zip(part, blanks, strict=True)]
        for part, blanks in zip(parts, empty, strict=True)
    ]
    return "".join(",".join(line) + "\n" for line in [head, *map(list, zip(*table, strict=True))])
