"""Limits of the junctions on a bench: what no pulse may exceed, checked before anything is sent."""

import math
from collections.abc import Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator

from ipnet.cards import Values, quantity, read_values
from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.shots import Floats, Protocol, Shot, segments
from ipnet.units import format_si

ROUNDING = 1e-9  # relative: 3 x 10 ns is not longer than 30 ns


class Limits(Values):
    """What no pulse on a junction may exceed; every one is required."""

    V_max: float = quantity("V", "largest voltage of either sign", gt=0)
    I_max: float = quantity("A", "largest current, in either state", gt=0)
    P_max: float = quantity("W", "largest power, in either state", gt=0)
    t_min: float = quantity("s", "shortest pulse", gt=0)
    t_max: float = quantity("s", "longest pulse, or pulses of one sign without a pause", gt=0)
    duty: float = quantity("1", "largest share of a batch in which a voltage is on", gt=0, le=1)
    pulses: float = quantity("1", "most pulses on one junction in its life on this journal", ge=1)
    rise_max: float = quantity("K", "largest temperature rise, by the card's law of heat", gt=0)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.t_min > self.t_max:
            raise ValueError(
                f"t_max must not be shorter than t_min; got t_min = {format_si(self.t_min, 's')}, "
                f"t_max = {format_si(self.t_max, 's')}: exchange them"
            )
        return self


TEMPLATE = "\n".join(
    f'{key} = {{ value = 0, unit = "{field.json_schema_extra["unit"]}", source = "" }} # {field.description}'
    for key, field in Limits.model_fields.items()
    if isinstance(field.json_schema_extra, dict)
)


def limits_beside(card: str | Path) -> Path:
    """Where the limits for a card are looked for: beside its file, or here for a shipped card.

    Example:
        >>> limits_beside("chip/mine.toml").as_posix(), limits_beside("mtj-thermal").as_posix()
        ('chip/mine.limits.toml', 'mtj-thermal.limits.toml')
    """
    path = Path(card)
    return path.with_name(f"{path.name.removesuffix('.toml')}.limits.toml")


def read_limits(path: str | Path) -> Limits:
    """The limits of a TOML file, in SI; each value has a unit, and a source or the reason why it is assumed.

    Raises:
        IPNetError: no such file (the message ends in a template), a value that is missing, unknown or not allowed.
    """
    path = Path(path)
    if not path.exists():
        raise IPNetError(
            f"a junction is pulsed within written limits only, and there is no '{path}'; write this file with the "
            f'limits of your junction, where each names its source or says assumed = "why" instead:\n{TEMPLATE}'
        )
    return read_values(path, Limits, "limits")


def count_pulses(shots: Sequence[Shot], protocol: Protocol) -> int:
    """Pulses of a batch, reads and resets among them; neighbours of one voltage are one pulse.

    Example:
        >>> count_pulses([Shot([0.0, 0.3], [1.0, 2.0])] * 2, Protocol(1.0, 0.05, 1.0, 0.4, 2.0, 3.0))
        6
    """
    return _pulses(segments(shots, protocol)[0]) if shots else 0


def check_batch(
    shots: Sequence[Shot], protocol: Protocol, limits: Limits, mtj: MTJ, applied: int, R: float = math.inf
) -> None:
    """Refuse a batch that breaks a limit.

    Current and power are the larger ones of the two states of the card's junction. The temperature rise is that of
    the parallel state, which takes the most power, over the whole batch from a cold start.

    Args:
        shots: of the batch.
        protocol: what follows each of them.
        limits: of the junction.
        mtj: the card's junction.
        applied: pulses that the junction has had before.
        R: lowest resistance measured on it [ohm]; where the card's is lower, the card's counts.

    Raises:
        IPNetError: the rule, the value that breaks it, and the cure.
    """
    if not shots:
        return
    V, t = segments(shots, protocol)
    strongest = torch.from_numpy(V).abs().max()
    lowest = min(float(mtj.resistance(strongest, antiparallel=state).min()) for state in (False, True))
    _check_strength(float(strongest), min(R, lowest), limits)
    _check_widths(V, t, limits)
    on = V != 0
    _require(float(t[on].sum() / t.sum()), limits.duty, "duty", "1", "lengthen t_cool")
    total = applied + _pulses(V)
    _require(total, limits.pulses, "pulses", "1", "use a fresh junction, or raise the limit if its source allows")
    rise = hottest(V, t, mtj) * lowest / min(R, lowest)
    _require(rise, limits.rise_max, "rise_max", "K", "lower or shorten the pulses, or lengthen the pauses")


