"""Tables of events: which column is which, and what a number in it means."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError
from ipnet.recording._admission import FAR, Batch

TimeUnit = Literal["s", "us"]

_NAMES = {
    "t": r"(?:t|ts|time|times|timestamp|timestamps)(?:[ _(\[]+(us|µs|s|sec)[)\]]?)?",
    "x": r"x|xs|x_pos|col",
    "y": r"y|ys|y_pos|row",
    "p": r"p|ps|pol|polarity|polarities|on",
}
_UNITS: dict[str | None, TimeUnit] = {"us": "us", "µs": "us", "s": "s", "sec": "s"}
_NO_PIXEL, _NO_POLARITY = -1, 2**31 - 1


def name_columns(names: Iterable[str]) -> tuple[dict[str, str], TimeUnit | None]:
    """Which of `names` are t, x, y and p, as far as they are there, and the unit that the name of t states.

    Example:
        >>> name_columns(["timestamp_us", "x", "y", "polarity", "label"])
        ({'t': 'timestamp_us', 'x': 'x', 'y': 'y', 'p': 'polarity'}, 'us')
    """
    found: dict[str, str] = {}
    unit = None
    for name in names:
        for key, pattern in _NAMES.items():
            match = re.fullmatch(pattern, name.strip().lower())
            if match and key not in found:
                found[key] = name
                unit = _UNITS.get(match[1]) if key == "t" else unit
    return found, unit


def time_unit(path: Path, found: TimeUnit | None, stated: TimeUnit | None, *, fractional: bool) -> TimeUnit:
    """The unit of times: what the file says, else what the caller says, else us for whole numbers.

    Raises:
        IPNetError: nobody says it and times have a fractional part, or the two contradict each other.
    """
    if found and stated and found != stated:
        raise IPNetError(f"'{path}' states its times in {found}; got time_unit = '{stated}': leave it out.")
    unit = found or stated or (None if fractional else "us")
    if unit is None:
        raise IPNetError(
            f"'{path}' has times that are no whole numbers and does not state their unit; give time_unit = 's' or "
            "'us'."
        )
    return unit


def batch(columns: Sequence[NDArray[Any]], unit: TimeUnit, offset: int, at: Sequence[int]) -> Batch:
    """Columns t, x, y, p of any numeric type as a `Batch`.

    What is no whole number of pixels is off the sensor, what is no number of microseconds is an impossible time;
    polarity -1 is 0 (darker), as in MVSEC and others.

    Args:
        columns: t, x, y, p, each [N].
        unit: of t; fractions of a microsecond are rounded.
        offset: added to the times [us].
        at: line or row of each event.
    """
    t, x, y, p = columns
    polarity = _whole(p, _NO_POLARITY)
    polarity[polarity < -1] = _NO_POLARITY
    polarity[polarity == -1] = 0
    return Batch(_microseconds(t, unit, offset), _whole(x, _NO_PIXEL), _whole(y, _NO_PIXEL), polarity, at)


def _microseconds(t: NDArray[Any], unit: TimeUnit, offset: int) -> NDArray[np.int64]:
    if t.dtype.kind in "iub" and unit == "us":
        outside = (t > FAR) | (t < -FAR) if t.dtype.itemsize == 8 else np.zeros(t.shape, bool)
        whole = np.where(outside, 0, t).astype(np.int64)
    else:
        scaled = t.astype(np.float64) * (1e6 if unit == "s" else 1.0)
        outside = ~(np.abs(scaled) < FAR)
        whole = np.rint(np.where(outside, 0.0, scaled)).astype(np.int64)
    return np.where(outside, FAR, whole + offset)


def _whole(column: NDArray[Any], otherwise: int) -> NDArray[np.int32]:
    fits = (column >= -(2**30)) & (column < 2**30) if column.dtype.itemsize > 2 else np.ones(column.shape, bool)
    if column.dtype.kind == "f":
        fits = np.isfinite(column) & fits
        fits[fits] = column[fits] == np.floor(column[fits])
    return np.where(fits, np.where(fits, column, 0).astype(np.int32), np.int32(otherwise))
