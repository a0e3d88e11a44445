"""Shots: what is put on a junction of a bench to get one answer, and the samples of many shots in one waveform.

A bench cannot decide between two pulses of a neuron, and heat is gone after microseconds. So a shot starts on a
cold junction and replays the whole history of the neuron in the polarity that cannot switch it; the last pulse
can. Then the junction is read, reset whatever the answer was, and left to cool.
"""

import hashlib
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.device.mtj import MTJ
from ipnet.errors import IPNetError
from ipnet.units import format_si

Floats = NDArray[np.float64]

COLD = 20.0  # time constants of the slowest pole after which a junction counts as cold: 2e-9 of its heat is left


@dataclass(frozen=True, eq=False)
class Shot:
    """One question to a cold junction; a read, a reset and a cool-down follow it.

    Args:
        V: voltages of K >= 1 segments [V]; positive ones can switch the resting state.
        t: their durations [s].

    Raises:
        IPNetError: lengths that differ, no segment, a voltage that is not finite, a duration that is not positive.

    Example:
        >>> Shot([-0.3, 0.285], [100e-9, 10e-9]).t.sum().round(9)
        np.float64(1.1e-07)
    """

    V: Floats
    t: Floats

    def __post_init__(self) -> None:
        for name in ("V", "t"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.V.ndim != 1 or self.V.shape != self.t.shape or not self.V.size:
            raise IPNetError(
                f"a shot needs one voltage and one duration for each of its segments, and one segment at least; "
                f"got shapes {self.V.shape} and {self.t.shape}."
            )
        if not np.isfinite(self.V).all():
            raise IPNetError(f"the voltages of a shot must be finite; got {self.V[~np.isfinite(self.V)][0]} V.")
        if not (np.isfinite(self.t) & (self.t > 0)).all():
            raise IPNetError(f"each segment of a shot must last longer than 0 s; got {self.t.min()} s.")


class Trim(typing.NamedTuple):
    """How a junction is asked so that it answers as the card's does.

    Attributes:
        V_probe: voltage of the last pulse of a shot [V].
        heat: factor of all voltages before it, which heat [1].
    """

    V_probe: float
    heat: float = 1.0


class Answers(typing.Protocol):
    """What answers shots: a bench, see `ipnet.bench.Bench`."""

    def run(self, junction: int, shots: Sequence[Shot], key: str) -> NDArray[np.bool_]:
        """Whether the junction switched in each shot; of a key that was measured before, what was measured."""

    def resistances(self, key: str) -> tuple[float, float]:
        """Of the resting and of the switched junction that answered a key [ohm]; NaN for what was not read."""

    def allows(self, shot: Shot, R: float) -> bool:
        """Whether the limits let a shot pass to a junction of this lowest resistance [ohm]."""


@dataclass(frozen=True)
class Protocol:
    """What follows a shot, and how a waveform is sampled.

    Args:
        sample_time: of the waveform [s]; every duration is a multiple of it.
        V_read: magnitude of the read pulse [V], sent with the negative sign: it cannot switch the resting state.
        t_read: its width [s].
        V_reset: magnitude of the reset pulse [V], sent with the negative sign; 0 leaves the junction as it is.
        t_reset: its width [s].
        t_cool: idle time until the junction counts as cold [s].

    Raises:
        IPNetError: a value that is not finite or not positive, a duration that is no multiple of the sample time.
    """

    sample_time: float
    V_read: float
    t_read: float
    V_reset: float
    t_reset: float
    t_cool: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or value < 0 or (value == 0 and name != "V_reset"):
                unit = "V" if name.startswith("V") else "s"
                raise IPNetError(f"{name} of a protocol must be positive; got {value} {unit}.")
        _points([self.t_read, self.t_reset, self.t_cool], self.sample_time)


def protocol_of(
    mtj: MTJ,
    sample_time: float = 10e-9,
    t_read: float | None = None,
    t_reset: float | None = None,
    t_cool: float | None = None,
) -> Protocol:
    """The protocol for the junctions of a card.

    Args:
        mtj: the card's junction; its clock gives the read and the reset pulse.
        sample_time: of the waveform [s].
        t_read: width of the read pulse [s]; that of the card, rounded up to whole samples, if not given.
        t_reset: the same of the reset pulse.
        t_cool: idle time [s]; 20 tau_th of the slowest pole if not given.

    Raises:
        IPNetError: a value that a protocol cannot have.

    Example:
        >>> from ipnet.device import load_device
        >>> protocol_of(load_device("mtj-thermal")).t_cool.__round__(9)
        2e-05
    """
    clock, slowest = mtj.card.clock, max(mtj.card.parameters.tau_th)

    def whole(given: float | None, otherwise: float) -> float:
        return sample_time * math.ceil(otherwise / sample_time * (1 - 1e-9)) if given is None else given

    return Protocol(
        sample_time=sample_time,
        V_read=clock.V_read,
        t_read=whole(t_read, clock.t_read),
        V_reset=clock.V_reset,
        t_reset=whole(t_reset, clock.t_reset),
        t_cool=whole(t_cool, COLD * slowest),
    )


def segments(shots: Sequence[Shot], protocol: Protocol) -> tuple[Floats, Floats]:
    """Voltages [V] and durations [s] of all segments of a batch, in order: each shot, its read, reset and idle."""
    V_after = [-protocol.V_read, -protocol.V_reset, 0.0]
    t_after = [protocol.t_read, protocol.t_reset, protocol.t_cool]
    V = [part for shot in shots for part in (shot.V, V_after)]
    t = [part for shot in shots for part in (shot.t, t_after)]
    return np.concatenate(V, dtype=np.float64), np.concatenate(t, dtype=np.float64)


def waveform(shots: Sequence[Shot], protocol: Protocol) -> tuple[Floats, NDArray[np.int64]]:
    """The samples [V] of one batch, and for each shot the index of the first sample of its read pulse.

    The first sample is 0 V, where an output rests before the trigger; so is the last.

    Raises:
        IPNetError: no shot, or a duration that is no multiple of the sample time.

    Example:
        >>> waveform([Shot([0.3], [2.0])], Protocol(1.0, 0.05, 1.0, 0.4, 2.0, 3.0))
        (array([ 0.  ,  0.3 ,  0.3 , -0.05, -0.4 , -0.4 ,  0.  ,  0.  ,  0.  ]), array([3]))
    """
    if not shots:
        raise IPNetError("a waveform needs one shot at least; got none.")
    V, t = segments(shots, protocol)
    points = _points(t, protocol.sample_time)
    lasts = np.cumsum([shot.t.size + 3 for shot in shots])
    starts = np.cumsum(points) - points
    return np.append(0.0, np.repeat(V, points)), 1 + starts[lasts - 3]


def points_of(shot: Shot, protocol: Protocol) -> int:
    """How many samples a shot takes, with what follows it; a waveform has one more, its first.

    Example:
        >>> points_of(Shot([0.3], [2.0]), Protocol(1.0, 0.05, 1.0, 0.4, 2.0, 3.0))
        8
    """
    return int(_points(segments([shot], protocol)[1], protocol.sample_time).sum())


def digest(shots: Sequence[Shot]) -> str:
    """A name of these shots in this order: equal shots, equal name.

    Example:
        >>> digest([Shot([0.3], [1e-8])]) == digest([Shot([0.3], [1e-8])]) != digest([Shot([0.3], [2e-8])])
        True
    """
    hashed = hashlib.sha256()
    for shot in shots:
        hashed.update(np.int64(shot.V.size).tobytes() + shot.V.tobytes() + shot.t.tobytes())
    return hashed.hexdigest()[:16]


def _points(durations: Any, sample_time: float) -> NDArray[np.int64]:
    """How many samples each duration takes."""
    ratio = np.asarray(durations, dtype=np.float64) / sample_time
    points = np.rint(ratio)
    off = (np.abs(ratio - points) > 1e-6) | (points < 1)
    if off.any():
        wrong = float(np.asarray(durations, dtype=np.float64)[off][0])
        raise IPNetError(
            f"every duration must be a multiple of the sample time, {format_si(sample_time, 's')}; got "
            f"{format_si(wrong, 's')}: round it, or choose another sample time."
        )
    return points.astype(np.int64)