def allows(shot: Shot, protocol: Protocol, limits: Limits, mtj: MTJ, R: float) -> bool:
    """Whether a shot breaks no limit, on a junction that had no pulse before; see `check_batch`."""
    try:
        check_batch([shot], protocol, limits, mtj, 0, R)
    except IPNetError:
        return False
    return True


def hottest(V: Floats, t: Floats, mtj: MTJ) -> float:
    """An upper bound of the temperature rise over segments that start cold [K].

    Each pole moves one way during a segment of constant power, so the sum of what each has at the hotter end of it
    bounds the rise within; with one pole it is the rise. Exact for the parallel state.

    Args:
        V: voltages of the segments [V].
        t: their durations [s].
        mtj: the card's junction, whose `heat` is the law.

    Example:
        >>> from ipnet.device import load_device
        >>> mtj = load_device("mtj-thermal")
        >>> long = hottest(np.array([0.3]), np.array([1e-3]), mtj)
        >>> math.isclose(long, float(mtj.steady_rise(torch.tensor(0.3, dtype=torch.float64))), rel_tol=1e-6)
        True
    """
    power = mtj.power(torch.from_numpy(V), antiparallel=False).double()
    duration, nothing = torch.from_numpy(t), torch.zeros(len(V), dtype=torch.float64)
    gained = mtj.heat((nothing,) * mtj.poles, power, duration)  # the law is affine in the rise: what a cold
    kept = mtj.heat((nothing + 1,) * mtj.poles, nothing, duration)  # junction gains, and the share that stays
    total: NDArray[np.float64] = np.zeros(len(V))
    for pole in zip(kept, gained, strict=True):
        steps = zip(*(part.tolist() for part in pole), strict=True)
        rises = np.array(list(accumulate(steps, lambda rise, step: step[0] * rise + step[1], initial=0.0)))
        total += np.maximum(rises[:-1], rises[1:])
    return float(total.max(initial=0.0))


def _pulses(V: Floats) -> int:
    return int(np.count_nonzero((V != 0) & (np.append(0.0, V[:-1]) != V)))


def _check_strength(V: float, R: float, limits: Limits) -> None:
    """Voltage, current and power of the strongest pulse."""
    cure = "lower the voltage of the pulses"
    _require(V, limits.V_max, "V_max", "V", cure)
    _require(V / R, limits.I_max, "I_max", "A", cure)
    _require(V**2 / R, limits.P_max, "P_max", "W", cure)


def _check_widths(V: Floats, t: Floats, limits: Limits) -> None:
    """No pulse too short, no stress of one sign too long; neighbours of one voltage are one pulse."""
    for voltage, group in groupby(zip(V.tolist(), t.tolist(), strict=True), key=itemgetter(0)):
        width = math.fsum(duration for _, duration in group)
        if voltage and width < limits.t_min * (1 - ROUNDING):
            raise _broken("t_min", width, limits.t_min, "s", "at least", "lengthen the pulse")
    for sign, group in groupby(zip(np.sign(V).tolist(), t.tolist(), strict=True), key=itemgetter(0)):
        if sign:
            width = math.fsum(duration for _, duration in group)
            _require(width, limits.t_max, "t_max", "s", "shorten the pulses, or put a pause between them")


def _require(value: float, limit: float, name: str, unit: str, cure: str) -> None:
    if not value <= limit * (1 + ROUNDING):
        raise _broken(name, value, limit, unit, "at most", cure)


_WHAT = {
    "V_max": "a voltage",
    "I_max": "a current",
    "P_max": "a power",
    "t_min": "a pulse",
    "t_max": "the time of one sign without a pause",
    "duty": "the share of a batch in which a voltage is on",
    "pulses": "the number of pulses on a junction",
    "rise_max": "the temperature rise",
}


def _broken(name: str, value: float, limit: float, unit: str, bound: str, cure: str) -> IPNetError:
    shown = [f"{number:.12g}" if name == "pulses" else format_si(number, unit) for number in (limit, value)]
    if shown[0] == shown[1]:
        shown[1] = f"{value:.10g} {unit}"
    return IPNetError(f"{_WHAT[name]} must be {bound} {shown[0]} (limit {name}); got {shown[1]}: {cure}.")
